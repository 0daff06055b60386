"""``kairos bench adapt``: what fitting the weights of ``swift`` to a clip gains on that clip.

Of each clip the odd frames are dropped, as in ``kairos bench quality``. Weights are fitted to the even ones alone: half
of their triplets are learned from, the other half is held back and decides whether the fitted weights are kept. Judged
are the held-back frames, and the odd frames, which nothing has seen.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Sequence

import numpy as np

from kairos.bench.clips import CLIPS, split
from kairos.bench.engine_speed import choose_device
from kairos.bench.metrics import Image, psnr
from kairos.bench.quality import EncodedShot, rebuild
from kairos.engines.base import EngineSettings
from kairos.engines.swift.loading import SHIPPED, load_network
from kairos.errors import BadRequest
from kairos.training import checkpoint
from kairos.training.adapt import Adapted, AdaptSettings, adapt

NAMES = ("dog-run", "car-turn 40-56", "car-turn 62-78")
"""Clips with even frames enough."""


@dataclass(frozen=True)
class Row:
    """A clip.

    Attributes:
        clip: its name.
        result: of the fitting.
        odd_before, odd_after: PSNR of every odd frame, 8-bit RGB, dB, rebuilt with the weights to begin with and with
            those that came of it (the same where the fitted ones were not kept).
    """

    clip: str
    result: Adapted
    odd_before: Sequence[float]
    odd_after: Sequence[float]

    @property
    def held_gain(self) -> float:
        """Mean gain of the held-back frames with what came of it, dB."""
        return self.result.after - self.result.before if self.result.kept else 0.0

    @property
    def odd_gain(self) -> float:
        """Mean gain of the odd frames, dB."""
        return float(np.mean(self.odd_after) - np.mean(self.odd_before))


def measure(
    root: Path,
    settings: AdaptSettings,
    weights: Optional[Path] = None,
    device: str = "auto",
    listener: Optional[Callable[[str], None]] = None,
) -> List[Row]:
    """Runs the bench.

    Args:
        root: the folder of development data.
        settings: of the fitting.
        weights: to begin with; those that come with Kairos where None.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        listener: told one line per clip.

    Raises:
        BadRequest: no such folder, clip or weights.
    """
    if not root.is_dir():
        raise BadRequest(f"{root} is no folder.", "Give the folder of development data.")
    base, where = weights or SHIPPED, choose_device(device)
    rows = []
    for clip in CLIPS:
        if clip.name not in NAMES:
            continue
        kept, dropped = split(clip.load(root))
        result = adapt(EncodedShot(kept, where), load_network(base, where), settings, lambda event: None)
        before = _odd(kept, dropped, base)
        after = before
        if result.kept:
            with tempfile.TemporaryDirectory() as folder:
                fitted = Path(folder) / "fitted.safetensors"
                checkpoint.save_weights(fitted, result.network, {})
                after = _odd(kept, dropped, fitted)
        rows.append(Row(clip.name, result, before, after))
        if listener is not None:
            listener(f"{clip.name}: {result.why}")
    return rows


def render(rows: Sequence[Row]) -> str:
    """The table."""
    columns = ("clip", "steps", "held back", "fitted", "part", "kept", "gain", "odd frames", "with it", "gain", "worst")
    lines = [_line(columns)]
    for row in rows:
        odd = np.array(row.odd_after) - np.array(row.odd_before)
        figures = (row.result.before, row.result.after)
        lines.append(
            _line(
                (
                    row.clip,
                    str(row.result.steps),
                    *(f"{figure:.2f}" for figure in figures),
                    f"{row.result.part:g}",
                    "yes" if row.result.kept else "no",
                    f"{row.held_gain:+.3f}",
                    f"{np.mean(row.odd_before):.2f}",
                    f"{np.mean(row.odd_after):.2f}",
                    f"{row.odd_gain:+.3f}",
                    f"{odd.min():+.3f}",
                )
            )
        )
    held, seen = (float(np.mean([getattr(row, name) for row in rows])) for name in ("held_gain", "odd_gain"))
    lines.append(f"mean gain: held-back frames {held:+.3f} dB, odd frames {seen:+.3f} dB")
    lines.append(
        "Fitted to half of the triplets of even frames; held back: the other half. Odd frames: seen by nothing."
    )
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return " ".join([f"{cells[0]:<15}", *(f"{cell:>10}" for cell in cells[1:])])


def _odd(kept: Sequence[Image], dropped: Sequence[Image], weights: Path) -> List[float]:
    settings = EngineSettings(options={"weights": str(weights)})
    return [float(psnr(truth, made)) for truth, made in zip(dropped, rebuild("swift", kept, settings))]
