"""Backward warping: fetch every output pixel from where its motion points.

Coordinates are float32 whatever the planes' type, and the whole and fractional parts of a vector are split before the
pixel's own position is added: precision does not fall with the size of the frame, and a whole-pixel move is exact.
"""

from __future__ import annotations

from typing import Callable, List, Mapping, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.motion import fast

CHUNK_PIXELS = 1 << 18
"""Output pixels worked on at once: keeps the temporary tensors in cache and bounds memory on large frames."""

FAR = float(1 << 24)
"""Vectors are limited to this length, pixels: beyond it lies border, and whole numbers are still exact."""


def _linear_weights(fraction: Tensor) -> List[Tensor]:
    return [1.0 - fraction, fraction]


def _cubic_weights(fraction: Tensor) -> List[Tensor]:
    """Keys' cubic convolution with a = -0.5 (Catmull-Rom), taps -1..2."""
    s = fraction
    s2 = s * s
    s3 = s2 * s
    return [
        -0.5 * s3 + s2 - 0.5 * s,
        1.5 * s3 - 2.5 * s2 + 1.0,
        -1.5 * s3 + 2.0 * s2 + 0.5 * s,
        0.5 * s3 - 0.5 * s2,
    ]


def _lanczos_weights(fraction: Tensor) -> List[Tensor]:
    """Lanczos with three lobes, taps -2..3, normalised to sum 1 so that a flat area stays flat."""
    taps = []
    # In float64, so that no bit of the answer hangs on how the pixels were shared out among vector units and threads.
    exact = fraction.double()
    for tap in range(-2, 4):
        distance = exact - tap
        taps.append(torch.sinc(distance) * torch.sinc(distance / 3.0))
    # At whole positions sinc is not exactly 0 in float32: those must fetch their pixel alone.
    whole = fraction == 0
    total = torch.stack(taps).sum(0)
    return [torch.where(whole, float(tap == 0), (weight / total).float()) for tap, weight in zip(range(-2, 4), taps)]


_KERNELS: Mapping[str, Tuple[int, Callable[[Tensor], List[Tensor]]]] = {
    "bilinear": (0, _linear_weights),
    "cubic": (-1, _cubic_weights),
    "lanczos": (-2, _lanczos_weights),
}
FILTERS = ("nearest", *_KERNELS)


def nearest_index(flow: Tensor, top: int = 0, bottom: int | None = None) -> Tensor:
    """Flat index of the source pixel nearest to where each vector points, inside the frame.

    Args:
        flow: (2, H, W) pixels, x right, y down.
        top, bottom: rows to answer for; the whole frame when not given.

    Returns:
        int64, ((bottom - top) * W,): row * W + column. A half rounds up.
    """
    height, width = flow.shape[-2:]
    bottom = height if bottom is None else bottom
    u, v = _safe(flow[:, top:bottom].float())
    columns = torch.arange(width, device=flow.device)
    rows = torch.arange(top, bottom, device=flow.device)[:, None]
    x = (columns + torch.floor(u + 0.5).long()).clamp_(0, width - 1)
    y = (rows + torch.floor(v + 0.5).long()).clamp_(0, height - 1)
    return (y * width + x).reshape(-1)


def nearest_warp(planes: Tensor, flow: Tensor) -> Tensor:
    """The source pixels (C, H, W) nearest to where the vectors (2, H, W) point, moved as bits: every NaN's pattern and
    the sign of zero survive.
    """
    if fast.usable(planes, flow):
        return fast.nearest(planes, flow)
    whole = planes.contiguous().view(torch.int32) if planes.dtype is torch.float32 else planes
    moved = whole.reshape(len(planes), -1).index_select(1, nearest_index(flow)).reshape(planes.shape)
    return moved.view(planes.dtype)


def backward_warp(planes: Tensor, flow: Tensor, filter: str = "bilinear", clamp: bool = True) -> Tensor:
    """Moves planes along a backward flow: ``out(x) = planes(x + flow(x))``, borders repeated.

    Where the flow is exactly 0 the pixel comes through bit-identical, and whole-pixel moves are exact.

    Args:
        planes: (C, H, W) of any floating type; the answer has the same type.
        flow: (2, H, W) pixels, x right, y down.
        filter: ``bilinear``, ``cubic`` (Catmull-Rom), ``lanczos`` (three lobes) or ``nearest``.
        clamp: keep cubic and lanczos within the minimum and maximum of the source pixels under the filter, so that
            nothing rings around highlights or against black.

    Returns:
        (C, H, W).

    Raises:
        ValueError: an unknown filter, or planes and flow of different sizes.
    """
    if filter not in FILTERS:
        raise ValueError(f"unknown filter {filter!r}; one of {', '.join(FILTERS)}")
    if planes.shape[-2:] != flow.shape[-2:]:
        raise ValueError(f"planes {tuple(planes.shape)} and flow {tuple(flow.shape)} differ in size")
    height, width = flow.shape[-2:]
    if filter == "nearest":
        return nearest_warp(planes, flow)
    if fast.usable(planes, flow):
        return fast.warp(planes, flow, filter, clamp)
    if not flow.any():
        return planes.clone()

    first, kernel = _KERNELS[filter]
    source = planes.float()
    flat = source.reshape(len(planes), -1)
    bounds = _neighbourhood(source, first) if clamp and filter != "bilinear" else None
    out = torch.empty_like(planes)
    step = max(1, CHUNK_PIXELS // max(1, width))
    for top in range(0, height, step):
        bottom = min(top + step, height)
        part = flow[:, top:bottom].float()
        moved = _warp_rows(flat, part, top, height, first, kernel, bounds)
        still = (part == 0).all(0, keepdim=True)
        out[:, top:bottom] = torch.where(still, planes[:, top:bottom], moved.to(planes.dtype))
    return out


def _warp_rows(
    flat: Tensor,
    flow: Tensor,
    top: int,
    height: int,
    first: int,
    kernel: Callable[[Tensor], List[Tensor]],
    bounds: Tuple[Tensor, Tensor] | None,
) -> Tensor:
    rows, width = flow.shape[-2:]
    u, v = _safe(flow)
    left, above = torch.floor(u), torch.floor(v)
    across, down = kernel(u - left), kernel(v - above)
    x = torch.arange(width, device=flow.device) + left.long()
    y = torch.arange(top, top + rows, device=flow.device)[:, None] + above.long()

    columns = [(x + (first + tap)).clamp_(0, width - 1) for tap in range(len(across))]
    total = torch.zeros(len(flat), rows * width, device=flow.device)
    for tap, weight_down in enumerate(down):
        row = (y + (first + tap)).clamp_(0, height - 1) * width
        for column, weight_across in zip(columns, across):
            fetched = flat.index_select(1, (row + column).reshape(-1))
            total.addcmul_(fetched, (weight_down * weight_across).reshape(1, -1))
    if bounds is not None:
        # bounds hold the extremes of the filter's footprint at its first tap, in a frame padded by the footprint.
        size = len(across)
        bounds_width = width + size + 1
        index = (y + first + size).clamp_(0, height + size) * bounds_width + (x + first + size).clamp_(0, width + size)
        low = bounds[0].index_select(1, index.reshape(-1))
        high = bounds[1].index_select(1, index.reshape(-1))
        total = torch.minimum(torch.maximum(total, low), high)
    return total.reshape(len(flat), rows, width)


def _neighbourhood(source: Tensor, first: int) -> Tuple[Tensor, Tensor]:
    """Minimum and maximum over the filter's footprint, by the position of its first tap, with a repeated border."""
    size = 2 - 2 * first
    padded = F.pad(source[None], (size, size, size, size), mode="replicate")[0]
    low, high = padded, padded
    for axis in (1, 2):
        low, high = _sliding(low, axis, size, torch.minimum), _sliding(high, axis, size, torch.maximum)
    return low.reshape(len(source), -1), high.reshape(len(source), -1)


def _sliding(planes: Tensor, axis: int, size: int, pick: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The extreme of every ``size`` neighbours along an axis (even sizes), by the position of the first."""
    length = planes.shape[axis]
    pairs = pick(planes.narrow(axis, 0, length - 1), planes.narrow(axis, 1, length - 1))
    out = pairs.narrow(axis, 0, length - size + 1)
    for tap in range(2, size, 2):
        out = pick(out, pairs.narrow(axis, tap, length - size + 1))
    return out


def warp_unmixed(planes: Tensor, flow: Tensor) -> Tensor:
    """Moves data that must not be mixed across an edge (depth, position, vectors): bilinear on smooth surfaces, the
    nearest source pixel wherever the four pixels around differ more than the surface beside them does.

    Args:
        planes: (C, H, W) float32.
        flow: (2, H, W) pixels, x right, y down.

    Returns:
        (C, H, W); at an edge every pixel is one source pixel, all channels together.
    """
    if fast.usable(planes, flow):
        return fast.unmixed(planes, flow)
    height, width = flow.shape[-2:]
    nearest = nearest_index(flow)
    out = planes.reshape(len(planes), -1).index_select(1, nearest).reshape(planes.shape)
    if not bool(flow.any()):
        return out
    padded = F.pad(planes[None], (2, 3, 2, 3), mode="replicate")[0]
    spread = padded.narrow(1, 0, height + 4).narrow(2, 0, width + 4)
    low, high = spread, spread
    for down, across in ((0, 1), (1, 0), (1, 1)):
        corner = padded.narrow(1, down, height + 4).narrow(2, across, width + 4)
        low, high = torch.minimum(low, corner), torch.maximum(high, corner)
    spread = high - low
    # The least spread of the 5 by 5 cells around: on a slope as large as the cell's own, at an edge far smaller. A
    # constant cell is left to the nearest pixel, which is exact.
    calm = -F.max_pool2d(-spread[None], 5, 1)[0]
    spread = spread[:, 2:-2, 2:-2]
    smooth = (spread <= 3.0 * calm + 1e-6 * planes.abs()).all(0) & (spread > 0).any(0)
    smooth = smooth.reshape(-1)
    u, v = _safe(flow.float())
    x = (torch.arange(width, device=flow.device) + torch.floor(u).long()).clamp_(0, width - 1)
    y = (torch.arange(height, device=flow.device)[:, None] + torch.floor(v).long()).clamp_(0, height - 1)
    chosen = smooth[(y * width + x).reshape(-1)].reshape(1, height, width)
    return torch.where(chosen, backward_warp(planes, flow, "bilinear"), out)


def _safe(flow: Tensor) -> Tensor:
    return torch.nan_to_num(flow, nan=0.0, posinf=FAR, neginf=-FAR).clamp(-FAR, FAR)
