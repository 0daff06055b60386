"""The motion bench's tables and its plot."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kairos.bench.motion import CURVED, EDGES, TRUE, TRUTH, Report, Sums, Tally
from kairos.bench.motion_methods import CARRIED, FORWARD, GIMM_FOUR, GIMM_TWO, LINEAR, QUADRATIC
from kairos.training.files import written_whole
from kairos.training.gimm import TIMES
from kairos.training.plot import ticks
from kairos.training.scenes import VERSION

Figure = Tuple[str, Callable[[Tally], Sums], int]
"""Title, figures by time, decimal places."""

PICTURE = "PSNR of the picture rebuilt along the motion, dB"

FIGURES: Sequence[Figure] = (
    ("PSNR of the normalised flow, dB", lambda tally: tally.flow_psnr, 2),
    ("EPE of the velocity, pixels", lambda tally: tally.velocity_epe, 3),
    ("EPE of the ways to both frames, pixels", lambda tally: tally.way_epe, 3),
    (PICTURE, lambda tally: tally.picture_psnr, 2),
)

Colour = Tuple[int, int, int]

COLOURS: Mapping[str, Colour] = {
    LINEAR: (140, 140, 140),
    FORWARD: (36, 92, 168),
    CARRIED: (60, 160, 190),
    QUADRATIC: (120, 70, 160),
    GIMM_TWO: (230, 140, 30),
    GIMM_FOUR: (200, 50, 40),
    TRUTH: (40, 140, 70),
}
"""By method."""

NO_WEIGHTS = "GIMM: no weights, left out. Run kairos train gimm and give --weights FILE, or kairos weights add FILE."

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM, _LEGEND = 560, 360, 64, 20, 40, 40, 40
_INK, _GREY = (32, 32, 32), (216, 216, 216)


def render(report: Report) -> str:
    """A table per figure, by time and their mean; one by quantity of curvature; what it was measured on."""
    lines: List[str] = []
    for title, figures, places in FIGURES:
        rows = _rows(report, title, figures)
        lines += _table(title, [f"t={time:g}" for time in TIMES], rows, places, mean=True)
    names = [f"<= {EDGES[0]:g}", *(f"{low:g}-{high:g}" for low, high in zip(EDGES, EDGES[1:])), f"> {EDGES[-1]:g}"]
    for number, what in enumerate(("velocity", "ways to both frames")):
        split = {name: tally.curved_epe[number] for name, tally in report.tallies.items() if name != TRUTH}
        lines += _table(f"EPE of the {what}, pixels, by distance from the straight line", names, split, 3, mean=False)
    shares = report.tallies[TRUTH].pixels_split
    told = ", ".join(f"{name} px: {share:.1%}" for name, share in zip(names, shares / max(shares.sum(), 1.0)))
    lines.append(f"Distance: of the true path half-way. Parts of all pixels: {told}.")
    away = np.mean([away for _, away in report.chosen])
    lines.append(
        f"{len(report.chosen)} made scenes of {report.width}x{report.height}, version {VERSION}, validation seed, "
        f"never trained on: those of the first {report.walked} that curve by {CURVED:g} px and more in the mean (all: "
        f"{away:.2f} px). No films, shadows, motion blur, grain, changes of brightness."
    )
    given = (
        "the scene's own, of points that are hidden too"
        if report.flows == TRUE
        else "those that the quick classical search of swift finds in the pictures"
    )
    lines.append(f"Flows given to all methods: {given}. Methods that name 4 see those to both outer frames too.")
    lines.append(
        "Motion counts where the truth is valid and either frame shows the point. Pictures are rebuilt along each "
        "motion with the true visibility, and count whole; truth: along the true motion."
    )
    lines.append(_weights_line(report))
    return "\n".join(lines)


def _rows(report: Report, title: str, figures: Callable[[Tally], Sums]) -> Dict[str, Sums]:
    """By method. The truth stands in pictures alone: its motion has no error."""
    motion = title != PICTURE
    return {name: figures(tally) for name, tally in report.tallies.items() if not (motion and name == TRUTH)}


def _weights_line(report: Report) -> str:
    if not report.weights:
        return NO_WEIGHTS
    four = "" if report.four else " The published network sees two frames alone: no column with four."
    return f"GIMM: weights {report.weights}.{four}"


def _table(title: str, columns: Sequence[str], rows: Mapping[str, Sums], places: int, mean: bool) -> List[str]:
    names = [*columns, "mean"] if mean else list(columns)
    width = max(map(len, (LINEAR, FORWARD, CARRIED, QUADRATIC)))
    lines = [title, " ".join([" " * width, *(f"{name:>8}" for name in names)])]
    for name, figures in rows.items():
        every = [*figures, np.mean(figures)] if mean else list(figures)
        cells = ("-" if math.isnan(figure) else f"{figure:.{places}f}" for figure in every)
        lines.append(" ".join([f"{name:<{width}}", *(f"{cell:>8}" for cell in cells)]))
    return [*lines, ""]


def draw_plot(report: Report, path: Path) -> None:
    """The four figures against time, one line per method, as PNG. Raises KairosError where it cannot be written."""
    image = Image.new("RGB", (2 * _WIDTH, 2 * _HEIGHT + _LEGEND), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for place, (title, figures, _) in enumerate(FIGURES):
        _panel(draw, (place % 2 * _WIDTH, place // 2 * _HEIGHT), title, _rows(report, title, figures))
    draw_legend(draw, (_LEFT, 2 * _HEIGHT + _LEGEND // 2), {name: COLOURS[name] for name in report.tallies})
    with written_whole(path) as temporary:
        image.save(temporary, "PNG")


def draw_legend(
    draw: ImageDraw.ImageDraw, place: Tuple[int, int], names: Mapping[str, Colour], ink: Colour = _INK
) -> None:
    """Names beside their colours, in one line from a place (x, y) at its middle."""
    x, y = place
    font = ImageFont.load_default(15)
    for name, colour in names.items():
        draw.line([(x, y), (x + 28, y)], colour, 3)
        draw.text((x + 36, y), name, ink, font, "lm")
        x += 36 + int(draw.textlength(name, font)) + 28


def _panel(draw: ImageDraw.ImageDraw, corner: Tuple[int, int], title: str, lines: Dict[str, Sums]) -> None:
    left, right = corner[0] + _LEFT, corner[0] + _WIDTH - _RIGHT
    upper, lower = corner[1] + _TOP, corner[1] + _HEIGHT - _BOTTOM
    known = np.concatenate([figures[np.isfinite(figures)] for figures in lines.values()] or [np.zeros(0)])
    if not known.size:
        return
    low, high = float(known.min()), float(known.max())
    margin = 0.05 * (high - low) or 1.0
    low, high = low - margin, high + margin
    font = ImageFont.load_default(13)

    def at(time: float, figure: float) -> Tuple[float, float]:
        return left + (right - left) * time, lower - (lower - upper) * (figure - low) / (high - low)

    for value in ticks(low, high, False):
        draw.line([at(0, value), at(1, value)], _GREY)
        draw.text((left - 8, at(0, value)[1]), f"{value:.4g}", _INK, font, "rm")
    for time in TIMES:
        draw.line([at(time, low), at(time, high)], _GREY)
        draw.text((at(time, low)[0], lower + 6), f"{time:g}", _INK, font, "ma")
    draw.rectangle([left, upper, right, lower], outline=_INK)
    draw.text((left, upper - 20), title, _INK, ImageFont.load_default(15))
    for name, figures in lines.items():
        places = [at(time, float(figure)) for time, figure in zip(TIMES, figures) if math.isfinite(figure)]
        draw.line(places, COLOURS[name], 2, joint="curve")
        for x, y in places:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], COLOURS[name])
