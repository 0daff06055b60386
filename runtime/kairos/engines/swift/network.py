"""The network of ``swift``.

Two parts. :class:`kairos.engines.swift.motion.Motion` finds the motion between two frames, coarse to fine, the same
weights at every scale (large motion is small motion further up, as Reda et al., "FILM" (ECCV 2022), argue).
:class:`Meeting` takes what the two frames' motion says about one time in between, and decides there: corrections of the
motion, who hides what, and the weights of both frames. Everything depends on differences of position alone, so any size
will do.

Tensors are (B, C, H, W); flows are in pixels of their own grid, x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.swift.layers import conv, head, in_tiles, squash
from kairos.engines.swift.motion import Motion
from kairos.motion.tiling import resize

Join = Callable[[Tensor, Tensor], Tensor]

_HALO = 24
"""Cells that a decision depends on beyond its own: a tile's margin."""


@dataclass(frozen=True)
class Decision:
    """What :class:`Meeting` answers, at the full size of the frame, sides a multiple of
    :data:`kairos.engines.swift.layers.MULTIPLE`.

    Attributes:
        flows: (B, 4, H, W) pixels, to add to the flows to the first and to the second frame.
        weight: (B, 1, H, W), to add to the logit of the first frame's weight.
        hidden: (B, 2, H, W) logits, not visible in the first and in the second frame.
        residual: (B, 3, H, W), to add to the picture where neither frame shows the point.
    """

    flows: Tensor
    weight: Tensor
    hidden: Tensor
    residual: Tensor


class Meeting(nn.Module):
    """Decides at one time between two frames, from what their motion brings there."""

    INPUTS = 10
    SCALE = 4

    def __init__(self) -> None:
        super().__init__()
        pixels = self.SCALE**2
        # What many planes tell about a cell is put together first, then cells with those around them.
        self.at_quarter = nn.Sequential(conv(6 * pixels + self.INPUTS, 48, size=1), conv(48, 48), conv(48, 40))
        self.at_eighth = nn.Sequential(conv(40, 56, 2), conv(56, 56))
        self.at_sixteenth = nn.Sequential(conv(56, 80, 2), conv(80, 64))
        self.up_eighth = conv(64 + 56, 56)
        self.up_quarter = nn.Sequential(conv(56 + 40, 48, size=1), conv(48, 48))
        self.answer = head(48, 4 + pixels + 2 * pixels // 4 + 3)

    def forward(self, moved: Tensor, known: Tensor, tile: Optional[int] = None) -> Decision:
        """What to do at one time.

        Args:
            moved: (B, 6, H, W) both frames, fetched from where motion says.
            known: (B, INPUTS, H / 4, W / 4), see :mod:`kairos.engines.swift.meeting`.
            tile: side of the tiles, pixels, in which it is worked out.
        """
        pixels = self.SCALE**2
        told = torch.cat([F.pixel_unshuffle(squash(moved), self.SCALE), known.to(moved.dtype)], 1)
        found = in_tiles(self.answers, told, tile and tile // self.SCALE, _HALO)
        flows, weight, hidden, residual = found.split([4, pixels, pixels // 2, 3], 1)
        size = (moved.shape[-2], moved.shape[-1])
        return Decision(
            grown(flows, size),
            F.pixel_shuffle(weight, self.SCALE),
            grown(F.pixel_shuffle(hidden, self.SCALE // 2), size),
            grown(residual, size),
        )

    def answers(self, told: Tensor) -> Tensor:
        """(B, 31, H / 4, W / 4), from what cells are told, (B, 6 * 16 + INPUTS, H / 4, W / 4): corrections of both
        flows, of the weight and of what is hidden at their pixels, and the residual.
        """
        return self.onward(self.at_quarter[0](told))

    def onward(self, one: Tensor, joined: Optional[Join] = None) -> Tensor:
        """The same from what the first layer makes of single cells.

        Args:
            one: (B, 48, H / 4, W / 4).
            joined: in place of the first layer of ``up_quarter``: answers what it does, from planes of half the size,
                which it enlarges, and those beside which they go.
        """
        one = self.at_quarter[2](self.at_quarter[1](one))
        two = self.at_eighth(one)
        three = self.at_sixteenth(two)
        two = self.up_eighth(torch.cat([_to_size_of(three, two), two], 1))
        one = self.up_quarter[0](torch.cat([_to_size_of(two, one), one], 1)) if joined is None else joined(two, one)
        found: Tensor = self.answer(self.up_quarter[1](one)).float()
        return found


def grown(planes: Tensor, size: Tuple[int, int]) -> Tensor:
    """Bilinear, as :func:`kairos.motion.tiling.resize` does it fast where nothing is learned."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return F.interpolate(planes, size, mode="bilinear")
    return torch.stack([resize(each, *size) for each in planes])


def _to_size_of(planes: Tensor, other: Tensor) -> Tensor:
    return F.interpolate(planes, other.shape[-2:], mode="bilinear")


class Swift(nn.Module):
    """Both parts."""

    def __init__(self) -> None:
        super().__init__()
        self.motion = Motion()
        self.meeting = Meeting()
        # Kernels in the order in which convolutions are quickest.
        self.to(memory_format=torch.channels_last)
