"""One layer: what it is made of, and how it looks through a window of the screen at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kairos.training.scenes.motion import Course, Numbers
from kairos.training.scenes.shapes import Shape

DIFFUSE = 1.05
"""Only highlights and added layers are brighter."""
OPAQUE, TRANSPARENT, ADDITIVE, SHADOW = range(4)

Window = Tuple[int, int, int, int]
"""Rows and columns of the screen: top, bottom, left, right; bottom and right excluded."""


def paired(x: Tensor, y: Tensor) -> Tensor:
    """(..., 2) of two tensors; as complex numbers, which interleave several times faster than a stack."""
    return torch.view_as_real(torch.complex(x, y))


@dataclass(frozen=True)
class Surface:
    """A texture laid on a layer's plane, and its colours.

    Attributes:
        canvas: (1, 3, h, w) level of a texture.
        lay: (2, 3) from the layer's plane to canvas pixels.
        mix: (3, 3) of canvas colour less its mean; base: (3,) added to it.
        light: (2,) change of brightness per pixel across the plane; rim: darkening at the outline, 0..1, over
            rim_width pixels.
        highlights: (N, 6) x, y on the plane, radius in pixels, then red, green, blue added at the middle.
    """

    canvas: Tensor
    lay: Numbers
    mix: Tensor
    base: Tensor
    light: Tuple[float, float]
    rim: float
    rim_width: float
    highlights: Numbers

    def colours(self, x: Tensor, y: Tensor, depth: Optional[Tensor]) -> Tensor:
        """(3, h, w) at points of the layer's plane; depth is the distance inside the outline where there is one."""
        (a, b, c), (d, e, f) = self.lay.tolist()
        height, width = self.canvas.shape[-2:]
        u = (x * a + y * b).add_(c).mul_(2.0 / (width - 1)).sub_(1.0)
        v = (x * d + y * e).add_(f).mul_(2.0 / (height - 1)).sub_(1.0)
        grid = paired(u, v)[None]
        found = functional.grid_sample(self.canvas, grid, "bilinear", "reflection", align_corners=True)[0]
        shape = found.shape
        colour = torch.addmm(self.base[:, None], self.mix, found.reshape(3, -1)).reshape(shape)
        shade = (x * self.light[0] + y * self.light[1]).add_(1.0).clamp_(0.35, 1.8)
        if self.rim > 0.0 and depth is not None:
            shade = shade * (1.0 - self.rim * torch.exp(depth.clamp(min=0.0) * (-1.0 / self.rim_width)))
        colour = colour.mul_(shade).clamp_(0.0, DIFFUSE)
        for hx, hy, radius, red, green, blue in self.highlights.tolist():
            near = ((x - hx).square() + (y - hy).square()).mul_(-0.5 / (radius * radius)).exp_()
            colour = colour + near * colour.new_tensor([red, green, blue])[:, None, None]
        return colour


@dataclass(frozen=True)
class Layer:
    """A surface with an outline on a course.

    Attributes:
        kind: OPAQUE, TRANSPARENT, ADDITIVE or SHADOW; only opaque layers own pixels.
        number: the object it belongs to; 0 is the background.
        shape: None covers everything.
        softness: width of the edge's ramp in pixels, 1 for a hard matte.
        opacity: 1 for opaque layers, else how much of it there is.
    """

    kind: int
    number: int
    surface: Optional[Surface]
    shape: Optional[Shape]
    softness: float
    opacity: float
    course: Course

    def window(self, time: float, height: int, width: int) -> Optional[Window]:
        """The part of the screen that the layer can touch at a time; None where it touches nothing."""
        if self.shape is None:
            return 0, height, 0, width
        slack = 0.0 if self.course.ripple is None else self.course.ripple.reach()
        half_x, half_y = self.shape.half[0] + slack, self.shape.half[1] + slack
        corners = np.array([[sx * half_x, sy * half_y, 1.0] for sx in (-1, 1) for sy in (-1, 1)])
        wide = corners @ self.course.matrix(time)[0].T
        if (wide[:, 2] <= 0.05).any():
            return 0, height, 0, width
        screen = wide[:, :2] / wide[:, 2:]
        left, top = np.floor(screen.min(0)).astype(int)
        right, bottom = np.ceil(screen.max(0)).astype(int) + 1
        top, bottom, left, right = max(0, int(top)), min(height, int(bottom)), max(0, int(left)), min(width, int(right))
        return (top, bottom, left, right) if top < bottom and left < right else None

    def plane(self, window: Window, time: float, device: torch.device) -> Tuple[Tensor, Tensor]:
        """(h, w) points of the layer's plane behind a window's pixels."""
        top, bottom, left, right = window
        x = torch.arange(left, right, dtype=torch.float32, device=device)[None, :]
        y = torch.arange(top, bottom, dtype=torch.float32, device=device)[:, None]
        return self.course.to_plane(x, y, time)

    def cover(self, x: Tensor, y: Tensor) -> Tuple[Optional[Tensor], Optional[Tensor]]:
        """(h, w) alpha at points of the plane, and the distance inside the outline; None where it covers all."""
        if self.shape is None:
            return None, None
        half_x, half_y = self.shape.half
        grid = paired(x * (1.0 / half_x), y * (1.0 / half_y))[None]
        depth = functional.grid_sample(self.shape.field, grid, "bilinear", "border", align_corners=True)[0, 0]
        # A soft edge fades inwards, where the distance is known: the field ends soon after the outline.
        alpha = (depth + 0.5).mul_(1.0 / self.softness).clamp_(0.0, 1.0)
        if self.softness > 2.0:
            alpha = alpha * alpha * (3.0 - 2.0 * alpha)
        return (alpha * self.opacity if self.opacity != 1.0 else alpha), depth
