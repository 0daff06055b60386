"""The training curve as a picture: loss, and the validation score, against steps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Callable, List, Mapping, Sequence, Tuple

from PIL import Image, ImageDraw, ImageFont

from kairos.training.files import written_whole
from kairos.training.log import NAME, read_log

CURVE = "curve.png"

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 320, 84, 24, 36, 40
_POINTS = 400
"""Points of a curve, at most: neighbours are averaged, so that what is seen is the trend and not the scenes' noise."""

_INK, _GREY, _LOSS, _SCORE = (32, 32, 32), (216, 216, 216), (36, 92, 168), (190, 84, 24)

Points = Sequence[Tuple[float, float]]


def draw_curve(folder: Path) -> None:
    """Draws ``curve.png`` from ``log.jsonl``; without a line to draw it leaves things as they are.

    Raises:
        KairosError: the folder cannot be written.
    """
    lines = read_log(folder / NAME)
    panels = [
        ("loss", _series(lines, "train", "loss"), True, _LOSS),
        ("validation score", _series(lines, "validation", "score"), False, _SCORE),
    ]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return
    image = Image.new("RGB", (_WIDTH, _PANEL * len(panels)), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    last = max(step for _, points, _, _ in panels for step, _ in points)
    for index, (title, points, logarithmic, colour) in enumerate(panels):
        _panel(draw, index * _PANEL, title, points, max(last, 1.0), logarithmic, colour)
    with written_whole(folder / CURVE) as temporary:
        image.save(temporary, "PNG")


def ticks(low: float, high: float, logarithmic: bool) -> List[float]:
    """Round values between two others: 1, 2 and 5 times powers of ten; two at least.

    Args:
        low, high: ends of the axis, ``low`` < ``high``; above 0 where it is logarithmic.
        logarithmic: the axis is.
    """
    if logarithmic and high / low >= 4:
        tens = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [m * 10.0**ten for ten in tens for m in (1, 2, 5) if low <= m * 10.0**ten <= high]
        return found if len(found) <= 9 else [each for each in found if f"{each:e}"[0] == "1"]
    span = high - low
    unit = 10.0 ** math.floor(math.log10(span / 4))
    step = next(m * unit for m in (1, 2, 5, 10) if span / (m * unit) <= 6)
    first = math.ceil(low / step)
    return [step * index for index in range(first, math.floor(high / step) + 1)]


def _series(lines: Sequence[Mapping[str, Any]], kind: str, name: str) -> List[Tuple[float, float]]:
    values = [(line["step"], line.get(name)) for line in lines if line.get("kind") == kind]
    points = [(float(step), float(value)) for step, value in values if isinstance(value, (int, float))]
    many = math.ceil(len(points) / _POINTS)
    groups = [points[start : start + many] for start in range(0, len(points), max(1, many))]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _panel(
    draw: ImageDraw.ImageDraw,
    top: int,
    title: str,
    points: Points,
    last: float,
    logarithmic: bool,
    colour: Tuple[int, int, int],
) -> None:
    values = [value for _, value in points]
    logarithmic = logarithmic and min(values) > 0
    low, high = _ends(values, logarithmic)
    scale: Callable[[float], float] = math.log10 if logarithmic else float
    left, right, upper, lower = _LEFT, _WIDTH - _RIGHT, top + _TOP, top + _PANEL - _BOTTOM
    font = ImageFont.load_default(13)

    def across(step: float) -> float:
        return left + (right - left) * step / last

    def up(value: float) -> float:
        return lower - (lower - upper) * (scale(value) - scale(low)) / (scale(high) - scale(low))

    for value in ticks(low, high, logarithmic):
        draw.line([(left, up(value)), (right, up(value))], _GREY)
        draw.text((left - 8, up(value)), f"{value:.4g}", _INK, font, "rm")
    for step in ticks(0.0, last, False):
        draw.line([(across(step), upper), (across(step), lower)], _GREY)
        draw.text((across(step), lower + 6), f"{step:,.0f}" if last >= 5 else f"{step:g}", _INK, font, "ma")
    draw.rectangle([left, upper, right, lower], outline=_INK)
    told = f"{title}{' (log scale)' if logarithmic else ''}: now {values[-1]:.5g}, "
    told += f"lowest {min(values):.5g}" if title == "loss" else f"best {max(values):.5g}"
    draw.text((left, top + 12), told, _INK, ImageFont.load_default(15))
    draw.text((right, lower + 22), "steps", _INK, font, "ra")
    places = [(across(step), up(value)) for step, value in points]
    if len(places) > 1:
        draw.line(places, colour, 2, joint="curve")
    if len(places) <= 60:
        for x, y in places:
            draw.ellipse([x - 2.5, y - 2.5, x + 2.5, y + 2.5], colour)


def _ends(values: Sequence[float], logarithmic: bool) -> Tuple[float, float]:
    """The value axis: a little more than what is on it."""
    low, high = min(values), max(values)
    if logarithmic:
        return low / 1.1, high * 1.1
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin
