"""The tables and the plot of what regions are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kairos.bench.hierarchical import BASE, EDGES, LARGE, REGIONS, Report
from kairos.bench.motion_report import Colour, draw_legend
from kairos.training.files import written_whole
from kairos.training.hierarchical import MASKS
from kairos.training.plot import ticks
from kairos.training.rows import SMOOTH, Curves

COLOURS: Mapping[str, Colour] = {
    BASE: (140, 140, 140),
    REGIONS: (32, 32, 32),
    "no part": (120, 70, 160),
    "HCE-S": (60, 160, 190),
    "HCE-T": (36, 92, 168),
    "HIR-L": (230, 140, 30),
    "HIR-S": (40, 140, 70),
    "all": (200, 50, 40),
}
"""By row."""

BINS = (LARGE, 40.0, 70.0, float("inf"))
"""Of motion, pixels."""

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM, _LEGEND = 640, 400, 64, 20, 40, 40, 40
_INK, _GREY = (32, 32, 32), (216, 216, 216)

Lines = Dict[str, List[Tuple[float, float]]]


def render(report: Report) -> str:
    """Means over all scenes and over those with larger motion, and how far from swift as it is."""
    lines: List[str] = []
    for over in (0.0, *EDGES):
        if not report.count(over):
            continue
        what = f"{report.count(over)} scenes" + (f" with motion over {over:g} px" if over else "")
        lines += ["", f"{what}: PSNR of the in-between, dB, and what it gains on {BASE}; end-point error, px"]
        base = report.mean(BASE, "none", over=over)
        lines.append(f"{'':<16}" + "".join(f"{masks + ' masks':>28}" for masks in MASKS))
        for name in _names(report):
            lines.append(f"{name:<16}" + "".join(_cell(report, name, masks, over, base) for masks in MASKS))
    lines += ["", f"The first of {report.looked} made scenes of the validation seed that count; never trained on."]
    return "\n".join(lines[1:])


def _names(report: Report) -> Sequence[str]:
    return list(dict.fromkeys(name for name, _ in report.rows))


def _cell(report: Report, name: str, masks: str, over: float, base: float) -> str:
    if (name, masks) not in report.rows:
        return f"{'':>28}"
    psnr, epe = (report.mean(name, masks, figure, over) for figure in ("psnr", "epe"))
    return f"{psnr:>12.2f} {psnr - base:>+6.2f} {epe:>7.2f} "


def draw_plot(report: Report, curves: Curves, path: Path) -> None:
    """How the rows learned, and what each gains on swift by the size of the motion, with true masks; as PNG.

    Raises KairosError where it cannot be written.
    """
    image = Image.new("RGB", (2 * _WIDTH, _HEIGHT + _LEGEND), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    learned = {
        name: [((index + 1.0) * SMOOTH, value) for index, value in enumerate(curve)] for name, curve in curves.items()
    }
    _panel(draw, 0, "Error of the motion as it is trained on, by steps", learned)
    _panel(draw, _WIDTH, "dB gained on swift with true masks, by the scene's motion in px", gains(report))
    rows = [name for name in COLOURS if name in curves or (name, MASKS[0]) in report.rows]
    draw_legend(draw, (_LEFT, _HEIGHT + _LEGEND // 2), {name: COLOURS[name] for name in rows})
    with written_whole(path) as temporary:
        image.save(temporary, "PNG")


def gains(report: Report, masks: str = MASKS[0]) -> Lines:
    """By row, at every bin's mean motion: what the row gains on swift as it is, mean over the bin's scenes, dB."""
    moved, found = np.array(report.motion), {}
    base = np.array(report.rows[BASE, "none"].psnr)
    for name in (name for name, kind in report.rows if kind == masks):
        gained = np.array(report.rows[name, masks].psnr) - base
        bins = [(moved >= low) & (moved < high) for low, high in zip(BINS, BINS[1:])]
        found[name] = [(float(moved[one].mean()), float(gained[one].mean())) for one in bins if one.any()]
    return found


def _panel(draw: ImageDraw.ImageDraw, corner: int, title: str, lines: Lines) -> None:
    places = [place for line in lines.values() for place in line]
    if len({x for x, _ in places}) < 2:
        return
    left, right, upper, lower = corner + _LEFT, corner + _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
    (first, last), (low, high) = ((min(values), max(values)) for values in zip(*places))
    margin = 0.05 * (high - low) or 1.0
    low, high = low - margin, high + margin
    font = ImageFont.load_default(13)

    def at(x: float, y: float) -> Tuple[float, float]:
        return left + (right - left) * (x - first) / (last - first), lower - (lower - upper) * (y - low) / (high - low)

    for value in ticks(low, high, False):
        draw.line([at(first, value), at(last, value)], _GREY)
        draw.text((left - 8, at(first, value)[1]), f"{value:.3g}", _INK, font, "rm")
    for value in ticks(first, last, False):
        draw.line([at(value, low), at(value, high)], _GREY)
        draw.text((at(value, low)[0], lower + 6), f"{value:g}", _INK, font, "ma")
    draw.rectangle([left, upper, right, lower], outline=_INK)
    draw.text((left, upper - 20), title, _INK, ImageFont.load_default(15))
    for name, line in lines.items():
        draw.line([at(*place) for place in line], COLOURS[name], 2, joint="curve")
