"""Real clips: three frames of every four are dropped and rebuilt, without and with GIMM."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from kairos.bench.clips import CLIPS
from kairos.bench.metrics import Image, psnr
from kairos.bench.quality import rebuild
from kairos.engines.base import EngineSettings
from kairos.engines.registry import engine
from kairos.errors import BadRequest, KairosError

NAMES = ("judo", "dog-run", "tennis-pan", "car-turn 40-56", "car-turn 62-78")
"""Clips with frames enough."""

APART = 4
"""Of so many frames one is kept."""

OPTION, IMPLICIT = "motion", "gimm"
"""The option of engines that take their paths from GIMM, and how it is asked for."""

ENGINES = ("classic", "swift")


@dataclass(frozen=True)
class Clips:
    """PSNR of the rebuilt frames, 8-bit RGB, dB.

    Attributes:
        methods: in the order of the columns.
        figures: by clip and method, mean over the clip's rebuilt frames.
        counts: rebuilt frames by clip.
        left_out: a line for every method that could not be measured.
    """

    methods: Sequence[str]
    figures: Mapping[str, Mapping[str, float]]
    counts: Mapping[str, int]
    left_out: Sequence[str]

    def mean(self, method: str) -> float:
        """Over clips, not frames."""
        return float(np.mean([row[method] for row in self.figures.values()]))


def split_apart(frames: Sequence[Image], apart: int = APART) -> Tuple[List[Image], List[Image]]:
    """Every frame ``apart`` from the last one kept, and those between; what follows the last kept one is lost."""
    whole = (len(frames) - 1) // apart * apart + 1
    dropped = [frame for number, frame in enumerate(frames[:whole]) if number % apart]
    return list(frames[:whole:apart]), dropped


def measure_clips(
    root: Path,
    engines: Sequence[str] = ENGINES,
    names: Sequence[str] = NAMES,
    listener: Optional[Callable[[str], None]] = None,
) -> Clips:
    """Runs the bench on real clips.

    Args:
        root: the folder of development data.
        engines: ids; each is measured as it is, and with GIMM's paths where it can take them.
        names: clips.
        listener: told one line per clip and method.

    Raises:
        BadRequest: an unknown engine, or no such folder or clip.
    """
    if not root.is_dir():
        raise BadRequest(f"{root} is no folder.", "Give the folder of development data.")
    ways, left_out = _ways(engines)
    figures: Dict[str, Dict[str, float]] = {}
    counts: Dict[str, int] = {}
    times = [number / APART for number in range(1, APART)]
    for clip in (clip for clip in CLIPS if clip.name in names):
        kept, dropped = split_apart(clip.load(root))
        figures[clip.name], counts[clip.name] = {}, len(dropped)
        for name, (id, settings) in list(ways.items()):
            try:
                made = rebuild(id, kept, settings, times=times)
            except KairosError as error:
                if OPTION not in settings.options:
                    raise
                left_out.append(f"{name}: left out. {error}")
                ways.pop(name)
                continue
            figures[clip.name][name] = float(np.mean([psnr(truth, image) for truth, image in zip(dropped, made)]))
            if listener is not None:
                listener(f"{clip.name}: {name} {figures[clip.name][name]:.2f} dB")
    # A method that failed on a later clip has no column.
    table = {clip: {name: row[name] for name in ways} for clip, row in figures.items()}
    return Clips(tuple(ways), table, counts, left_out)


def _ways(engines: Sequence[str]) -> Tuple[Dict[str, Tuple[str, EngineSettings]], List[str]]:
    """Engines and settings by column, and what there is no column for."""
    ways: Dict[str, Tuple[str, EngineSettings]] = {}
    left_out = []
    for id in engines:
        card, settings = engine(id).card, EngineSettings()
        ways[card.id] = card.id, settings
        if OPTION in card.parameters:
            ways[f"{card.id} {IMPLICIT}"] = card.id, replace(settings, options={OPTION: IMPLICIT})
        else:
            left_out.append(f"{card.id} {IMPLICIT}: left out. {card.id} takes no paths from GIMM.")
    return ways, left_out


def render_clips(clips: Clips) -> str:
    """The table: PSNR per clip and method, what GIMM's paths gain, and the means."""
    width = max(map(len, (*clips.figures, "clip")))
    gained = [name for name in clips.methods if name.endswith(f" {IMPLICIT}")]
    lines = [_line(width, "clip", "frames", [*clips.methods, *(f"gain {_plain(name)}" for name in gained)])]
    rows = [(clip, str(clips.counts[clip]), row) for clip, row in clips.figures.items()]
    if rows:
        rows.append(("mean", str(sum(clips.counts.values())), {name: clips.mean(name) for name in clips.methods}))
    for clip, frames, row in rows:
        cells = [f"{row[name]:.2f}" for name in clips.methods]
        cells += [f"{row[name] - row[_plain(name)]:+.2f}" for name in gained]
        lines.append(_line(width, clip, frames, cells))
    lines.append(f"PSNR dB, 8-bit RGB: every {APART}th frame kept, {APART - 1} rebuilt between each two of them.")
    return "\n".join([*lines, *clips.left_out])


def _plain(name: str) -> str:
    return name.removesuffix(f" {IMPLICIT}")


def _line(width: int, clip: str, frames: str, cells: Sequence[str]) -> str:
    return " ".join([f"{clip:<{width}}", f"{frames:>7}", *(f"{cell:>14}" for cell in cells)])
