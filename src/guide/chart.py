#!/usr/bin/env python3
"""Draws chart.svg from the table in performance.md, standard library only: `python3 src/guide/chart.py`.

One group of bars for each work measured against raw-line: the ratio to raw-line in the same run, which is 1. A cell holds
a figure, a ratio in brackets, or both; a row without ratios is not drawn. `--check` compares instead of writing."""
import re
import sys
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent
COLOURS = {"localsocket": "#0969da", "raw-line": "#8c959f", "raw-echo": "#bf8700", "tokio": "#1a7f37", "redis": "#cf222e",
           "nats": "#8250df"}
LABELS, UNIT, BAR, GAP = 290, 330, 13, 14  # pixels: the labels' column, the length of ratio 1, a bar, between groups


def table():
    """Pairs of a row's label and its ratios by server, those that the table has."""
    lines = [line for line in (HERE / "performance.md").read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    servers = next(row for row in rows if row[0] == "work")[1:]
    for label, *cells in rows:
        cells = dict(zip(servers, cells))
        ratios = {"raw-line": 1.0} if cells.get("raw-line") else {}
        for server, cell in cells.items():
            if found := re.search(r"\(([0-9.]+)\)", cell):
                ratios[server] = float(found[1])
        if "localsocket" in ratios:
            yield label, ratios


def draw():
    groups = list(table())
    servers = [server for server in COLOURS if any(server in ratios for _, ratios in groups)]
    parts, y = [], 44
    for label, ratios in groups:
        top = y
        for server in (server for server in servers if server in ratios):
            width = ratios[server] * UNIT
            parts.append(f'<rect x="{LABELS}" y="{y}" width="{width:.0f}" height="{BAR - 2}" fill="{COLOURS[server]}"/>')
            parts.append(f'<text x="{LABELS + width + 5:.0f}" y="{y + 10}" font-size="10">{ratios[server]:.2f}</text>')
            y += BAR
        words, middle = escape(label).split(", "), (top + y) / 2
        half = (len(words) + 1) // 2
        for text, line in ((", ".join(words[:half]) + ("," if words[half:] else ""), -3), (", ".join(words[half:]), 11)):
            parts.append(f'<text x="{LABELS - 8}" y="{middle + line:.0f}" text-anchor="end">{text}</text>')
        y += GAP
    legend = []
    for place, server in enumerate(servers):
        x = LABELS + place * 92
        legend.append(f'<rect x="{x}" y="14" width="11" height="11" fill="{COLOURS[server]}"/>')
        legend.append(f'<text x="{x + 16}" y="24">{server}</text>')
    line = LABELS + UNIT
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {y}" role="img" font-family="sans-serif" font-size="12" '
        'aria-label="Messages per second beside other servers, as a ratio to raw-line">',
        f'<rect width="860" height="{y}" fill="#fff"/>', *legend,
        f'<path d="M{line} 36V{y - 8}" stroke="#8c959f" stroke-dasharray="3 3"/>', *parts, "</svg>", ""])


chart = HERE / "chart.svg"
if "--check" in sys.argv:
    if chart.read_text() != draw():
        sys.exit("src/guide/chart.svg is older than the table in performance.md: run make chart")
else:
    chart.write_text(draw())
