"""The table and the picture of ``kairos bench siren``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import List, Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont

from kairos.bench.siren import CARRIED, GRID, NARROW, PATHS, PUBLISHED, Report, Row, Subject
from kairos.training.files import written_whole

_ZOOM, _HEAD, _GAP = 3, 20, 6
_GROUND, _INK = (32, 32, 32), (225, 225, 225)

_SLICES = 16
"""Rows of a slice per interval of frames."""


def render(report: Report) -> str:
    """A table per clip; then the race, and what a narrow network shows of the frames that it was fitted to."""
    lines: List[str] = []
    for subject in report.subjects:
        height, width = subject.kept[0].shape[:2]
        lines.append(
            f"{subject.name}: {len(subject.kept)} frames of {width}x{height} kept, {len(subject.dropped)} withheld, "
            f"motion {subject.motion:.2f} px (90 % of what is believed is less)"
        )
        lines.append(f"{'':<22} {'observed':>9} {'withheld':>9} {'SSIM':>7} {'fit, s':>8}")
        lines += [_line(name, row) for name, row in subject.rows.items()]
        best = subject.rows[subject.best_vanilla].psnr
        gains = ", ".join(f"{name} {subject.rows[name].psnr - best:+.2f}" for name in (PUBLISHED, PATHS, CARRIED, GRID))
        lines.append(f"Over the best plain network ({subject.best_vanilla}), dB: {gains}.")
        told = ", ".join(f"{form} {value:.2f}" for form, value in subject.narrow.items())
        lines += [f"Network {NARROW} wide, PSNR of the observed frames, dB: {told}.", ""]
    if report.races:
        lines.append(f"Race to the observed frames' goal on {report.raced}, networks as wide as published:")
        lines += [
            f"{_line(name, race.row)}  {race.steps} steps{'' if race.reached else ', not reached'}"
            for name, race in report.races.items()
        ]
        lines.append("")
    clock = "of the processor" if report.device == "cpu" else "of the clock"
    lines.append(
        f"PSNR dB of 8-bit RGB. Sine networks {report.width} wide, {report.steps} steps each. Seconds {clock} on "
        f"{report.device}, without finding the motion."
    )
    return "\n".join(lines)


def draw(subject: Subject, path: Path) -> None:
    """A contact sheet of a clip's first withheld frame, and below it its middle row through time, without and with the
    constraint, as PNG. Raises KairosError where it cannot be written.
    """
    shown = [subject.best_vanilla, PUBLISHED, PATHS, CARRIED, GRID]
    height, width = subject.kept[0].shape[:2]
    sheet = [("withheld frame", subject.dropped[0])]
    slices = [("observed frames", _frames(subject))]
    for name in shown:
        window = subject.fields[name]
        with torch.inference_mode():
            device = next(window.field.parameters()).device
            moments = [step / _SLICES for step in range((window.count - 1) * _SLICES + 1)]
            planes = [window.picture((height, width), moment, device).clamp(0, 1) for moment in moments]
        sheet.append((name, _bytes(planes[_SLICES // 2])))
        slices.append((name, _bytes(torch.stack([plane[:, height // 2] for plane in planes], 1))))
    columns = len(sheet)
    tall = max(cell.shape[0] for _, cell in slices)
    image = Image.new(
        "RGB",
        (columns * (width * _ZOOM + _GAP) + _GAP, _HEAD * 3 + (height + tall) * _ZOOM + 2 * _GAP),
        _GROUND,
    )
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for column, ((name, cell), (title, strip)) in enumerate(zip(sheet, slices)):
        left = _GAP + column * (width * _ZOOM + _GAP)
        pen.text((left, _HEAD // 2), name, _INK, font, "lm")
        image.paste(_large(cell), (left, _HEAD))
        below = 2 * _HEAD + height * _ZOOM
        under = "its middle row, time downwards" if title == name else title
        pen.text((left, below - _HEAD // 2), under, _INK, font, "lm")
        image.paste(_large(strip), (left, below))
    with written_whole(path) as temporary:
        image.save(temporary, "PNG")


def _line(name: str, row: Row) -> str:
    seen = f"{row.seen:9.2f}" if math.isfinite(row.seen) else f"{'':>9}"
    seconds = f"{row.seconds:8.1f}" if row.seconds else f"{'':>8}"
    return f"{name:<22} {seen} {row.psnr:9.2f} {row.ssim:7.4f} {seconds}"


def _frames(subject: Subject) -> npt.NDArray[np.uint8]:
    """The middle row of the kept frames, each as long as its share of the time."""
    rows: Sequence[npt.NDArray[np.uint8]] = [frame[frame.shape[0] // 2] for frame in subject.kept]
    length = (len(rows) - 1) * _SLICES + 1
    return np.stack([rows[round(step / _SLICES)] for step in range(length)])


def _bytes(planes: torch.Tensor) -> npt.NDArray[np.uint8]:
    return (planes * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def _large(cell: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(cell).resize((cell.shape[1] * _ZOOM, cell.shape[0] * _ZOOM), Image.Resampling.NEAREST)
