"""Label maps with the faults that an artist's or a model's masks have, to train what must not trust them blindly."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.motion.regions import areas, partition


@dataclass(frozen=True)
class Harm:
    """How often masks suffer what, and how much.

    Attributes:
        empty: probability that the whole map is 0.
        merged: that one object, of at least two, takes another's number.
        missing: of each object, that it is not there.
        eroded, grown: of each object, that it loses or gains a rim; at most one of them befalls it.
        shifted: of each object, that it lies beside its place.
        rim: the widest rim, part of the shorter side.
        shift: the furthest shift along either axis, part of the shorter side.

    Raises:
        ValueError: a value outside 0..1, or ``eroded`` and ``grown`` together over 1.
    """

    empty: float = 0.1
    merged: float = 0.15
    missing: float = 0.15
    eroded: float = 0.25
    grown: float = 0.25
    shifted: float = 0.25
    rim: float = 0.03
    shift: float = 0.04

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0.0 <= getattr(self, field.name) <= 1.0:
                raise ValueError(f"{field.name} of {getattr(self, field.name)} has to be in 0..1")
        if self.eroded + self.grown > 1.0:
            raise ValueError(f"eroded {self.eroded} and grown {self.grown} are more than 1 together")


def corrupted(labels: Tensor, generator: torch.Generator, harm: Harm = Harm()) -> Tensor:
    """A label map that has suffered. Numbers stay those of the objects; where two overlap, the smaller shows.

    The same state of the generator does the same harm, wherever the map lives.

    Args:
        labels: (H, W) int16.
        generator: on the CPU; every call draws from it.
        harm: probabilities and amounts.

    Returns:
        (H, W) int16, of its own memory.

    Raises:
        ValueError: no label map.
    """
    objects = areas(labels)[1:].nonzero().reshape(-1).add(1).tolist()
    empty, merged, pick, onto = torch.rand(4, generator=generator).tolist()
    if empty < harm.empty or not objects:
        return torch.zeros_like(labels)
    masks = {number: labels == number for number in objects}
    if len(objects) > 1 and merged < harm.merged:
        gone = objects.pop(int(pick * len(objects)))
        masks[objects[int(onto * len(objects))]] |= masks.pop(gone)
    side = min(labels.shape)
    left = {}
    for number in objects:
        missing, rim, width, shifted, down, across = torch.rand(6, generator=generator).tolist()
        if missing < harm.missing:
            continue
        mask = masks[number]
        radius = max(1, round(width * harm.rim * side))
        if rim < harm.eroded:
            mask = ~_grown(~mask, radius)
        elif rim < harm.eroded + harm.grown:
            mask = _grown(mask, radius)
        if shifted < harm.shifted:
            mask = _shifted(mask, *(round((2 * part - 1) * harm.shift * side) for part in (down, across)))
        left[number] = mask
    if not left:
        return torch.zeros_like(labels)
    table = torch.tensor([0, *left], dtype=torch.int16, device=labels.device)
    return table[partition(torch.stack(list(left.values()))).long()]


def _grown(mask: Tensor, radius: int) -> Tensor:
    """A mask (H, W) wider by a square's half side; nothing comes in from outside the frame."""
    size = 2 * radius + 1
    wide = F.max_pool2d(mask[None, None].float(), (1, size), 1, (0, radius))
    return F.max_pool2d(wide, (size, 1), 1, (radius, 0))[0, 0] > 0


def _shifted(mask: Tensor, down: int, across: int) -> Tensor:
    """A mask (H, W) moved by whole pixels; what comes in is empty."""
    height, width = mask.shape
    moved = torch.zeros_like(mask)
    to = tuple(slice(max(0, by), side + min(0, by)) for by, side in ((down, height), (across, width)))
    at = tuple(slice(max(0, -by), side + min(0, -by)) for by, side in ((down, height), (across, width)))
    moved[to] = mask[at]
    return moved
