#!/usr/bin/env python3
"""Writes a page from the export of llvm-cov. Fails if a line is not reached and no comment says why, or if a line with a comment
is reached. tests/coverage/run.sh runs the suites first.

    tests/coverage/report.py EXPORTED.json...  writes target/coverage/coverage.md, which `make coverage` copies into docs
    tests/coverage/report.py prove             shows that a missing and a stale comment are found

A comment on its own line covers the next line of code and everything indented below it:

    // unreached: WHY      no test reaches it
    // sometimes: WHY      some runs reach it and others do not

A function counts once, however many instances the compiler made. Tests and code under `planted!` do not count.
"""

import collections
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "target/coverage/coverage.md"
CODE = 0  # the kind of a code region; others are gaps, skipped text and branches

Region = collections.namedtuple("Region", "line column end_line end_column")


class Source:
    """A file of src: its functions, and its regions with how often each was reached."""

    def __init__(self, path, text=None):
        self.path = path
        self.lines = ((ROOT / path).read_text() if text is None else text).splitlines()
        self.planted = {n for number, line in enumerate(self.lines, 1) if "planted!(" in line for n in self.block(number)}
        self.tests = {n for number, line in enumerate(self.lines, 1) if line.strip() == "#[cfg(test)]" for n in self.block(number + 1)}
        self.regions = collections.Counter()
        self.functions = {}  # the first region of each -> all of its regions

    def is_test(self, line):
        """Whether the code of this line is only for tests or for the fuzzer."""
        return line in self.tests or self.path.endswith(("/tests.rs", "/fuzzing.rs", "/comparison.rs"))

    def block(self, number):
        """The numbers of this line, of the lines indented below it, and of their closing bracket."""

        def indent(line):
            return len(line) - len(line.lstrip())

        first, numbers = self.lines[number - 1], [number]
        for line in self.lines[number:]:
            if line.strip() and indent(line) <= indent(first):
                if line.lstrip()[0] in ")]}" and line.strip()[-1:] != "{":
                    numbers.append(numbers[-1] + 1)
                break
            numbers.append(numbers[-1] + 1)
        return numbers

    def reasons(self):
        """The comments that give a reason: (line, reason, whether some runs reach it, lines it covers)."""
        for number, line in enumerate(self.lines, 1):
            if comment := re.fullmatch(r"\s*// (unreached|sometimes): (.*)", line):
                code = number + 1
                while self.lines[code - 1].lstrip().startswith("//"):
                    code += 1
                yield number, comment[2], comment[1] == "sometimes", self.block(code)

    def add(self, regions):
        known = self.functions.setdefault(regions[0][0], set())
        for region, count in regions:
            if not count and region.line in self.planted:
                continue
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
        if regions and not source.is_test(regions[0][0].line):
            source.add(regions)
    return dict(sorted(sources.items()))


def only_passes_on(source, region):
    """Whether the region is a `?`, or the closing brace after a condition that did not hold."""
    return source.text(region) in ("?", "}")


def unreached(source):
    """The lines with an unreached region, except those that only pass an error on."""
    return sorted({r.line for r, count in source.regions.items() if not count and not only_passes_on(source, r)})


def wrong(source):
    """The mismatches between unreached lines and comments."""
    found, explained = unreached(source), set()
    for number, reason, sometimes, lines in source.reasons():
        explained.update(lines)
        if not sometimes and not set(lines).intersection(found):
            yield f"{source.path}:{number}: this says that nothing reaches the next line, and something does: {reason}"
    for number in found:
        if number not in explained:
            line = source.lines[number - 1].strip()
            yield f"{source.path}:{number} is not reached, and no comment above it says why ('// unreached: ...'): {line}"


def page(sources):
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
        "`make coverage` writes this page from the counters that LLVM puts into the code. It counts the unit tests and the acceptance tests in Rust, the",
        "tests and examples in C++, the tests in Go, and the stress program. Fuzzing, the sanitizers, valgrind and the simulator's own",
        "tests are not counted. A region is a piece of code that runs as a whole. A line counts if a region begins on it. A function counts",
        "once for all types with which it is compiled, and closures are functions. Code that is only for tests does not count.",
        "",
        "| file | functions | lines | regions | regions reached |",
        "|---|---|---|---|---|",
        *(line(f"`{path}`", row) for path, row in rows),
        line("**all**", total),
        "",
        "## What is not reached, and why",
        "",
        f"{passing} of the unreached regions are a `?` whose expression never failed, or the end of a block whose condition always held.",
        "The others follow. The reasons are comments in the source (`// unreached: ...`); `make proof` fails if one is missing, and if",
        "one is given for a line that is reached. Some lines are reached in one run and not in another (`// sometimes: ...`); those of this run",
        "are shown.",
    ]
    by_reason = collections.defaultdict(list)
    for path, source in sources.items():
        reasons = {number: reason for _, reason, _, lines in source.reasons() for number in lines}
        for number in unreached(source):
            by_reason[reasons.get(number, "no reason is known yet")].append((path, number, source.lines[number - 1].strip()))
    for reason, places in by_reason.items():
        out += ["", f"{reason[0].upper()}{reason[1:]}:", ""]
        out += [f"- `{path}:{number}`: `{text}`" for path, number, text in places]
    return "\n".join(out) + "\n", total


PROVEN = """
fn f() {
    // unreached: no server says so
    match g().map_err(|e| {
        h(e)
    }) {
        // sometimes: a race
        // (between two threads)
        None => return,
        Some(x) => x,
    }
    if planted!("name") {
        i();
    }
}
"""


def prove():
    def findings(text, *unreached_lines):
        source = Source("src/f.rs", text)
        source.add([(Region(2, 1, 15, 2), 1)] + [(Region(n, 9, n, 12), 0) for n in unreached_lines])
        return list(wrong(source))

    block = PROVEN.replace("    match g()", "    let x = g()").replace("    }) {", "    });")
    for text, lines, word in (
        (block, [4, 5], None),
        (block, [4, 9], None),
        (block, [9], "src/f.rs:3: this says that nothing reaches"),
        (block, [5, 10], "src/f.rs:10 is not reached"),
        (block, [5, 13], None),  # planted
        (block.replace("planted!", "wanted"), [5, 13], "src/f.rs:13 is not reached"),
        (block.replace("// sometimes: a race", "//"), [5, 9], "src/f.rs:9 is not reached"),
        (block.replace("// sometimes:", "// unreached:"), [5], "src/f.rs:7: this says"),
    ):
        found = findings(text, *lines)
        if len(found) != bool(word) or word and word not in found[0]:
            sys.exit(f"lines {lines}: expected {word}, found {found}:\n{text}")
    print("a missing and a stale comment are found")


def main(*exports):
    sources = read(exports)
    text, total = page(sources)
    PAGE.write_text(text)
    findings = [finding for source in sources.values() for finding in wrong(source)]
    for finding in findings:
        print(finding)
    share = 100 * total["regions_reached"] / total["regions"]
    print(f"{share:.1f} % of the regions reached, {len(findings)} without a fitting comment")
    sys.exit(bool(findings))


if __name__ == "__main__":
    prove() if sys.argv[1:] == ["prove"] else main(*sys.argv[1:])
