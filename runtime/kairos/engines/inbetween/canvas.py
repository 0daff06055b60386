"""Where a plate lies on the network's canvas, and the way back, whatever the aspect of either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.errors import BadRequest
from kairos.motion.fill import fill_weighted
from kairos.motion.tiling import resize, resize_flow

FITS = ("pad", "crop", "stretch")

MULTIPLE = 64
"""Sides of the canvas are multiples of this: the network halves its latents, which are eighths, three times."""

_FEATHER = 1 / 24
"""Part of the canvas' shorter side over which a cropped picture gives way to what lies outside it."""

_ROUNDS, _LOOSE = 6, 1.0
"""Times that a motion is fitted, with less say for what does not follow it: half for what is so many pixels off."""

_JUMP = 1.0
"""Canvas pixels by which vectors of neighbours differ at most where they are of one motion."""

_LEAST = 1e-4
"""Weight of values that nobody vouches for, so that they never weigh nothing."""


@dataclass(frozen=True)
class Canvas:
    """How a plate lies on a canvas. Made by :func:`laid`.

    Attributes:
        plate: height and width, pixels.
        size: height and width of the canvas.
        scaled: height and width of the plate at the canvas' scale.
        top, left: of the scaled plate on the canvas, pixels; negative where it is cropped.
    """

    plate: Tuple[int, int]
    size: Tuple[int, int]
    scaled: Tuple[int, int]
    top: int
    left: int

    @property
    def cropped(self) -> bool:
        """Whether part of the plate lies outside the canvas."""
        return self.top < 0 or self.left < 0

    def show(self, planes: Tensor) -> Tensor:
        """Planes of the plate (C, H, W) on the canvas, (C, h, w): what the plate leaves free mirrors it."""
        small = _scaled(_scaled(planes, 1, self.scaled[0]), 2, self.scaled[1])
        rows = _mirrored(self.size[0], self.top, self.scaled[0], planes.device)
        columns = _mirrored(self.size[1], self.left, self.scaled[1], planes.device)
        return small.index_select(1, rows).index_select(2, columns)

    def back(self, planes: Tensor) -> Tensor:
        """Planes of the canvas (C, h, w) on the plate, (C, H, W): outside a crop the border is repeated."""
        return resize(self._grown(planes), *self.plate)

    def back_flow(self, flow: Tensor, trust: Tensor) -> Tensor:
        """A flow of the canvas (2, h, w), in its pixels, as one of the plate, (2, H, W) in the plate's.

        Outside a crop the motion goes on: as the whole picture is panned, turned, scaled and sheared, and by what that
        at the border differs from it, as far as it is trusted (``trust``, (1, h, w)).
        """
        grown = self._grown(flow)
        if self.cropped:
            known = self._outside(trust.clamp(_LEAST, 1.0))
            whole = _affine(flow, trust, self.scaled, (self.top, self.left))
            rest = fill_weighted((self._outside(flow) - whole) * (known > 0), known)
            grown = torch.where(known > 0, grown, whole + rest)
        soft = resize_flow(grown, *self.plate)
        # Between two motions there is no third: beside a jump every pixel takes the nearest vector.
        apart = F.max_pool2d(grown[None], 3, 1, 1)[0] + F.max_pool2d(-grown[None], 3, 1, 1)[0]
        jump = (apart > _JUMP).any(0, keepdim=True)
        if not bool(jump.any()):
            return soft
        rows, columns = (_nearest(new, old, flow.device) for new, old in zip(self.plate, self.scaled))
        hard, jump = (each.index_select(1, rows).index_select(2, columns) for each in (grown, jump))
        hard = hard * torch.tensor(self.cell(1)[::-1], device=flow.device)[:, None, None]
        return torch.where(jump, hard, soft)

    def cell(self, side: int) -> Tuple[float, float]:
        """Height and width on the plate, pixels, of a square of ``side`` pixels on the canvas."""
        return side * self.plate[0] / self.scaled[0], side * self.plate[1] / self.scaled[1]

    def holds(self, device: torch.device) -> Tensor:
        """(1, h, w) bool, where the canvas shows the plate itself and no mirrored border."""
        rows = (torch.arange(self.size[0], device=device) - self.top).clamp(0, self.scaled[0] - 1)
        columns = (torch.arange(self.size[1], device=device) - self.left).clamp(0, self.scaled[1] - 1)
        on_rows = rows + self.top == torch.arange(self.size[0], device=device)
        on_columns = columns + self.left == torch.arange(self.size[1], device=device)
        return (on_rows[:, None] & on_columns)[None]

    def inside(self, device: torch.device) -> Tensor:
        """(1, H, W) in 0..1, how far the plate's pixels are on the canvas: 0 outside a crop, 1 well within it."""
        if not self.cropped:
            return torch.ones(1, *self.plate, device=device)
        feather = max(2.0, _FEATHER * min(self.size))
        sides = []
        for size, scaled, start in zip(self.size, self.scaled, (self.top, self.left)):
            place = torch.arange(scaled, device=device) + 0.5 + start
            room = torch.minimum(place, size - place) if start < 0 else torch.full_like(place, feather)
            sides.append((room / feather).clamp(0, 1))
        ramp = sides[0][:, None] * sides[1]
        return resize((ramp * ramp * (3 - 2 * ramp))[None], *self.plate)

    def _grown(self, planes: Tensor) -> Tensor:
        """Planes of the canvas as planes of the scaled plate, border repeated."""
        rows = (torch.arange(self.scaled[0], device=planes.device) + self.top).clamp(0, self.size[0] - 1)
        columns = (torch.arange(self.scaled[1], device=planes.device) + self.left).clamp(0, self.size[1] - 1)
        return planes.index_select(1, rows).index_select(2, columns)

    def _outside(self, planes: Tensor) -> Tensor:
        """Planes of the canvas as planes of the scaled plate, 0 outside."""
        rows, columns = self.scaled
        across = -self.left if self.left < 0 else 0
        down = -self.top if self.top < 0 else 0
        part = planes[:, max(self.top, 0) : max(self.top, 0) + rows, max(self.left, 0) : max(self.left, 0) + columns]
        right, bottom = columns - across - part.shape[2], rows - down - part.shape[1]
        return F.pad(part[None], (across, right, down, bottom))[0]


def laid(plate: Tuple[int, int], size: Tuple[int, int], fit: str) -> Canvas:
    """Lays a plate on a canvas.

    Args:
        plate, size: height and width of either, pixels.
        fit: ``pad`` keeps the whole plate, ``crop`` fills the canvas with its middle, ``stretch`` does not keep the
            aspect.

    Raises:
        BadRequest: an unknown fit, or a canvas whose sides are no multiples of :data:`MULTIPLE`.
    """
    check(size, fit)
    if fit == "stretch":
        return Canvas(plate, size, size, 0, 0)
    ratios = [on / of for on, of in zip(size, plate)]
    scale = min(ratios) if fit == "pad" else max(ratios)
    # The side that decides the scale fills the canvas exactly.
    scaled = [on if on / of == scale else max(1, round(of * scale)) for on, of in zip(size, plate)]
    top, left = ((on - of) // 2 for on, of in zip(size, scaled))
    return Canvas(plate, size, (scaled[0], scaled[1]), top, left)


def check(size: Tuple[int, int], fit: str) -> None:
    """Raises BadRequest as :func:`laid` does."""
    if fit not in FITS:
        raise BadRequest(f"fit={fit} is not known.", f"Use one of {', '.join(FITS)}.")
    if any(side < MULTIPLE or side % MULTIPLE for side in size):
        near = [max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE) for side in size]
        raise BadRequest(
            f"A canvas of {size[1]}x{size[0]} does not fit the network.",
            f"Use sides that are multiples of {MULTIPLE}, such as {near[1]}x{near[0]}.",
        )


def _mirrored(length: int, start: int, count: int, device: torch.device) -> Tensor:
    """Of each of ``length`` places, which of ``count`` it shows, where these begin at ``start`` and are mirrored at
    both ends, as often as it takes.
    """
    place = (torch.arange(length, device=device) - start) % (2 * count)
    return torch.where(place < count, place, 2 * count - 1 - place)


def _nearest(new: int, old: int, device: torch.device) -> Tensor:
    """Of each of ``new`` places over ``old`` ones, the nearest."""
    place = (torch.arange(new, dtype=torch.float64) + 0.5) * (old / new)
    return place.long().clamp(max=old - 1).to(device)


def _affine(flow: Tensor, trust: Tensor, size: Tuple[int, int], start: Tuple[int, int]) -> Tensor:
    """The affine motion that follows a flow (2, h, w) most, by trust (1, h, w), as one of a picture of another size on
    which the flow's begins at ``-start`` (rows, columns). Nothing where too little is trusted.
    """
    places = _places(flow.shape[-2:], (0, 0))
    say, wanted = trust.reshape(-1).cpu().double(), flow.reshape(2, -1).cpu().double()
    if float(say.sum()) < 0.01 * say.numel():
        return torch.zeros(2, *size, device=flow.device)
    held = torch.eye(3, dtype=torch.float64) * 1e-3 * say.sum()
    share, matrix = say, wanted.new_zeros(2, 3)
    for _ in range(_ROUNDS):
        matrix = torch.linalg.solve((places * share) @ places.T + held, ((wanted * share) @ places.T).T).T
        off = (matrix @ places - wanted).square().sum(0)
        share = say / (1 + off / _LOOSE**2)
    # Places are told in parts of the flow's own sides, from its middle.
    elsewhere = _places(size, start, flow.shape[-2:])
    return (matrix @ elsewhere).float().reshape(2, *size).to(flow.device)


def _places(size: Tuple[int, ...], start: Tuple[int, int], of: Optional[Tuple[int, ...]] = None) -> Tensor:
    """(3, n) float64: x and y of all pixels, as parts of the sides ``of`` from the middle, and ones."""
    height, width = of or size
    y = (torch.arange(size[0], dtype=torch.float64) + 0.5 + start[0]) / height - 0.5
    x = (torch.arange(size[1], dtype=torch.float64) + 0.5 + start[1]) / width - 0.5
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([columns.reshape(-1), rows.reshape(-1), torch.ones_like(rows).reshape(-1)])


def _scaled(planes: Tensor, axis: int, length: int) -> Tensor:
    """Planes (C, H, W) at another length along an axis: linear when longer, and when shorter the mean over exactly what
    each new place covers. Means over whole pixels would shift what they show by parts of one, here and there.
    """
    old = planes.shape[axis]
    if length >= old:
        sides = (length, planes.shape[2]) if axis == 1 else (planes.shape[1], length)
        return resize(planes, *sides)
    edge = torch.arange(length + 1, dtype=torch.float64) * (old / length)
    place = torch.arange(old, dtype=torch.float64)
    covered = torch.minimum(edge[1:, None], place + 1) - torch.maximum(edge[:-1, None], place)
    weight = (covered.clamp(min=0) * (length / old)).float().to(planes.device)
    return weight @ planes if axis == 1 else planes @ weight.T
