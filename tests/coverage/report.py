#!/usr/bin/env python3
"""Writes a page from what llvm-cov exported, and fails where a line is not reached and nobody says why, or where somebody says
so of one that is. tests/coverage/run.sh runs the suites before.

    tests/coverage/report.py EXPORTED.json...  writes target/coverage/coverage.md, which `make coverage` puts into docs
    tests/coverage/report.py prove             shows that the comparison with unreached.toml fails where it should

A function counts once, however often the compiler made it for other types or other programs. Test modules do not count.
"""

import collections
import json
import pathlib
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
REASONS = ROOT / "tests/coverage/unreached.toml"
PAGE = ROOT / "target/coverage/coverage.md"
CODE = 0  # the kind of region that is code; others are gaps, skipped text and branches

Region = collections.namedtuple("Region", "line column end_line end_column")


class Source:
    """One file of src: its regions with how often each was reached, and its functions."""

    def __init__(self, path):
        self.path = path
        self.lines = (ROOT / path).read_text().splitlines()
        self.regions = collections.Counter()
        self.functions = {}  # the first region of each -> all of its regions

    def tests_begin(self):
        """The line at which the module of tests begins, or one behind the last line."""
        if self.path.endswith(("/tests.rs", "/fuzzing.rs")):
            return 1
        for number, line in enumerate(self.lines, 1):
            if line == "#[cfg(test)]" and self.lines[number].startswith("mod tests {"):
                return number
        return len(self.lines) + 1

    def add(self, regions):
        known = self.functions.setdefault(regions[0][0], set())
        for region, count in regions:
            self.regions[region] = max(self.regions[region], count)
            known.add(region)

    def reached(self, function):
        return any(self.regions[r] for r in self.functions[function])

    def text(self, region):
        return self.lines[region.line - 1][region.column - 1 : region.end_column - 1] if region.line == region.end_line else ""


def read(exports):
    sources = {}
    functions = (f for file in exports for f in json.loads(pathlib.Path(file).read_text())["data"][0]["functions"])
    for function in functions:
        path = str(ROOT / function["filenames"][0]).removeprefix(f"{ROOT}/")
        if not path.startswith("src/"):
            continue
        source = sources.setdefault(path, Source(path))
        regions = [(Region(*r[:4]), r[4]) for r in function["regions"] if r[7] == CODE and r[5] == 0]
        if regions and regions[0][0].line < source.tests_begin():
            source.add(regions)
    return dict(sorted(sources.items()))


def only_passes_on(source, region):
    """Whether the region is a `?`, which hands an error to the caller, or the brace where a condition did not hold."""
    return source.text(region) in ("?", "}")


def unreached(sources):
    """The lines on which something is not reached, as (file, text): their numbers; what only passes on is left out."""
    found = collections.defaultdict(set)
    for path, source in sources.items():
        for region, count in source.regions.items():
            if not count and not only_passes_on(source, region):
                found[path, source.lines[region.line - 1].strip()].add(region.line)
    return found


def reasons(text):
    """unreached.toml as (file, text): (reason, whether some runs do reach it)."""
    listed = {}
    for entry in tomllib.loads(text)["unreached"]:
        for line in entry["lines"]:
            listed[entry["file"], line.strip()] = (entry["reason"], entry.get("sometimes", False))
    return listed


def wrong(found, listed):
    """What does not fit between what is not reached and the reasons for it."""
    for (path, text), numbers in sorted(found.items(), key=lambda f: (f[0][0], min(f[1]))):
        if (path, text) not in listed:
            yield f"{path}:{min(numbers)} is not reached, and tests/coverage/unreached.toml has no reason: {text}"
    for (path, text), (_, sometimes) in listed.items():
        if (path, text) not in found and not sometimes:
            if text in [line.strip() for line in (ROOT / path).read_text().splitlines()]:
                yield f"{path}: tests/coverage/unreached.toml says that this is not reached, and it is: {text}"
            else:
                yield f"{path}: tests/coverage/unreached.toml has a line that is not there: {text}"


def page(sources, listed):
    found = unreached(sources)
    rows, total = [], collections.Counter()
    for path, source in sources.items():
        lines = collections.defaultdict(bool)
        for region, count in source.regions.items():
            lines[region.line] |= count > 0
        row = collections.Counter(
            functions=len(source.functions), functions_reached=sum(map(source.reached, source.functions)),
            lines=len(lines), lines_reached=sum(lines.values()),
            regions=len(source.regions), regions_reached=sum(c > 0 for c in source.regions.values()),
        )  # fmt: skip
        if row["functions"]:
            rows.append((path, row))
            total += row
    passing = sum(
        not count and only_passes_on(source, region) for source in sources.values() for region, count in source.regions.items()
    )

    def line(name, row):
        cells = [f"{row[k + '_reached']} of {row[k]}" for k in ("functions", "lines", "regions")]
        return f"| {name} | {' | '.join(cells)} | {100 * row['regions_reached'] / row['regions']:.1f} % |"

    out = [
        "# What the tests reach",
        "",
        "Written by `make coverage` from the counters that LLVM puts into the code: the unit tests and the acceptance tests in Rust, the",
        "tests and examples in C++, the tests in Go, and the stress program. Fuzzing, the sanitizers, valgrind and the simulator's own",
        "tests are not counted. A region is a piece of code that runs as a whole; a line counts where a region begins; a function counts",
        "once for all types that it is made for, and closures are functions. Test modules are left out.",
        "",
        "| file | functions | lines | regions | regions reached |",
        "|---|---|---|---|---|",
        *(line(f"`{path}`", row) for path, row in rows),
        line("**all**", total),
        "",
        "## What is not reached, and why",
        "",
        f"{passing} of the regions that are not reached are a `?` whose expression never failed, or the end of a block whose condition always held.",
        "The others follow. The reasons are kept in `tests/coverage/unreached.toml`; `make proof` fails where one is missing, and where one",
        "is given for what is reached. Some lines are reached in one run and not in another; those of this run are shown.",
    ]
    by_reason = collections.defaultdict(list)
    for (path, text), numbers in sorted(found.items(), key=lambda f: (f[0][0], min(f[1]))):
        reason = listed.get((path, text), ("No reason is known yet.", False))[0]
        by_reason[reason].append((path, min(numbers), text))
    for reason, places in by_reason.items():
        out += ["", f"{reason}", ""]
        out += [f"- `{path}:{number}`: `{text}`" for path, number, text in places]
    return "\n".join(out) + "\n", total


def prove():
    found = {("src/lib.rs", "mod error;"): {1}}
    right = '[[unreached]]\nfile = "src/lib.rs"\nreason = "x"\nlines = ["mod error;"]\n'
    more = right.replace('["mod error;"]', '["mod error;", "mod state;"]')
    for text, word in (
        (right, None),
        ("unreached = []", "has no reason"),
        (more, "and it is: mod state;"),
        (right + more.replace("mod state", "mod stat"), "not there"),
        (more.replace("lines", "sometimes = true\nlines"), None),
    ):
        findings = list(wrong(found, reasons(text)))
        if bool(findings) != bool(word) or word and not all(word in finding for finding in findings):
            sys.exit(f"planted and not found: {word}: {findings}")
    print("a reason that is missing, one too many and one for a line that is gone are found")


def main(*exports):
    sources = read(exports)
    listed = reasons(REASONS.read_text())
    text, total = page(sources, listed)
    PAGE.write_text(text)
    findings = list(wrong(unreached(sources), listed))
    for finding in findings:
        print(finding)
    share = 100 * total["regions_reached"] / total["regions"]
    print(f"{share:.1f} % of the regions reached, {len(findings)} without a fitting reason")
    sys.exit(bool(findings))


if __name__ == "__main__":
    prove() if sys.argv[1:] == ["prove"] else main(*sys.argv[1:])
