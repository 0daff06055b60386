"""The network of ``swift`` that finds the motion between two frames; see :mod:`kairos.engines.swift.network`.

Tensors are (B, C, H, W); flows are in pixels of their own grid, x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.fetching import warp
from kairos.engines.layout import beside
from kairos.engines.swift.layers import conv, head, in_tiles, squash
from kairos.engines.swift.looking import correlate, mixed_quickly, most_alike

FINE, COARSE = 4, 8
"""Strides of the two kinds of features, pixels of the picture they are computed from."""

FINER = 2
"""How many times finer than the fine features' grid motion is told at last; from there on it is interpolated."""

REACH = 4
"""Cells around the motion so far that the decoder compares."""

_FAITH = 1.5
"""Logit of the prior among the decoder's guesses before it is trained."""

_FEATURES = (24, 48)
HIDDEN = 24
_KIND = 8
"""Planes of fine features by which the prior is checked."""
CELLS = 4
"""The coarsest level has at least this many cells on the shorter side."""
MOST_LEVELS = 7
_ROUNDS = 2
"""Decodings at the coarsest level, where nothing is known yet."""
_HALO = 4
"""Cells that an answer of the refiner depends on beyond its own: a tile's margin."""
_ROUND_TRIP = 4.0
"""Disagreement of both ways is told up to this many cells."""


def levels_of(height: int, width: int) -> int:
    """How many scales a picture is looked at in."""
    levels = 1
    while levels < MOST_LEVELS and min(height, width) // (COARSE << levels) >= CELLS:
        levels += 1
    return levels


def enlarge_flow(flow: Tensor, size: Tuple[int, int]) -> Tensor:
    """A flow at twice the size or so, its vectors in pixels of the new grid."""
    scale = size[1] / flow.shape[-1]
    return F.interpolate(flow, size, mode="bilinear", align_corners=False) * scale


@dataclass(frozen=True)
class Features:
    """Of one frame: fine features of the picture itself, and coarse ones of each of its scales, finest first."""

    fine: Tensor
    coarse: List[Tensor]


@dataclass(frozen=True)
class Estimate:
    """Motion at one scale, both ways stacked along the batch: first to second, then second to first.

    Attributes:
        flow: (2B, 2, h, w) in cells.
        hidden: (2B, 1, h, w) logit, not visible in the other frame.
        doubt: (2B, 1, h, w) logarithm of the expected error in cells.
    """

    flow: Tensor
    hidden: Tensor
    doubt: Tensor


@dataclass(frozen=True)
class Step:
    """What somebody else knows of the motion at one scale.

    Attributes:
        level: number of the scale, 0 the finest of the coarse ones.
        moved: from the motion so far, (2B, 2, h, w) cells, and the prior, (2B, 2, H, W) pixels or None, to better ones.
    """

    level: int
    moved: Callable[[Tensor, Optional[Tensor]], Tuple[Tensor, Optional[Tensor]]]


class Encoder(nn.Module):
    """Features of one picture; the same weights at every scale."""

    def __init__(self) -> None:
        super().__init__()
        two, three = _FEATURES
        self.to_fine = nn.Sequential(nn.PixelUnshuffle(2), conv(12, two, 2), conv(two, two))
        self.to_coarse = nn.Sequential(conv(two, three, 2), conv(three, three), nn.Conv2d(three, three, 1))

    def forward(self, image: Tensor, levels: int) -> Features:
        """image: (B, 3, H, W), sides a multiple of :data:`kairos.engines.swift.layers.MULTIPLE`."""
        picture = squash(image)
        fine = self.to_fine(picture)
        coarse = [self.to_coarse(fine)]
        for _ in range(1, levels):
            height, width = picture.shape[-2:]
            # Sides stay multiples of the stride by repeating the border.
            picture = F.pad(picture, (0, -width % (2 * COARSE), 0, -height % (2 * COARSE)), mode="replicate")
            picture = F.avg_pool2d(picture, 2)
            coarse.append(self.to_coarse(self.to_fine(picture)))
        return Features(fine, [_unit(planes) for planes in coarse])


class Decoder(nn.Module):
    """One step at one scale: looks around where motion stands, and at what a prior says, and answers better.

    It begins from three guesses: motion as it stands, motion moved to what looks most alike around, and the prior.
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = _FEATURES[1] + HIDDEN + (2 * REACH + 1) ** 2 + 3 + 9 + 3 + 2 + 2
        self.sharpness = nn.Parameter(torch.tensor(2.0).log())
        self.belief = nn.Parameter(torch.tensor(1.5).log())
        self.body = nn.Sequential(conv(inputs, 80), conv(80, 80), conv(80, 56))
        self.keep = conv(56, HIDDEN)
        self.answer = head(56, 7)
        assert self.answer.bias is not None
        self.answer.bias.data[4] = _FAITH

    def forward(
        self, first: Tensor, second: Tensor, flow: Tensor, memory: Tensor, told: Tensor, prior: Optional[Tensor]
    ) -> Tuple[Estimate, Tensor]:
        """first, second: features; flow, prior: cells; memory: of the coarser scale; told: its hidden and doubt."""
        likeness = correlate(first, warp(second, flow), REACH)
        away, peak, matched = most_alike(likeness, self.sharpness.float().exp(), REACH)
        parts = [first, memory, told, likeness, away / REACH, peak, round_trip(flow)]
        about, apart = _prior_parts(first, second, flow, prior)
        parts += [about, apart]
        body = self.body(beside([part.to(first.dtype) for part in parts]))
        found = self.answer(body).float()
        guesses = [flow, flow + away] if prior is None else [flow, flow + away, prior]
        # Where nothing else is known, the guess that looks most alike around is the best.
        looks = _around(torch.cat([_centre(likeness), matched.to(likeness.dtype), _centre(about)], 1)).float()
        shares = torch.softmax((found[:, 2:5] + self.belief.float().exp() * looks)[:, : len(guesses)], 1)
        start = sum(guess * shares[:, index : index + 1] for index, guess in enumerate(guesses))
        return Estimate(start + found[:, :2], found[:, 5:6], found[:, 6:7]), self.keep(body)


class Refiner(nn.Module):
    """The last step, at the fine features' grid, and from there to every pixel."""

    def __init__(self) -> None:
        super().__init__()
        two, width = _FEATURES[0], 48
        self.kind = nn.Conv2d(two, _KIND, 1)
        self.belief = nn.Parameter(torch.tensor(2.0).log())
        self.body = nn.Sequential(conv(2 * two + HIDDEN + _KIND + 3 + 2 + 2, width), conv(width, width))
        self.answer = head(width, 5)
        assert self.answer.bias is not None
        self.answer.bias.data[2] = 2.0
        self.share = head(width, 9 * FINER * FINER, 1)

    def forward(
        self,
        first: Tensor,
        second: Tensor,
        flow: Tensor,
        memory: Tensor,
        told: Tensor,
        prior: Optional[Tensor],
        tile: Optional[int],
    ) -> Tuple[Estimate, Tensor, Tensor]:
        """Like the decoder's.

        Returns:
            The estimate on the fine grid, the weights of :func:`mixed`, and the share of the prior in the estimate.
        """
        moved = warp(second, flow)
        if prior is None:
            unlike = torch.zeros_like(first[:, :_KIND])
            better = known = torch.zeros_like(flow[:, :1])
            apart = torch.zeros_like(flow)
        else:
            kind = self.kind(first)
            there, back = kind.chunk(2)
            unlike = (warp(torch.cat([back, there]), prior) - kind).abs()
            worse = (self.kind(moved) - kind).abs()
            better = _around((worse - unlike).mean(1, keepdim=True)).float()
            known, apart = torch.ones_like(flow[:, :1]), prior - flow
        parts = [first, moved, memory, told, unlike, apart.clamp(-8, 8), known, round_trip(flow)]
        told_all = beside([part.to(first.dtype) for part in parts])
        answers = in_tiles(self._answers, told_all, tile and tile // FINE, _HALO)
        found, weights = answers.split([5, 36], 1)  # type: ignore[no-untyped-call]
        share = torch.sigmoid(found[:, 2:3] + self.belief.float().exp() * better) * known.float()
        start = flow if prior is None else torch.lerp(flow, prior, share)
        estimate = Estimate(start + found[:, :2], found[:, 3:4], found[:, 4:5])
        return estimate, weights, share

    def _answers(self, parts: Tensor) -> Tensor:
        body = self.body(parts)
        return torch.cat([self.answer(body), self.share(body)], 1).float()


class Motion(nn.Module):
    """Motion between two frames, both ways at once."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.refiner = Refiner()

    def forward(
        self,
        first: Features,
        second: Features,
        prior: Optional[Tensor] = None,
        tile: Optional[int] = None,
        step: Optional[Step] = None,
    ) -> Tuple[List[Estimate], Tensor]:
        """Motion at every scale and at every pixel.

        Args:
            first, second: of the two frames.
            prior: (2B, 2, H, W) pixels, motion known beforehand: first to second stacked on second to first.
            tile: side of the tiles, pixels, in which the fine grid is worked on; the coarse scales are small.
            step: makes the motion better from which one scale begins, and the prior from there on.

        Returns:
            Estimates coarse to fine, the last on the fine grid, and the flow (2B, 2, H, W) in pixels.
        """
        estimates: List[Estimate] = []
        flow = memory = told = None
        sizes = [(each.shape[-2], each.shape[-1]) for each in first.coarse]
        fine, nears = None, None
        if prior is not None:
            fine, nears = in_all_cells(prior, sizes)
        for level in reversed(range(len(first.coarse))):
            one = torch.cat([first.coarse[level], second.coarse[level]])
            two = torch.cat([second.coarse[level], first.coarse[level]])
            size = (one.shape[-2], one.shape[-1])
            if flow is None:
                flow = one.new_zeros(len(one), 2, *size, dtype=torch.float32)
                memory, told = one.new_zeros(len(one), HIDDEN, *size), one.new_zeros(len(one), 2, *size)
                rounds = _ROUNDS
            else:
                assert memory is not None and told is not None
                flow = enlarge_flow(flow, size)
                memory, told = (F.interpolate(each, size, mode="bilinear") for each in (memory, told))
                rounds = 1
            if step is not None and step.level == level:
                flow, prior = step.moved(flow, prior)
                if prior is not None:
                    fine, nears = in_all_cells(prior, sizes)
            near = None if nears is None else nears[level]
            for _ in range(rounds):
                estimate, memory = self.decoder(one, two, flow, memory, told, near)
                estimates.append(estimate)
                flow = estimate.flow
                told = torch.cat([estimate.hidden, estimate.doubt], 1).to(one.dtype)
        assert flow is not None and memory is not None and told is not None
        one, two = torch.cat([first.fine, second.fine]), torch.cat([second.fine, first.fine])
        size = (one.shape[-2], one.shape[-1])
        memory, told = (F.interpolate(each, size, mode="bilinear") for each in (memory, told))
        estimate, weights, share = self.refiner(one, two, enlarge_flow(flow, size), memory, told, fine, tile)
        estimates.append(estimate)
        if prior is None or fine is None:
            return estimates, _enlarged(mixed(estimate.flow * FINE, weights))
        # What the prior has in detail beyond the fine grid comes through as far as it is trusted there.
        whole = _enlarged(mixed(torch.cat([estimate.flow * FINE, fine * FINE, share], 1), weights))
        return estimates, whole[:, :2] + whole[:, 4:5] * (prior - whole[:, 2:4])


def round_trip(flow: Tensor) -> Tensor:
    """How far there and back ends from where it began, cells, for flows of both ways stacked along the batch."""
    there, back = flow.chunk(2)
    return (flow + warp(torch.cat([back, there]), flow)).clamp(-_ROUND_TRIP, _ROUND_TRIP)


def mixed(planes: Tensor, weights: Tensor) -> Tensor:
    """Planes (B, C, h, w) at FINER times the size: every pixel a weighted mean of the nine cells around (Teed and Deng,
    "RAFT", ECCV 2020), starting from bilinear interpolation.

    Args:
        weights: (B, 9 * FINER * FINER, h, w), logits against the bilinear weights.
    """
    count, channels, height, width = planes.shape
    base = _bilinear_shares(planes.device)
    found = mixed_quickly(planes, weights, base)
    if found is not None:
        return found
    shares = weights.reshape(count, 9, FINER * FINER, height, width) + base[None, :, :, None, None]
    shares = torch.softmax(shares, 1)
    padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    rows = []
    for channel in range(channels):
        total = None
        for tap in range(9):
            row, column = divmod(tap, 3)
            near = padded[:, channel, None, row : row + height, column : column + width]
            total = near * shares[:, tap] if total is None else torch.addcmul(total, near, shares[:, tap])
        assert total is not None
        rows.append(total)
    return F.pixel_shuffle(torch.cat(rows, 1), FINER)


def _enlarged(planes: Tensor) -> Tensor:
    return F.interpolate(planes, scale_factor=FINE // FINER, mode="bilinear", align_corners=False)


def _bilinear_shares(device: torch.device) -> Tensor:
    """(9, FINER^2) logarithms of what bilinear interpolation takes of the nine cells around."""
    place = (torch.arange(FINER, device=device) + 0.5) / FINER - 0.5
    taps = (1 - (place[None] - torch.arange(-1, 2, device=device)[:, None]).abs()).clamp(min=0)
    shares = taps[:, None, :, None] * taps[None, :, None, :]
    return shares.reshape(9, FINER * FINER).clamp(min=1e-4).log()


def _prior_parts(first: Tensor, second: Tensor, flow: Tensor, prior: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
    """Likeness around where the prior points (9 planes), and how far it is from the flow, with whether there is one."""
    if prior is None:
        return torch.zeros_like(first[:, :9]), torch.zeros_like(first[:, :3])
    likeness = correlate(first, warp(second, prior), 1)
    apart = (prior - flow).clamp(-8, 8).to(first.dtype)
    return likeness, torch.cat([apart, torch.ones_like(apart[:, :1])], 1)


def _centre(likeness: Tensor) -> Tensor:
    middle = likeness.shape[1] // 2
    return likeness[:, middle : middle + 1]


def _around(planes: Tensor) -> Tensor:
    """The mean over 3 by 3 cells."""
    return F.avg_pool2d(planes, 3, 1, 1, count_include_pad=False)


def in_cells(prior: Tensor, stride: int, size: Tuple[int, int]) -> Tensor:
    """A flow (B, 2, H, W) in pixels as the mean of every cell (B, 2, h, w), in cells so many pixels wide."""
    return F.avg_pool2d(_covering(prior, stride * size[0], stride * size[1]), stride) / stride


def in_all_cells(prior: Tensor, sizes: Sequence[Tuple[int, int]]) -> Tuple[Tensor, List[Tensor]]:
    """The same for the fine grid, and for each of the coarse ones, finest first, of these sizes: each made of the one
    before, since to go over all pixels takes long.
    """
    coarsest = COARSE << (len(sizes) - 1)
    reached = [max(side[axis] * (COARSE << level) for level, side in enumerate(sizes)) for axis in (0, 1)]
    means = F.avg_pool2d(_covering(prior, *(-(-side // coarsest) * coarsest for side in reached)), FINE)
    rows, columns = prior.shape[-2] // FINE, prior.shape[-1] // FINE
    fine, cells = means[..., :rows, :columns] / FINE, []
    for level, (rows, columns) in enumerate(sizes):
        means = F.avg_pool2d(means, 2)
        cells.append(means[..., :rows, :columns] / (COARSE << level))
    return fine, cells


def _covering(prior: Tensor, height: int, width: int) -> Tensor:
    """A flow of that size, its border repeated."""
    return F.pad(prior, (0, width - prior.shape[-1], 0, height - prior.shape[-2]), mode="replicate")


def _unit(planes: Tensor) -> Tensor:
    """Features of one length per cell: what is compared is their kind."""
    length = planes.float().square().mean(1, keepdim=True).add(1e-4).sqrt()
    even: Tensor = planes.float() / length * 48**-0.25
    return even.to(planes.dtype)
