"""Drawing of a Grafana dashboard's panels as HTML and SVG, for the pictures of the docs.

Owns the look: titles, grid, lines, legends and single numbers. It interprets the parts of the
dashboards' JSON that `panels` writes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

_COLUMNS, _UNIT = 24, 30  # of Grafana's grid, and the height of one row in px
_WIDTH, _LEFT, _TOP, _BOTTOM = 400, 52, 8, 20  # of a chart, in units of its own
_MAX_LEGENDS = 8
_COLOURS = ("#3274d9", "#8f3bb8", "#b8660b", "#0f7a78", "#b23a76", "#55731a", "#5a6472", "#b3251f")
_NAMED = {"green": "#17683f", "orange": "#b8660b", "red": "#b3251f"}
_STYLE = """
body{margin:0;padding:18px;background:#f4f5f5;font:12px/1.4 sans-serif;color:#24292e}
h1{font-size:17px;margin:0 0 2px}p{margin:0 0 12px;color:#5a6472}
main{display:grid;grid-template-columns:repeat(24,minmax(0,1fr));gap:8px}
h2{grid-column:1/-1;font-size:13px;margin:8px 0 0}
section{background:#fff;border:1px solid #d8dade;border-radius:3px;padding:6px 9px;overflow:hidden}
h3{font-size:12px;margin:0 0 3px;font-weight:600}svg{display:block;width:100%}
b{font-size:26px;font-weight:600}ul{list-style:none;margin:3px 0 0;padding:0;display:flex;
flex-wrap:wrap;gap:1px 12px;color:#5a6472;font-size:11px}
li::before{content:"";display:inline-block;width:10px;height:3px;margin:0 5px 3px 0;
background:var(--c)}
"""


@dataclass(frozen=True, slots=True)
class Series:
    """One line: pairs of a time (seconds since the epoch) and a value, which may be nan."""

    name: str
    points: Sequence[tuple[float, float]]

    @property
    def last(self) -> float:
        """The last value, nan without one."""
        return next((v for _, v in reversed(self.points) if not math.isnan(v)), math.nan)


def page(
    board: Mapping[str, Any], values: Mapping[int, Sequence[Series]], start: float, end: float
) -> str:
    """Return a dashboard as an HTML page. `values` are the lines of each panel by its id."""
    panels = []
    for panel in board["panels"]:
        grid = panel["gridPos"]
        if panel["type"] == "row":
            panels.append(f"<h2>{escape(panel['title'])}</h2>")
            continue
        draw = _stat if panel["type"] == "stat" else _chart
        content = draw(panel, list(values[panel["id"]]), start, end)
        height = grid["h"] * _UNIT
        style = f"grid-column:{grid['x'] + 1}/span {grid['w']};min-height:{height}px"
        title = escape(panel["title"])
        panels.append(f'<section style="{style}"><h3>{title}</h3>{content}</section>')
    title, about = escape(board["title"]), escape(board["description"])
    return (
        f"<!doctype html><meta charset=utf-8><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>{about}</p><main>{''.join(panels)}</main>"
    )


def _unit(panel: Mapping[str, Any]) -> str:
    return str(panel["fieldConfig"]["defaults"]["unit"])


def _stat(panel: Mapping[str, Any], lines: list[Series], _start: float, _end: float) -> str:
    value = lines[0].last if lines else math.nan
    colour = "#24292e"
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = _NAMED[step["color"]]
    text = "No data" if math.isnan(value) else number(value, _unit(panel))
    return f'<b style="color:{colour}">{text}</b>'


def _chart(panel: Mapping[str, Any], lines: list[Series], start: float, end: float) -> str:
    lines.sort(key=lambda line: -_peak(line))
    shown = lines[:_MAX_LEGENDS]
    height: int = panel["gridPos"]["h"] * _UNIT - 74
    width: float = _WIDTH * panel["gridPos"]["w"] / 8
    top = _nice(max((_peak(line) for line in shown), default=0.0), _unit(panel))

    def x(at: float) -> float:
        return _LEFT + (at - start) / (end - start) * (width - _LEFT)

    def y(value: float) -> float:
        return height - _BOTTOM - value / top * (height - _TOP - _BOTTOM)

    parts = []
    for share in (0, 0.5, 1):
        at = y(top * share)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{width}" stroke="#e4e5e7"/>')
        label = number(top * share, _unit(panel))
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{label}</text>')
    for share in (0.1, 0.37, 0.64, 0.91):
        at = start + (end - start) * share
        text = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
        parts.append(f'<text x="{x(at):.1f}" y="{height - 4}" text-anchor="middle">{text}</text>')
    for colour, line in zip(_COLOURS, shown, strict=False):
        d, pen = "", "M"
        for at, value in line.points:
            if math.isnan(value) or math.isinf(value):
                pen = "M"
                continue
            d += f"{pen}{x(at):.1f} {y(value):.1f}"
            pen = "L"
        parts.append(f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="1.4"/>')
    legends = "".join(
        f'<li style="--c:{colour}">{escape(line.name)}</li>'
        for colour, line in zip(_COLOURS, shown, strict=False)
    )
    more = f"<span>and {len(lines) - len(shown)} more</span>" if len(lines) > len(shown) else ""
    empty = "" if lines else f'<text x="{width / 2}" y="{height / 2}">No data</text>'
    box = f'viewBox="0 0 {width} {height}" height="{height}" preserveAspectRatio="none"'
    return (
        f'<svg {box} font-size="11" fill="#5a6472">{"".join(parts)}{empty}</svg>'
        f"<ul>{legends}{more}</ul>"
    )


def _peak(line: Series) -> float:
    return max((v for _, v in line.points if math.isfinite(v)), default=0.0)


def _nice(value: float, unit: str) -> float:
    if unit == "percentunit":
        return max(1.0, value)
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(each * power for each in (1, 2, 5, 10) if each * power >= value)


def number(value: float, unit: str) -> str:
    """Return a value as Grafana abbreviates it."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        scaled = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
        size, name = next((one for one in scaled if abs(value) >= one[0]), scaled[-1])
        return f"{value / size:.3g} {name}" if value else "0 s"
    if unit == "bytes":
        return f"{value / 1e6:.3g} MB"
    return f"{value:.3g}{'/s' if unit in ('reqps', 'ops') else ''}"
