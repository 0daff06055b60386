"""``kairos bench quality``: drop every odd frame, rebuild it, compare."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence

import numpy as np
import torch
from torch import Tensor

from kairos.bench.baselines import baselines
from kairos.bench.clips import CLIPS, WITHOUT, split
from kairos.bench.metrics import Image, Score, mean, score
from kairos.engines.base import EngineSettings, Pair
from kairos.engines.plain_shot import PlainShot
from kairos.engines.registry import engine
from kairos.errors import BadRequest
from kairos.motion.compose import compose
from kairos.motion.encode import Codec
from kairos_nodes.layers import Policy

BLEND, FFMPEG = "blend", "ffmpeg mci"
TIME = 0.5


class EncodedShot(PlainShot):
    """A shot view over 8-bit frames in memory, seen as encoded (see :class:`kairos.engines.base.ShotView`)."""

    def __init__(self, frames: Sequence[Image], device: Optional[torch.device] = None) -> None:
        self._frames = frames
        self.device = device or torch.device("cpu")
        self.size = (int(frames[0].shape[0]), int(frames[0].shape[1]))
        self.count = len(frames)

    def proxy(self, position: int) -> Tensor:
        """(3, H, W) in 0..1."""
        planes = np.ascontiguousarray(self._frames[position].transpose(2, 0, 1)).astype(np.float32) / 255.0
        return torch.from_numpy(planes).to(self.device)


def rebuild(
    id: str,
    kept: Sequence[Image],
    settings: EngineSettings = EngineSettings(),  # noqa: B008  immutable
    filter: str = "cubic",
    times: Sequence[float] = (TIME,),
) -> List[Image]:
    """The frames at these times between the kept ones, by an engine, with the neighbours where the clip has them."""
    shot = EncodedShot(kept)
    session = engine(id).open(shot, settings, lambda event: None)
    made = []
    for first in range(len(kept) - 1):
        pair = Pair(
            first,
            first + 1,
            before=first - 1 if first > 0 else None,
            after=first + 2 if first + 2 < len(kept) else None,
        )
        for found in session.at(pair, times):
            planes = compose(shot.proxy(first), shot.proxy(first + 1), found, Policy.BLEND, filter, Codec())
            made.append((planes * 255.0).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy())
    return made


def blend(kept: Sequence[Image]) -> List[Image]:
    """Plain blending of neighbours, rounded up."""
    return [((a.astype(np.uint16) + b + 1) // 2).astype(np.uint8) for a, b in zip(kept, kept[1:])]


@dataclass(frozen=True)
class Report:
    """Scores by clip and by method; methods in the order of the table's columns."""

    methods: Sequence[str]
    clips: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)

    def mean(self, method: str, without: str = "") -> Score:
        """The mean over clips (not frames), without the clip named."""
        return mean([scores[method] for clip, scores in self.clips.items() if clip != without])


def quality(
    root: Path,
    engines: Sequence[str] = ("classic",),
    listener: Optional[Callable[[str], None]] = None,
    weights: Optional[Path] = None,
) -> Report:
    """Runs the bench. Beside ``swift`` stand its untrained network and the plain average of splat and warp.

    Args:
        root: the folder of development data.
        engines: ids to measure.
        weights: for ``swift``, in place of those that come with Kairos.
        listener: told one line per clip and method, for people.

    Raises:
        BadRequest: an unknown engine, or a clip that is not there.
    """
    if not root.is_dir():
        raise BadRequest(f"{root} is no folder.", "Give the folder of development data.")
    ways: Dict[str, Callable[[Sequence[Image]], List[Image]]] = {BLEND: blend}
    ffmpeg = _minterpolate()
    if ffmpeg is not None:
        ways[FFMPEG] = ffmpeg
    ways.update(baselines(engines, rebuild))
    for id in engines:
        options = {"weights": str(weights)} if weights is not None and id == "swift" else {}
        settings = EngineSettings(options=options)
        ways[engine(id).card.id] = partial(rebuild, id, settings=settings)
    clips: Dict[str, Dict[str, Score]] = {}
    for clip in CLIPS:
        kept, dropped = split(clip.load(root))
        clips[clip.name] = {}
        for name, way in ways.items():
            found = mean([score(truth, image) for truth, image in zip(dropped, way(kept))])
            clips[clip.name][name] = found
            if listener is not None:
                listener(
                    f"{clip.name}: {name} {found.psnr:.2f} dB, {found.ssim:.3f}, aligned {found.aligned:.2f} dB, "
                    f"detail {found.detail:.2f}"
                )
    return Report(tuple(ways), clips)


def _minterpolate() -> Optional[Callable[[Sequence[Image]], List[Image]]]:
    """ffmpeg's interpolation, or None where this installation cannot run it."""
    try:
        module = importlib.import_module("kairos.bench.minterpolate")
    except ImportError:
        return None
    found: Callable[[Sequence[Image]], List[Image]] = module.minterpolate
    return found


def render(report: Report) -> str:
    """The table: PSNR, SSIM, aligned PSNR and detail per clip and method, then the means."""
    width = max(len(name) for name in (*report.clips, f"mean without {WITHOUT}"))
    lines = [" ".join([f"{'clip':<{width}}", *(f"{name:>25}" for name in report.methods)])]

    def row(name: str, scores: Sequence[Score]) -> str:
        cells = (f"{each.psnr:6.2f} {each.ssim:.3f} {each.aligned:6.2f} {each.detail:.2f}" for each in scores)
        return " ".join([f"{name:<{width}}", *(f"{cell:>25}" for cell in cells)])

    lines += [row(clip, [scores[name] for name in report.methods]) for clip, scores in report.clips.items()]
    lines.append(row("mean", [report.mean(name) for name in report.methods]))
    lines.append(row(f"mean without {WITHOUT}", [report.mean(name, WITHOUT) for name in report.methods]))
    lines.append(
        "PSNR dB, SSIM, aligned PSNR dB (timing forgiven), gradient energy against the truth's; "
        "8-bit RGB, odd frames dropped and rebuilt."
    )
    return "\n".join(lines)
