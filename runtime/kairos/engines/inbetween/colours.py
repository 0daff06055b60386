"""Colours of generated pictures matched to those of both keys.

The network's pictures drift: a little in contrast and saturation, and in tint over large areas. At both ends the truth
is known. Between them, what corresponds with the keys tells the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.motion.tiling import resize

_ROUNDS = 4
"""Times that a fit is repeated with less say for what does not follow it."""

_LOOSE = 0.05
"""Shown difference at which a pixel has half its say."""

_RIDGE = 0.005
"""Part of all pixels' say that holds a tone to changing nothing."""

_CELLS = 12
"""Cells along the shorter side in which differences at the ends are measured."""

_MOST = 0.1
"""Shown difference that a measured drift may amount to at most: a lamp that is switched on between the keys is none."""

_DOUBT = 0.05
"""Say of changing nothing, against those parts of pictures that a drift was measured on."""

_SAMPLES = 1 << 15


@dataclass(frozen=True)
class Tone:
    """A change of colour: ``matrix`` (3, 4) float32, applied to (r, g, b, 1). It belongs to what a picture shows and
    moves with it.
    """

    matrix: Tensor

    def __call__(self, picture: Tensor) -> Tensor:
        """(3, h, w) changed."""
        flat = picture.reshape(3, -1)
        return torch.addmm(self.matrix[:, 3:], self.matrix[:, :3], flat).reshape(picture.shape)


def same(device: torch.device) -> Tone:
    """A tone that changes nothing."""
    return Tone(torch.eye(3, 4, device=device))


def tone(source: Tensor, target: Tensor, weight: Tensor) -> Tone:
    """The tone that takes one picture nearest to another that shows the same, robustly.

    Args:
        source, target: (3, h, w) shown.
        weight: (1, h, w), at least 0: how far a pixel of either shows the same.
    """
    step = max(1, weight.numel() // _SAMPLES)
    # Few samples, and sums that want all digits: on the CPU.
    known = torch.cat([source.reshape(3, -1), torch.ones_like(weight).reshape(1, -1)])[:, ::step].cpu().double()
    wanted, say = target.reshape(3, -1)[:, ::step].cpu().double(), weight.reshape(-1)[::step].cpu().double()
    held = torch.eye(3, 4, dtype=torch.float64)
    matrix = held
    if float(say.sum()) < 1e-6:
        return same(source.device)
    for _ in range(_ROUNDS):
        off = (matrix @ known - wanted).square().sum(0).sqrt()
        share = say / (1 + (off / _LOOSE).square())
        ridge = _RIDGE * float(share.sum()) * torch.eye(4, dtype=torch.float64)
        # An offset is held more loosely than the mixing of channels: its place is the picture's middle.
        ridge[3, 3] *= 0.05
        left = (known * share) @ known.T + ridge
        right = (wanted * share) @ known.T + held @ ridge
        matrix = torch.linalg.solve(left, right.T).T
    return Tone(matrix.float().to(source.device))


def mixed(tones: Sequence[Tone], weights: Sequence[float]) -> Tone:
    """The mean of tones by weight; changes nothing where all weigh nothing."""
    total = sum(weights)
    if total <= 0:
        return same(tones[0].matrix.device)
    matrices: List[Tensor] = [each.matrix * (weight / total) for each, weight in zip(tones, weights)]
    return Tone(torch.stack(matrices).sum(0))


def kept_small(change: Tone) -> Tone:
    """A tone that changes no colour in 0..1 by more than :data:`_MOST`: a greater one is taken in part."""
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3).T.to(change.matrix.device)
    held = torch.eye(3, 4, device=change.matrix.device)
    off = change.matrix - held
    # The greys and the six colours at half strength: the cube's corners are rarer than what lies between.
    places = torch.cat([0.5 * corners + 0.25, torch.ones(1, 8, device=corners.device)])
    most = float((off @ places).abs().max())
    return Tone(held + off * min(1.0, _MOST / max(most, 1e-9)))


@dataclass(frozen=True)
class Ends:
    """What is known of the drift from both ends. Made by :func:`ends_of`.

    Attributes:
        tones: at the first and the last picture.
        fields: (3, rows, columns) shown differences that are left there, coarse.
    """

    tones: Tuple[Tone, Tone]
    fields: Tuple[Tensor, Tensor]

    def __call__(self, picture: Tensor, time: float) -> Tensor:
        """A generated picture (3, h, w) at a time 0..1, corrected."""
        changed = mixed(self.tones, (1 - time, time))(picture)
        # A field belongs to a place, and what the place shows changes: away from its end it fades soon.
        field = self.fields[0] * (1 - time) ** 2 + self.fields[1] * time**2
        return changed + resize(field, *picture.shape[-2:])


def ends_of(generated: Tuple[Tensor, Tensor], keys: Tuple[Tensor, Tensor]) -> Ends:
    """Measures the drift at both ends.

    Args:
        generated: the first and the last generated picture, (3, h, w).
        keys: what they were to show, (3, h, w) shown.
    """
    tones, fields = [], []
    for picture, key in zip(generated, keys):
        # What is cut off at black or white tells nothing of its tone.
        known = ((key > 0.004) & (key < 0.98)).all(0, keepdim=True).float()
        change = tone(picture, key, known)
        left = (key - change(picture)).clamp(-_MOST, _MOST) * known
        height, width = key.shape[-2:]
        cell = max(1, min(height, width) // _CELLS)
        rows, columns = max(1, height // cell), max(1, width // cell)
        share = resize(known, rows, columns)
        field = resize(left, rows, columns) / (share + 0.1)
        tones.append(change)
        fields.append(_smooth(field))
    return Ends((tones[0], tones[1]), (fields[0], fields[1]))


def _smooth(planes: Tensor) -> Tensor:
    """(C, h, w) under a 3 by 3 binomial."""
    taps = torch.tensor([0.25, 0.5, 0.25], device=planes.device)
    padded = F.pad(planes[:, None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(F.conv2d(padded, taps.reshape(1, 1, 1, 3)), taps.reshape(1, 1, 3, 1))[:, 0]


def steadied(tones: Sequence[Tone], known: Sequence[float]) -> List[Tone]:
    """Tones of pictures in order, each the mean of its neighbours' by what is known of them, so that nothing flickers.

    Args:
        tones: as measured.
        known: part of each picture, 0..1, that the measure rests on; little of it is held to changing nothing.
    """
    steady = []
    for index in range(len(tones)):
        near = [other for other in range(index - 2, index + 3) if 0 <= other < len(tones)]
        weights = [known[other] * (3 - abs(other - index)) for other in near]
        every = [*(tones[other] for other in near), same(tones[index].matrix.device)]
        steady.append(kept_small(mixed(every, [*weights, _DOUBT])))
    return steady
