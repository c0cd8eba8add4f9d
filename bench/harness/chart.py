"""Draws a case's chart as SVG: for each row, how many times better vsession is than each peer, on a logarithmic scale.
To the right of the line at 1 vsession is better, to the left of it the peer."""

import math
from html import escape

COLOURS = ["#1f77b4", "#d95f02", "#2ca02c", "#9467bd", "#8c564b", "#e377c2"]
WIDTH, LEFT, RIGHT, TOP, ROW = 760, 270, 40, 56, 26
NAMES_OF_MARKS = ["circle", "square", "diamond"]


def advantages(row):
    for name, ratio in row["ratios"].items():
        if ratio:
            yield name, 1 / ratio if row["lower_is_better"] else ratio


def mark(number, x, y, colour, title):
    shape = NAMES_OF_MARKS[number % len(NAMES_OF_MARKS)]
    tip = f"<title>{escape(title)}</title>"
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{colour}">{tip}</circle>'
    turn = f' transform="rotate(45 {x:.1f} {y})"' if shape == "diamond" else ""
    return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5}" width="9" height="9" fill="{colour}"{turn}>{tip}</rect>'


def draw(title, rows):
    rows = [row for row in rows if row["chart"] and any(advantages(row))]
    if not rows:
        return None
    peers = list(dict.fromkeys(name for row in rows for name, _ in advantages(row)))
    values = [value for row in rows for _, value in advantages(row)]
    low = math.floor(min(0.5, *values) and math.log2(min(0.5, *values)))
    high = math.ceil(math.log2(max(2, *values)))
    scale = (WIDTH - LEFT - RIGHT) / (high - low)
    bottom = TOP + ROW * len(rows)

    def at(value):
        return LEFT + (math.log2(value) - low) * scale

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 44}" font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{bottom + 44}" fill="#ffffff"/>',
        f'<rect x="{LEFT}" y="{TOP - 8}" width="{at(1) - LEFT:.1f}" height="{bottom - TOP + 8}" fill="#fbeaea"/>',
        f'<rect x="{at(1):.1f}" y="{TOP - 8}" width="{WIDTH - RIGHT - at(1):.1f}" height="{bottom - TOP + 8}" fill="#eef7ee"/>',
    ]
    x = 12
    for number, name in enumerate(peers):
        parts.append(mark(number, x, 16, COLOURS[number % len(COLOURS)], name))
        parts.append(f'<text x="{x + 10}" y="20" fill="#222">{escape(name)}</text>')
        x += 30 + 7.2 * len(name)
    step = max(1, (high - low + 9) // 10)
    for power in range(low, high + 1):
        if power % step == 0:
            value = 2.0**power
            shown = f"{value:g}×" if power >= 0 else f"1/{2**-power}×"
            parts.append(f'<line x1="{at(value):.1f}" x2="{at(value):.1f}" y1="{TOP - 8}" y2="{bottom}" stroke="{"#333" if power == 0 else "#ddd"}"/>')
            parts.append(f'<text x="{at(value):.1f}" y="{bottom + 16}" text-anchor="middle" fill="#444">{shown}</text>')
    parts.append(f'<text x="{at(1) - 6:.1f}" y="{TOP - 14}" text-anchor="end" fill="#a33">the peer is better</text>')
    parts.append(f'<text x="{at(1) + 6:.1f}" y="{TOP - 14}" fill="#373">vsession is better</text>')
    parts.append(f'<text x="{LEFT}" y="{bottom + 34}" fill="#444">times better than the peer (logarithmic)</text>')
    for number, row in enumerate(rows):
        y = TOP + ROW * number + ROW // 2
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#e8e8e8"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end" fill="#222">{escape(row["variant"])}: {escape(row["metric"])}</text>')
        for name, value in advantages(row):
            index = peers.index(name)
            parts.append(mark(index, at(value), y, COLOURS[index % len(COLOURS)], f"{name}: {value:.2f}×"))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
