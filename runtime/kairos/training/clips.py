"""Clips that a video model learns from: windows of shots as the model sees them, encoded once and kept on disk.

A window is a run of frames, evenly spaced and without a cut. Its pictures are encoded by the model's own autoencoder,
its ends by the image encoder as well; after that neither these networks nor the shots are needed.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Protocol, Sequence, Tuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from kairos.engines.base import ShotView
from kairos.engines.inbetween.canvas import laid
from kairos.engines.inbetween.look import look_of
from kairos.engines.inbetween.parts import Parts
from kairos.engines.inbetween.pictures import conditions, encoded
from kairos.engines.inbetween.recipe import Recipe
from kairos.engines.siren.fits import digest
from kairos.errors import BadRequest, KairosError
from kairos.motion.cuts import is_cut
from kairos.training.files import written_whole

FORMAT = 1
"""Of clips on disk; raised when others are made of the same frames."""

_LIST = "clips.json"


class Source(Protocol):
    """A shot that clips are taken from."""

    name: str
    """What people call it."""

    identity: str
    """Another where its pixels are others."""

    def opened(self) -> AbstractContextManager[ShotView]:
        """The shot, read while the context lasts. Raises KairosError where it cannot be."""


@dataclass(frozen=True)
class ClipSettings:
    """What clips are taken.

    Attributes:
        frames: of a clip: as many as the model makes.
        stride: of every so many frames of a shot one is taken.
        canvas: height and width, multiples of 64, pixels; shots are cropped to its aspect.

    Raises:
        BadRequest: a value that cannot be.
    """

    frames: int
    stride: int = 2
    canvas: Tuple[int, int] = (576, 1024)

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise BadRequest(f"--stride {self.stride} is too small.", "Give 1 or more.")
        laid(self.canvas, self.canvas, "crop")

    @property
    def span(self) -> int:
        """Frames of a shot from a clip's first to its last."""
        return self.stride * (self.frames - 1) + 1


@dataclass(frozen=True)
class Clip:
    """A clip as the U-Net learns from it; float32 on the CPU.

    Attributes:
        latents: (N, 4, h, w), scaled.
        keys: (2, 4, h, w) latents of the first and the last picture as the U-Net is told them: not scaled.
        embeds: (2, 1, D) of the image encoder.
    """

    latents: Tensor
    keys: Tensor
    embeds: Tensor


Encoder = Callable[[Tensor], Clip]
"""Makes a clip of its pictures, (N, 3, H, W) in 0..1."""


def prepared(
    sources: Sequence[Source],
    settings: ClipSettings,
    folder: Path,
    model: str,
    encoder: Callable[[], Encoder],
    tell: Callable[[int, int], None] = lambda done, total: None,
    warn: Callable[[str], None] = lambda message: None,
) -> List[Path]:
    """Files of all clips of some shots, each once, in their order; those that are missing are made.

    Args:
        sources: shots.
        settings: what clips are taken.
        folder: where clips are kept.
        model: identity of the networks that encode.
        encoder: makes these ready; called where there is anything to encode.
        tell: hears how many shots are done, of how many; may raise Cancelled.
        warn: hears of shots that give no clip.

    Raises:
        BadRequest: not one clip can be taken.
        KairosError: a shot cannot be read, or a clip cannot be written.
    """
    made: List[Path] = []
    encode: List[Encoder] = []
    for number, source in enumerate(sources):
        tell(number, len(sources))
        values = {field.name: getattr(settings, field.name) for field in fields(settings)}
        kept = folder / digest({**values, "source": source.identity, "model": model, "format": FORMAT})[:20]
        if not _whole(kept):
            if not encode:
                encode.append(encoder())
            _write(kept, source, settings, encode[0])
        names = _names(kept)
        if not names:
            warn(f"{source.name} is left out: it has no {settings.span} frames without a cut.")
        made += [kept / name for name in names]
    tell(len(sources), len(sources))
    if not made:
        raise BadRequest(
            f"None of {len(sources)} shots has {settings.span} frames without a cut.",
            f"Give longer ones, or a --stride below {settings.stride}."
            if settings.stride > 1
            else "Give longer ones: a clip needs so many.",
        )
    # A shot may be named twice, by itself and in a folder.
    return list(dict.fromkeys(made))


def split(clips: Sequence[Path]) -> Tuple[List[Path], List[Path]]:
    """Clips to learn from and clips to judge by: every tenth, one at least where there are four. Fewer are all learned
    from, and judged by as well.
    """
    held = list(clips[9::10]) or list(clips[-1:] if len(clips) >= 4 else [])
    return [each for each in clips if each not in held], held or list(clips)


def read_clip(path: Path) -> Clip:
    """A clip. Raises KairosError where it is gone or damaged."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return Clip(**{field.name: file.get_tensor(field.name) for field in fields(Clip)})
    except (SafetensorError, OSError, ValueError) as error:
        raise KairosError(f"The clip {path} cannot be read.", f"Delete {path.parent} and start again.") from error


def encoder_of(parts: Parts) -> Encoder:
    """Makes clips by a model's own networks; the keys are told as a generation tells them, with the same noise."""
    scale = float(parts.vae.config.scaling_factor)

    def encode(pictures: Tensor) -> Clip:
        told = conditions(parts, Recipe(frames=len(pictures)), pictures[0], pictures[-1])
        with torch.no_grad():
            latents = torch.cat(encoded(parts, [2 * each[None].float() - 1 for each in pictures])) * scale
        return Clip(latents.cpu(), torch.cat(told.latents).cpu(), torch.cat(told.embeds).cpu())

    return encode


def windows(view: ShotView, settings: ClipSettings) -> Iterator[Tuple[int, Tensor]]:
    """Clips of a shot, one after another, none across a cut.

    Yields:
        position of the first frame, and pictures (N, 3, H, W) as the model sees them, 0..1.
    """
    start = 0
    taken: List[Tensor] = []
    lies = laid(view.size, settings.canvas, "crop")
    while start + settings.span <= view.count:
        position = start + settings.stride * len(taken)
        # Of a large plate only what the model sees is held.
        proxy = lies.show(view.proxy(position).cpu())
        if taken and is_cut(taken[-1], proxy):
            start, taken = position, [proxy]
            continue
        taken.append(proxy)
        if len(taken) == settings.frames:
            # One look for all of them, found at the ends as an engine does.
            look = look_of(taken[0], taken[-1])
            yield start, torch.stack([look.show(each).clamp(0, 1) for each in taken])
            start, taken = position + settings.stride, []


def _write(folder: Path, source: Source, settings: ClipSettings, encode: Encoder) -> None:
    """Encodes all clips of a shot. The list is written last: a folder without one is not whole."""
    names: Dict[str, int] = {}
    with source.opened() as view:
        for start, pictures in windows(view, settings):
            clip = encode(pictures)
            tensors = {field.name: getattr(clip, field.name).float().cpu().contiguous() for field in fields(Clip)}
            if not all(bool(each.isfinite().all()) for each in tensors.values()):
                raise KairosError(f"{source.name}: frames from {start} on give no finite latents.", "Check them.")
            name = f"{start:06d}.safetensors"
            with written_whole(folder / name) as temporary:
                temporary.write_bytes(save(tensors, metadata={"source": source.name, "position": str(start)}))
            names[name] = start
    with written_whole(folder / _LIST) as temporary:
        told = {"source": source.name, "clips": names}
        temporary.write_text(json.dumps(told, ensure_ascii=False, indent=1), encoding="utf-8")


def _whole(folder: Path) -> bool:
    """Whether all that the list names is there."""
    try:
        return all((folder / name).is_file() for name in _names(folder))
    except KairosError:
        return False


def _names(folder: Path) -> List[str]:
    try:
        told: Any = json.loads((folder / _LIST).read_text(encoding="utf-8"))
        return sorted(str(name) for name in told["clips"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KairosError(f"The clips in {folder} cannot be listed.", "Delete the folder and start again.") from error
