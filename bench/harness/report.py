"""Writes the results: bench/results/latest.json, docs/benchmarks.md and a chart for each case."""

import json

from . import chart

FIELDS = ("case", "variant", "metric", "unit", "lower_is_better", "ours", "peers", "ratios", "budget", "holds", "spread", "rounds")
# A peer counts as better from this factor on; closer figures change their order from run to run.
CLOSE = 1.05

INTRODUCTION = """\
# Benchmarks

This page is written by `make bench`, which builds everything that is compared, starts the test simulator and runs the
cases interleaved (one program after the other, round by round). Figures are medians of the rounds. Ratios (ours divided by
the peer's) are the result; absolute figures only illustrate it and apply to the machine below.
`bench/results/latest.json` has the numbers; `bench/README.md` says how to add a case.

The peers:

- **floor**: a bare socket (or OpenSSL on it) with an HTTP request written by hand, which does not examine the XML: the least that a call
  can cost. It reads the same bytes as the library, through chunks and zlib if the library does.
- **libcurl**: a C program on libcurl and libxml2, as a developer would write it today.
- **govmomi**: a Go program on govmomi. Its limit of idle connections is raised to 100, because with Go's default of 2 most
  calls of many goroutines would make a new connection.
- **requests**: a Python program on requests, in the cases about HTTP. Its pool of connections is raised from 10 to 100, too.
- **pyVmomi**: a Python program on pyVmomi. Its pool of connections is raised from 5 to 100 for the same reason.
"""


def number(value):
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def worse(row):
    """The peers that do better in this row, with the ratio."""
    for name, ratio in row["ratios"].items():
        if ratio and name not in row["references"]:
            by = ratio if row["lower_is_better"] else 1 / ratio
            if by > CLOSE:
                yield name, by


def table(header, lines):
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for line in lines:
        yield "| " + " | ".join(line) + " |"
    yield ""


def summary(rows, titles):
    budgeted = [row for row in rows if row["budget"]]
    broken = [row for row in budgeted if not row["holds"]]
    yield "## Where it falls short\n"
    if broken:
        yield f"Of {len(budgeted)} budgets {len(broken)} do not hold:\n"
        yield from table(
            ["case", "variant", "metric", "ours", "budget", "ours/peer"],
            [
                [
                    titles[row["case"]], row["variant"], row["metric"], f"{number(row['ours'])} {row['unit']}".strip(), row["budget"],
                    ", ".join(f"{name} {number(ratio)}" for name, ratio in row["ratios"].items()),
                ]
                for row in broken
            ],
        )  # fmt: skip
    else:
        yield f"All {len(budgeted)} budgets hold.\n"
    beaten = [(row, name, by) for row in rows for name, by in worse(row)]
    if beaten:
        yield "A peer does better (by more than 5 %):\n"
        yield from table(
            ["case", "variant", "metric", "peer", "times better than vsession"],
            [[titles[row["case"]], row["variant"], row["metric"], name, number(by)] for row, name, by in beaten],
        )
    else:
        yield "No peer does better in anything measured here (by more than 5 %).\n"


def case_section(case, rows, has_chart):
    yield f"## {case.TITLE}\n"
    yield case.WHAT + "\n"
    if has_chart:
        yield f"![{case.TITLE}: how many times better vsession is than each peer](benchmarks/{case.NAME}.svg)\n"
    peers = list(dict.fromkeys(name for row in rows for name in row["peers"]))
    yield "Each peer's figure, and in brackets ours divided by it. After ours, the lowest and the highest round.\n"
    lines = []
    for row in rows:
        low, high = row["spread"]["ours"]
        ours = f"**{number(row['ours'])}**" + (f" ({number(low)}–{number(high)})" if row["rounds"] > 1 else "")
        unit = f", {row['unit']}" if row["unit"] else ""
        better = "" if row["lower_is_better"] else " (more is better)"
        cells = [
            f"{number(row['peers'][name])} ({number(row['ratios'][name])})" if name in row["peers"] else "" for name in peers
        ]
        holds = {True: "yes", False: "**no**", None: ""}[row["holds"]]
        lines.append([row["variant"], row["metric"] + unit + better, ours, *cells, row["budget"] or "", holds])
    yield from table(["variant", "metric", "vsession", *peers, "budget", "holds"], lines)


def write(json_file, page, charts, cases, rows, machine):
    json_file.parent.mkdir(parents=True, exist_ok=True)
    charts.mkdir(parents=True, exist_ok=True)
    plain = [{name: row[name] for name in FIELDS} for row in rows]
    json_file.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
    titles = {case.NAME: case.TITLE for case in cases}
    lines = [INTRODUCTION, "The machine:\n"]
    lines += table(["what", "which"], [[name, value] for name, value in machine.items()])
    if float(machine["load before the start"]) > 0.5:
        lines += ["**Other work kept the machine busy during this run (see its load before the start): run it again.**\n"]
    lines += summary(rows, titles)
    for case in cases:
        mine = [row for row in rows if row["case"] == case.NAME]
        if not mine:
            continue
        svg = chart.draw(case.TITLE, mine)
        if svg:
            (charts / f"{case.NAME}.svg").write_text(svg)
        lines += case_section(case, mine, svg is not None)
    page.write_text("\n".join(lines).rstrip() + "\n")
