"""Colour as a function of place and time: the plain sine network, and one over smooth grids.

A point is (x, y, t): x and y run from -1 to 1 over the frame's outer edges, so that pixel i of W lies at
(2i + 1)/W - 1, and t is 0 in the middle of the clip and goes on by a clip's ``pace`` from frame to frame. Colours are
the proxy's, 0..1 brought to -1..1, and leave that range freely: nothing bounds what comes out.

Derivatives along a direction are worked out beside the values, in forward mode: one more pass instead of one per axis.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDE = 128
"""Width up to which a sine network is fitted at its full rate."""

_RATE, _SLOWER = 1e-3, math.log(10) / math.log(8)
"""Adam's rate up to :data:`WIDE`, and the power by which wider networks take less: 1e-4 at 1024, as published."""

_TABLE_RATE, _HEAD_RATE = 2e-2, 5e-3
"""Adam's rates of a grid's features and of the network that reads them."""

CELLS = (8.0, 4.0, 2.0, 1.0)
"""Distance of a grid's features, pixels, level by level."""

_LATER = 1.0
"""Motion between two planes of the finest grid, pixels: further apart, what moves would smear from plane to plane;
closer, there would be less to learn each from."""

_CLOSEST, _FURTHEST = 1 / 8, 1 / 2
"""Least and greatest distance of planes, frames."""

FEATURES = 4
"""Numbers at every point of a grid."""

_BEGIN = 1e-2
"""Features begin within so much of 0."""


class Sines(nn.Module):
    """Layers sin(omega (W x + b)) and a linear last one (Sitzmann et al., "Implicit Neural Representations with
    Periodic Activation Functions", NeurIPS 2020, with the authors' initialisation).

    Args:
        inputs, outputs: numbers per point.
        width: of every layer.
        depth: layers after the first.
        omega: of all layers.
        features: the inputs are learned features, not coordinates: the first layer begins like the others.
        half: products between hidden layers are made in bfloat16. These take sines and answer with a fraction of a
            turn; coordinates, phases, sines and colours stay float32.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        depth: int,
        omega: float,
        features: bool = False,
        half: bool = False,
    ) -> None:
        super().__init__()
        self.omega, self._half = omega, half
        sides = [inputs, *[width] * (depth + 1)]
        self.waves = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sides, sides[1:]))
        self.last = nn.Linear(width, outputs)
        for index, layer in enumerate([*self.waves, self.last]):
            reach = math.sqrt(6 / layer.in_features) / omega
            if index == 0 and not features:
                reach = 1 / inputs
            nn.init.uniform_(layer.weight, -reach, reach)

    def forward(self, points: Tensor) -> Tensor:
        """(N, outputs) of (N, inputs)."""
        for index in range(len(self.waves)):
            points = torch.sin(self.omega * self._product(index, points, biased=True))
        values: Tensor = self.last(points)
        return values

    def along(self, points: Tensor, way: Tensor) -> Tuple[Tensor, Tensor]:
        """Values and their derivatives along ``way``, both (N, outputs), of two (N, inputs)."""
        for index in range(len(self.waves)):
            phase = self.omega * self._product(index, points, biased=True)
            way = torch.cos(phase) * (self.omega * self._product(index, way, biased=False))
            points = torch.sin(phase)
        return self.last(points), F.linear(way, self.last.weight)

    def _product(self, index: int, values: Tensor, biased: bool) -> Tensor:
        layer = self.waves[index]
        assert isinstance(layer, nn.Linear)
        bias = layer.bias if biased else None
        if not (self._half and index):
            return F.linear(values, layer.weight, bias)
        product = F.linear(values.bfloat16(), layer.weight.bfloat16()).to(values.dtype)
        return product if bias is None else product + bias


class SirenField(nn.Module):
    """The plain sine network of place and time.

    Args:
        width: of every layer.
        depth: sine layers after the first.
        omega: frequency, of all layers.
        half: see :class:`Sines`.
    """

    def __init__(self, width: int = 256, depth: int = 3, omega: float = 30.0, half: bool = False) -> None:
        super().__init__()
        self.sines = Sines(3, 3, width, depth, omega, half=half)
        self._rate = _RATE * min(1.0, WIDE / width) ** _SLOWER

    def forward(self, points: Tensor) -> Tensor:
        """(N, 3) colours of (N, 3) points."""
        values: Tensor = self.sines(points)
        return values

    def along(self, points: Tensor, way: Tensor) -> Tuple[Tensor, Tensor]:
        """Colours and their derivatives along ``way``, all (N, 3)."""
        return self.sines.along(points, way)

    def groups(self) -> List[Dict[str, Any]]:
        """Parameters with their rates, for Adam."""
        return [{"params": list(self.parameters()), "lr": self._rate}]


class GridField(nn.Module):
    """Features on grids of several sizes in x, y and t, read by a small network.

    Between a grid's points features follow quadratic B-splines, whose first derivatives are continuous: with linear
    interpolation the constraint along the motion would see noise. All points of one time share the planes of a grid
    that lie around it: these are mixed once, and a point sees nine features of the mixture instead of 27 of the grid.
    Planes that no point of a step lies near are left alone by Adam.

    Args:
        size: height and width of the frames, pixels.
        frames: how many the clip has.
        pace: of t from frame to frame.
        motion: usual between two frames, pixels: it sets the distance of a grid's planes.
        width, depth: of the network.
        half: see :class:`Sines`: where the network has layers after the first.
    """

    def __init__(
        self,
        size: Tuple[int, int],
        frames: int,
        pace: float,
        motion: float,
        width: int = 32,
        depth: int = 0,
        half: bool = False,
    ) -> None:
        super().__init__()
        later = min(max(2.0 ** round(math.log2(_LATER / max(motion, 0.1))), _CLOSEST), _FURTHEST)
        self.levels = nn.ModuleList(_Level(size, frames, pace, cell, min(1.0, later * cell)) for cell in CELLS)
        self.head = Sines(FEATURES * len(CELLS), 3, width, depth, 1.0, features=True, half=half)

    def forward(self, points: Tensor) -> Tensor:
        """(N, 3) colours of (N, 3) points; the quicker, the fewer different times they have."""
        values: Tensor = self.head(self._features(points))
        return values

    def along(self, points: Tensor, way: Tensor) -> Tuple[Tensor, Tensor]:
        """Colours and their derivatives along ``way``, all (N, 3)."""
        both = self._features(points, way)
        half = both.shape[1] // 2
        return self.head.along(both[:, :half], both[:, half:])

    def groups(self) -> List[Dict[str, Any]]:
        """Parameters with their rates, for Adam."""
        return [
            {"params": list(self.levels.parameters()), "lr": _TABLE_RATE},
            {"params": list(self.head.parameters()), "lr": _HEAD_RATE},
        ]

    def _features(self, points: Tensor, way: Optional[Tensor] = None) -> Tensor:
        """(N, F) of (N, 3) points; with ``way`` (N, 2F), their derivatives along it behind them."""
        times, group = torch.unique(points[:, 2].detach(), return_inverse=True)
        if len(times) == 1:
            return self._moment(points, way)
        order = group.argsort(stable=True)
        parts = order.split(torch.bincount(group, minlength=len(times)).tolist())
        found = torch.cat([self._moment(points[part], None if way is None else way[part]) for part in parts])
        return found[order.argsort()]

    def _moment(self, points: Tensor, way: Optional[Tensor]) -> Tensor:
        """The same for points of one time."""
        if way is None:
            return torch.cat([_level(level)(points) for level in self.levels], 1)
        found = [_level(level).along(points, way) for level in self.levels]
        return torch.cat([each[side] for side in (0, 1) for each in found], 1)


class _Level(nn.Module):
    """One grid.

    Args:
        size: height and width of the frames, pixels.
        frames: of the clip.
        pace: of t from frame to frame.
        cell: distance of its points, pixels.
        later: distance of its planes, frames.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, size: Tuple[int, int], frames: int, pace: float, cell: float, later: float) -> None:
        super().__init__()
        spans = (size[1] / cell, size[0] / cell, (frames - 1) / later)
        # A spline reaches one point beyond the ones it lies between.
        self.columns, self.rows, planes = (math.floor(span + 0.5) + 3 for span in spans)
        whole = self.columns * self.rows
        self.planes = nn.ParameterList(
            nn.Parameter(torch.empty(whole, FEATURES).uniform_(-_BEGIN, _BEGIN)) for _ in range(planes)
        )
        self.register_buffer("scale", torch.tensor([spans[0] / 2, spans[1] / 2, 1 / (pace * later)]), persistent=False)
        # Points lie on pixels' centres where there is one per pixel, and planes on frames.
        shift = torch.tensor([spans[0] / 2 - 0.5, spans[1] / 2 - 0.5, spans[2] / 2])
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        """(N, FEATURES) of (N, 3) points of one time."""
        index, taps, _ = self._taps(points)
        first, later, _ = self._moment(points)
        return _seen(self._mixed(first, later), index, _outer(taps[:, 0], taps[:, 1]))

    def along(self, points: Tensor, way: Tensor) -> Tuple[Tensor, Tensor]:
        """Features and their derivatives along ``way``, both (N, FEATURES)."""
        index, taps, slopes = self._taps(points)
        first, later, change = self._moment(points)
        (x, y), (dx, dy) = taps.unbind(1), (slopes * (way[:, :2] * self.scale[:2])[..., None]).unbind(1)
        plane, whole = self._mixed(first, later), _outer(x, y)
        there = _seen(plane, index, whole)
        moved = _seen(plane, index, _outer(dx, y) + _outer(x, dy))
        passed = _seen(self._mixed(first, change), index, whole)
        return there, moved + way[:, 2:] * self.scale[2] * passed

    def _mixed(self, first: int, weights: Tensor) -> Tensor:
        """(rows * columns, FEATURES): the planes around a time."""
        last = len(self.planes) - 1
        near = [self.planes[min(max(first + tap, 0), last)] for tap in range(3)]
        found: Tensor = near[0] * weights[0] + near[1] * weights[1] + near[2] * weights[2]
        return found

    def _moment(self, points: Tensor) -> Tuple[int, Tensor, Tensor]:
        """The first plane that the points see, and the spline in time and its slope, (3,) each."""
        # Of equal numbers the mean is that number, and each of them has its part in a derivative.
        place = points[:, 2].mean() * self.scale[2] + self.shift[2]
        nearest = place.detach().round()
        taps, slopes = _spline(place - nearest)
        return int(nearest), taps, slopes

    def _taps(self, points: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Which 9 features a point sees (N, 9), and the splines along x and y and their slopes, (N, 2, 3)."""
        place = points[:, :2] * self.scale[:2] + self.shift[:2]
        nearest = place.detach().round()
        taps, slopes = _spline(place - nearest)
        first, three = nearest.int(), torch.arange(3, dtype=torch.int32, device=points.device)
        x = (first[:, :1] + three).clamp(0, self.columns - 1)
        y = (first[:, 1:] + three).clamp(0, self.rows - 1)
        return (y[:, :, None] * self.columns + x[:, None, :]).reshape(len(points), 9), taps, slopes


class _Seen(torch.autograd.Function):
    """Weighted sums of a table's rows. Torch's own embedding bag takes several times as long on the way back."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        """(N, F) of (R, F), rows' numbers (N, K) and weights (N, K)."""
        ctx.save_for_backward(table, index, weights)
        found: Tensor = F.embedding_bag(index, table, mode="sum", per_sample_weights=weights)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tuple[Optional[Tensor], None, Optional[Tensor]]:
        """To the table and the weights."""
        table, index, weights = ctx.saved_tensors
        (grad,), rows, heavy = grads, None, None
        if ctx.needs_input_grad[0]:
            parts = (weights[..., None] * grad[:, None]).reshape(-1, table.shape[1])
            rows = torch.zeros_like(table).index_add_(0, index.reshape(-1), parts)
        if ctx.needs_input_grad[2]:
            heavy = (F.embedding(index, table) * grad[:, None]).sum(-1)
        return rows, None, heavy


def _seen(table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """(N, F): see :class:`_Seen`."""
    found: Tensor = _Seen.apply(table, index, weights)  # type: ignore[no-untyped-call]
    return found


Field = Union[SirenField, GridField]
"""What can be fitted."""


def _level(module: nn.Module) -> _Level:
    assert isinstance(module, _Level)
    return module


def _spline(off: Tensor) -> Tuple[Tensor, Tensor]:
    """Quadratic B-spline at three neighbouring points, and its slopes, (..., 3): ``off`` of the middle one."""
    taps = torch.stack([(0.5 - off).square() / 2, 0.75 - off.square(), (0.5 + off).square() / 2], -1)
    return taps, torch.stack([off - 0.5, -2 * off, off + 0.5], -1)


def _outer(x: Tensor, y: Tensor) -> Tensor:
    """(N, 9) products of two (N, 3), row by row."""
    return (y[:, :, None] * x[:, None, :]).reshape(len(x), 9)
