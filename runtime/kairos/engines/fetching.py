"""Planes fetched from where a flow points, bilinear.

Planes are (B, C, H, W), flows (B, 2, H, W) in pixels of their own grid, x right, y down. Flows and the places that they
point to are float32 under half precision too: at 2000 pixels a half cannot tell one pixel from the next.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.motion import fast

_WORTH_SHARING = 1 << 16
"""Pixels from which on fetching is shared out among threads."""

_MANY = 8
"""Channels from which on all of a pixel are fetched at once."""


def warp(planes: Tensor, flow: Tensor) -> Tensor:
    """Planes fetched from where a flow points, the border repeated."""
    if _compiled(planes, flow):
        return _in_rows(planes, flow[:, 0], flow[:, 1], 1)
    x, y = pixels(flow)
    if recorded() or flow.requires_grad or _by_pixel(planes):
        return fetched(planes, x + flow[:, 0].float(), y + flow[:, 1].float())
    # The same places, each written once: as many passes over the frame as above would take longer than the fetching.
    height, width = planes.shape[-2:]
    grid = torch.empty(*flow[:, 0].shape, 2, device=flow.device)
    torch.add((2 * x + 1) / width - 1, flow[:, 0].float(), alpha=2 / width, out=grid[..., 0])
    torch.add((2 * y + 1) / height - 1, flow[:, 1].float(), alpha=2 / height, out=grid[..., 1])
    return _by_plane(planes, grid, "border")


def fetched(planes: Tensor, x: Tensor, y: Tensor, outside: str = "border") -> Tensor:
    """Planes at places (B, h, w) in pixels; ``outside`` is ``border`` (repeated) or ``zeros``."""
    if outside == "border" and _by_pixel(planes) and not x.requires_grad:
        return _rows(planes, x, y)
    if outside == "border" and _compiled(planes, x, y):
        return _in_rows(planes, x, y, 0)
    height, width = planes.shape[-2:]
    # The outer edges of pixels lie at -1 and 1: unlike their centres, these are apart on a grid of one pixel too.
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return _by_plane(planes, grid, outside)


def pixels(like: Tensor) -> Tuple[Tensor, Tensor]:
    """The columns' places (W,) and the rows' (H, 1), float32."""
    return counted(like[0, 0, 0]), counted(like[0, 0, :, 0])[:, None]


def counted(like: Tensor) -> Tensor:
    """0, 1, 2 ... as many as ``like`` (n,) has elements, float32."""
    return ones(like).cumsum(0) - 1


def ones(like: Tensor) -> Tensor:
    """As many ones, float32.

    Filled and not made: a recorded graph would remember the device of what it makes, and could not move to another.
    """
    return like.float().clone().fill_(1)


def recorded() -> bool:
    """A graph is being recorded: it has to hold for every size, and on every device."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def _by_pixel(planes: Tensor) -> bool:
    """On the CPU many channels are fetched several times as fast pixel by pixel as plane by plane."""
    on_cpu = planes.device.type == "cpu" and not planes.requires_grad
    return on_cpu and planes.shape[1] >= _MANY and planes[:, :1].numel() < 1 << 31 and not recorded()


def _rows(planes: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Planes at places in pixels, the border repeated: of four pixels all channels, which lie in a row in memory."""
    batch, channels, height, width = planes.shape
    x, y = (places.nan_to_num(0.0).clamp_(0, side - 1) for places, side in ((x, width), (y, height)))
    left, top = x.floor(), y.floor()
    right, below = x.sub_(left), y.sub_(top)
    first = left.int() + top.int() * width
    if batch > 1:
        first += torch.arange(batch, dtype=torch.int32)[:, None, None] * (height * width)
    beyond_x, beyond_y = (left < width - 1).int(), (top < height - 1).int() * width
    places = torch.empty(*first.shape, 4, dtype=torch.int32)
    places[..., 0] = first
    torch.add(first, beyond_x, out=places[..., 1])
    torch.add(first, beyond_y, out=places[..., 2])
    torch.add(places[..., 1], beyond_y, out=places[..., 3])
    shares = torch.empty(*first.shape, 4)
    torch.mul(right, below, out=shares[..., 3])
    torch.sub(below, shares[..., 3], out=shares[..., 2])
    torch.sub(right, shares[..., 3], out=shares[..., 1])
    # What the others leave, so that a fetch between alike pixels changes nothing.
    torch.sub(1 - right, shares[..., 2], out=shares[..., 0])
    table = planes.float().permute(0, 2, 3, 1).reshape(-1, channels)
    found = F.embedding_bag(places.view(-1, 4), table, mode="sum", per_sample_weights=shares.view(-1, 4))
    return found.view(*first.shape, channels).permute(0, 3, 1, 2).to(planes.dtype)


def _compiled(*given: Tensor) -> bool:
    """Whether a compiled kernel fetches them, plane by plane."""
    if recorded() or _by_pixel(given[0]) or not all(each.numel() for each in given) or not fast.usable(*given):
        return False
    return _kernels() is not None


def _in_rows(planes: Tensor, x: Tensor, y: Tensor, step: int) -> Tensor:
    """Planes at places (B, h, w), or, with a ``step`` of 1, so far from each pixel."""
    kernels = _kernels()
    assert kernels is not None, "only after _compiled()"
    batch, channels, height, width = planes.shape
    rows, wide = x.shape[-2:]
    out = planes.new_empty(batch, channels, rows, wide)
    x, y = (each.expand(batch, -1, -1) for each in (x, y))
    for picture, across, down, answer in zip(planes, x, y, out):
        lines = [each.contiguous().view(-1).numpy() for each in (picture, across, down, answer)]
        work = partial(kernels.fetch_rows, *lines, channels, height, width, wide, step)
        fast.in_bands(work, rows, wide)
    return out


def _kernels() -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.fetching_kernels")


def _by_plane(planes: Tensor, grid: Tensor, outside: str) -> Tensor:
    batch, rows = grid.shape[:2]
    shares = 1 if recorded() or grid.is_cuda or batch > 1 else torch.get_num_threads()
    if shares == 1 or rows % shares or grid.shape[2] * rows < _WORTH_SHARING:
        return F.grid_sample(planes.float(), grid, "bilinear", outside, align_corners=False).to(planes.dtype)
    # On the CPU torch shares out whole frames alone among its threads: strips of rows become a batch of them.
    seen, strips = planes.float().expand(shares, -1, -1, -1), grid[0].reshape(shares, rows // shares, -1, 2)
    found = F.grid_sample(seen, strips, "bilinear", outside, align_corners=False)
    return found.transpose(0, 1).flatten(1, 2)[None].to(planes.dtype)
