"""Colour as a function of place and time: the plain sine network, and one over smooth grids.

A point is (x, y, t): x and y run from -1 to 1 over the frame's outer edges, so that pixel i of W lies at
(2i + 1)/W - 1, and t is 0 in the middle of the clip and goes on by a clip's ``pace`` from frame to frame. Colours are
the proxy's, 0..1 brought to -1..1, and leave that range freely: nothing bounds what comes out.

Derivatives along a direction are worked out beside the values, in forward mode: one more pass instead of one per axis.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDE = 256
"""Width up to which a sine network is fitted at its full rate."""

_RATE, _SLOWER = 1e-3, 5 / 3
"""Adam's rate up to :data:`WIDE`, and the power by which wider networks take less: 1e-4 at 1024, as published."""

_TABLE_RATE, _HEAD_RATE = 1e-2, 2e-3
"""Adam's rates of a grid's features and of the network that reads them."""

CELLS = (32.0, 16.0, 8.0, 4.0, 2.0)
"""Distance of a grid's features, pixels, level by level."""

FEATURES = 4
"""Numbers at every point of a grid."""

LARGEST = 1 << 18
"""Features of one level; where it has more points, several share one by a hash (Mueller et al., SIGGRAPH 2022)."""

_PRIMES = (1, 2654435761, 805459861)


class Sines(nn.Module):
    """Layers sin(omega (W x + b)) and a linear last one (Sitzmann et al., "Implicit Neural Representations with
    Periodic Activation Functions", NeurIPS 2020, with the authors' initialisation).

    Args:
        inputs, outputs: numbers per point.
        width: of every layer.
        depth: layers after the first.
        omega: of all layers.
        features: the inputs are learned features, not coordinates: the first layer begins like the others.
    """

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, omega: float, features: bool = False) -> None:
        super().__init__()
        self.omega = omega
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
        for layer in self.waves:
            points = torch.sin(self.omega * layer(points))
        values: Tensor = self.last(points)
        return values

    def along(self, points: Tensor, way: Tensor) -> Tuple[Tensor, Tensor]:
        """Values and their derivatives along ``way``, both (N, outputs), of two (N, inputs)."""
        for layer in self.waves:
            assert isinstance(layer, nn.Linear)
            phase = self.omega * layer(points)
            points, way = torch.sin(phase), torch.cos(phase) * (self.omega * F.linear(way, layer.weight))
        return self.last(points), F.linear(way, self.last.weight)


class SirenField(nn.Module):
    """The plain sine network of place and time.

    Args:
        width: of every layer.
        depth: sine layers after the first.
        omega: frequency, of all layers.
    """

    def __init__(self, width: int = 256, depth: int = 3, omega: float = 30.0) -> None:
        super().__init__()
        self.sines = Sines(3, 3, width, depth, omega)
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
    """Features on grids of several sizes in x, y and t, read by a small sine network.

    Between a grid's points features follow quadratic B-splines, whose first derivatives are continuous: with linear
    interpolation the constraint along the motion would see noise.

    Args:
        size: height and width of the frames, pixels.
        frames: how many the clip has.
        pace: of t from frame to frame.
        width, depth: of the network.
        cells: distance of the points of every level, pixels; in time they lie one frame apart.
    """

    def __init__(
        self,
        size: Tuple[int, int],
        frames: int,
        pace: float,
        width: int = 64,
        depth: int = 1,
        cells: Sequence[float] = CELLS,
    ) -> None:
        super().__init__()
        height, width_px = size
        self.levels = nn.ModuleList(
            _Level((width_px / cell, height / cell, float(frames - 1)), pace, frames) for cell in cells
        )
        self.head = Sines(FEATURES * len(cells), 3, width, depth, 1.0, features=True)

    def forward(self, points: Tensor) -> Tensor:
        """(N, 3) colours of (N, 3) points."""
        values: Tensor = self.head(torch.cat([level(points) for level in self.levels], 1))
        return values

    def along(self, points: Tensor, way: Tensor) -> Tuple[Tensor, Tensor]:
        """Colours and their derivatives along ``way``, all (N, 3)."""
        found = [_level(level).along(points, way) for level in self.levels]
        return self.head.along(torch.cat([each[0] for each in found], 1), torch.cat([each[1] for each in found], 1))

    def groups(self) -> List[Dict[str, Any]]:
        """Parameters with their rates, for Adam."""
        return [
            {"params": list(self.levels.parameters()), "lr": _TABLE_RATE},
            {"params": list(self.head.parameters()), "lr": _HEAD_RATE},
        ]


class _Level(nn.Module):
    """One grid.

    Args:
        spans: cells along x, y and t.
        pace: of t from frame to frame.
        frames: of the clip.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, spans: Tuple[float, float, float], pace: float, frames: int) -> None:
        super().__init__()
        # A spline reaches one point beyond the ones it lies between.
        self.counts = [math.floor(span + 0.5) + 3 for span in spans]
        whole = math.prod(self.counts)
        self.hashed = whole > LARGEST
        self.table = nn.Parameter(torch.empty(LARGEST if self.hashed else whole, FEATURES).uniform_(-0.1, 0.1))
        across, down, later = spans
        self.register_buffer("scale", torch.tensor([across / 2, down / 2, 1 / pace]), persistent=False)
        self.register_buffer("shift", torch.tensor([across / 2, down / 2, later / 2]), persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        """(N, FEATURES) of (N, 3) points."""
        index, taps, _ = self._taps(points)
        return (_outer(*taps.unbind(1))[:, None] @ F.embedding(index, self.table))[:, 0]

    def along(self, points: Tensor, way: Tensor) -> Tuple[Tensor, Tensor]:
        """Features and their derivatives along ``way``, both (N, FEATURES)."""
        index, taps, slopes = self._taps(points)
        slopes = slopes * (way * self.scale)[..., None]
        (x, y, t), (dx, dy, dt) = taps.unbind(1), slopes.unbind(1)
        change = _outer(dx, y, t) + _outer(x, dy, t) + _outer(x, y, dt)
        seen = F.embedding(index, self.table)
        return (_outer(x, y, t)[..., None] * seen).sum(1), (change[..., None] * seen).sum(1)

    def _taps(self, points: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Which 27 features a point sees (N, 27), and the splines along each axis and their slopes, (N, 3, 3)."""
        place = points * self.scale + self.shift
        nearest = place.detach().round()
        off = place - nearest
        taps = torch.stack([(0.5 - off).square() / 2, 0.75 - off.square(), (0.5 + off).square() / 2], -1)
        slopes = torch.stack([off - 0.5, -2 * off, off + 0.5], -1)
        first = nearest.long()
        x, y, t = (
            (first[:, axis, None] + torch.arange(3, device=points.device)).clamp(0, count - 1)
            for axis, count in enumerate(self.counts)
        )
        x, y, t = x[:, :, None, None], y[:, None, :, None], t[:, None, None, :]
        if self.hashed:
            index = (x * _PRIMES[0] ^ y * _PRIMES[1] ^ t * _PRIMES[2]) & (LARGEST - 1)
        else:
            index = x + self.counts[0] * (y + self.counts[1] * t)
        return index.reshape(len(points), 27), taps, slopes


Field = Union[SirenField, GridField]
"""What can be fitted."""


def _level(module: nn.Module) -> _Level:
    assert isinstance(module, _Level)
    return module


def _outer(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """(N, 27) products of three (N, 3)."""
    return (x[:, :, None, None] * y[:, None, :, None] * t[:, None, None, :]).reshape(len(x), 27)
