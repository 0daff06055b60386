"""The way to the compiled kernels: who may use them, and their work shared out among threads.

Only float32 on the CPU goes this way, where numba can be imported; everything else, and whatever needs a gradient or
is being traced, takes the way of torch in the calling module. Both keep the same promises and agree but for rounding.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache, partial
from importlib import import_module
from types import ModuleType
from typing import Callable, NamedTuple, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from kairos.motion import team

SMALL = 1 << 14
"""Pixels that are not worth handing to another thread."""


def usable(*planes: Tensor) -> bool:
    """Whether the kernels can take these tensors."""
    if not all(each.dtype is torch.float32 and each.device.type == "cpu" and type(each) is Tensor for each in planes):
        return False
    if torch.is_grad_enabled() and any(each.requires_grad for each in planes):
        return False
    if torch.jit.is_tracing() or torch.compiler.is_compiling():  # type: ignore[attr-defined,no-untyped-call]
        return False
    return _kernels() is not None


@cache
def compiled(module: str) -> Optional[ModuleType]:
    """A module of compiled kernels, by its full name; None where numba cannot be imported."""
    try:
        return import_module(module)
    except ImportError:
        return None


class _Kernels(NamedTuple):
    moving: ModuleType
    planes: ModuleType


@lru_cache(maxsize=1)
def _kernels() -> Optional[_Kernels]:
    moving, planes = compiled("kairos.motion.kernels"), compiled("kairos.motion.plane_kernels")
    return None if moving is None or planes is None else _Kernels(moving, planes)


def _loaded() -> _Kernels:
    kernels = _kernels()
    assert kernels is not None, "only after usable()"
    return kernels


def warp(planes: Tensor, flow: Tensor, filter: str, clamp: bool) -> Tensor:
    """See :func:`kairos.motion.warp.backward_warp`; filters ``bilinear``, ``cubic`` and ``lanczos``."""
    kernels = _loaded().moving
    out = torch.empty(planes.shape)
    source, vectors, target = array(planes), array(flow), out.numpy()

    def rows(top: int, bottom: int) -> None:
        if filter == "bilinear":
            kernels.bilinear_rows(source, vectors, target, top, bottom)
        elif filter == "cubic":
            kernels.cubic_rows(source, vectors, target, clamp, top, bottom)
        else:
            kernels.lanczos_rows(source, vectors, target, clamp, top, bottom)

    in_bands(rows, *flow.shape[-2:])
    return out


def blend(source0: Tensor, source1: Tensor, flows: Tuple[Tensor, Tensor], amount: Tensor, filter: str) -> Tensor:
    """Both sources (C, H, W) warped, clamped, and mixed; ``amount`` (1, H, W) is the weight of the first."""
    kernels = _loaded().moving
    first, second = warp(source0, flows[0], filter, True), warp(source1, flows[1], filter, True)
    mixed, other, weight = first.numpy(), second.numpy(), array(amount)
    in_bands(lambda top, bottom: kernels.mix_rows(mixed, other, weight, top, bottom), *amount.shape[-2:])
    return first


def nearest(planes: Tensor, flow: Tensor) -> Tensor:
    """Nearest source pixels of float32 planes, moved as bits."""
    kernels = _loaded().moving
    out = torch.empty(planes.shape)
    source, vectors, target = array(planes).view(np.int32), array(flow), out.numpy().view(np.int32)
    in_bands(lambda top, bottom: kernels.nearest_rows(source, vectors, target, top, bottom), *flow.shape[-2:])
    return out


def splat(values: Tensor, flow: Tensor, importance: Optional[Tensor], mode: str, least: float) -> Tuple[Tensor, Tensor]:
    """See :func:`kairos.motion.splat.splat`; shares not above ``least`` count as none."""
    kernels = _loaded().moving
    height, width = flow.shape[-2:]
    which = {"average": kernels.AVERAGE, "linear": kernels.LINEAR, "softmax": kernels.SOFTMAX}[mode]
    coverage, weights = torch.empty(1, height, width), np.empty(height * width, np.float32)
    mean = torch.empty(len(values), height, width)
    source, vectors = array(values), array(flow)
    metric = coverage.numpy() if importance is None else array(importance)
    reach, limit = np.empty((height, 2), np.int64), np.float32(least)
    in_bands(lambda top, bottom: kernels.reach_rows(vectors, reach, top, bottom), height, width)
    greatest = weights
    if mode == "softmax":
        greatest = np.empty_like(weights)
        in_bands(
            lambda top, bottom: kernels.greatest_rows(vectors, metric, reach, limit, greatest, top, bottom),
            *(height, width),
        )
    whole, area = mean.numpy().reshape(len(values), height * width), coverage.numpy().reshape(-1)

    def rows(top: int, bottom: int) -> None:
        kernels.splat_rows(source, vectors, metric, greatest, reach, which, limit, whole, weights, area, top, bottom)

    in_bands(rows, height, width)
    return mean, coverage


def unmixed(planes: Tensor, flow: Tensor) -> Tensor:
    """See :func:`kairos.motion.warp.warp_unmixed`."""
    moving, still = _loaded()
    count, height, width = planes.shape
    out, source, vectors = torch.empty(planes.shape), array(planes), array(flow)
    spread, smooth = np.empty((count, height + 4, width + 4), np.float32), np.empty((height, width), np.uint8)
    target = out.numpy()
    in_bands(lambda top, bottom: still.spread_rows(source, spread, top, bottom), height + 4, width)
    in_bands(lambda top, bottom: still.smooth_rows(source, spread, smooth, top, bottom), height, width)
    in_bands(lambda top, bottom: moving.unmixed_rows(source, vectors, smooth, target, top, bottom), height, width)
    return out


def round_trip(flow: Tensor, back: Tensor) -> Tuple[Tensor, Tensor]:
    """See :func:`kairos.motion.occlusion.consistency`: error and inside."""
    kernels = _loaded().moving
    height, width = flow.shape[-2:]
    error, inside = torch.empty(1, height, width), torch.empty(1, height, width, dtype=torch.bool)
    there, again, far, within = array(flow), array(back), error.numpy(), inside.numpy()
    in_bands(lambda top, bottom: kernels.round_trip_rows(there, again, far, within, top, bottom), height, width)
    return error, inside


def median(planes: Tensor) -> Tensor:
    """See :func:`kairos.motion.occlusion.clean_mask`."""
    kernels = _loaded().planes
    out = torch.empty(planes.shape)
    source, target = array(planes), out.numpy()
    in_bands(lambda top, bottom: kernels.median_rows(source, target, top, bottom), *planes.shape[-2:])
    return out


def half(planes: Tensor) -> Tensor:
    """Means of planes (C, H, W) over 2 by 2 pixels, of what lies inside: half the size, rounded up."""
    kernels = _loaded().planes
    height, width = (-(-side // 2) for side in planes.shape[-2:])
    out = torch.empty(len(planes), height, width)
    in_bands(partial(kernels.half_rows, array(planes), out.numpy()), height, width)
    return out


def halve(values: Tensor, weight: Tensor, least: float) -> Tuple[Tensor, Tensor]:
    """Weighted means of (C, H, W) over 2 by 2 pixels and the mean of the weights (1, H, W), by which is divided, or by
    ``least``.
    """
    kernels = _loaded().planes
    height, width = (values.shape[-2] + 1) // 2, (values.shape[-1] + 1) // 2
    coarse, left = torch.empty(len(values), height, width), torch.empty(1, height, width)
    source, share, limit = array(values), array(weight), np.float32(least)
    target, rest = coarse.numpy(), left.numpy()
    in_bands(lambda top, bottom: kernels.halve_rows(source, share, limit, target, rest, top, bottom), *(height, width))
    return coarse, left


def patch(coarse: Tensor, values: Tensor, weight: Tensor, softly: bool) -> Tensor:
    """Planes (C, H, W) mixed, by a weight (1, H, W), with others of half their size, rounded up, that are enlarged;
    not ``softly``: their own where the weight is above 0.
    """
    kernels = _loaded().planes
    out = torch.empty(values.shape)
    planes = array(coarse), array(values), array(weight), out.numpy()
    work = partial(kernels.patch_rows, *planes, softly)
    in_bands(work, *values.shape[-2:])
    return out


def pull(values: Tensor, weight: Tensor, softly: bool) -> Tensor:
    """See :func:`kairos.motion.fill.fill_weighted`, and, not ``softly``, :func:`kairos.motion.fill.fill_holes` of 0
    where unknown; on one thread, for pictures up to :data:`SMALL`.
    """
    out = torch.empty(values.shape)
    _loaded().planes.pull(array(values), array(weight), out.numpy(), softly)
    return out


def mean(planes: Tensor, least: float) -> Tensor:
    """Means of planes (C, H, W) over 3 by 3 pixels, the border repeated, at least ``least``."""
    kernels = _loaded().planes
    out = torch.empty(planes.shape)
    work = partial(kernels.mean_rows, array(planes), np.float32(least), out.numpy())
    in_bands(work, *planes.shape[-2:])
    return out


def enlarge(planes: Tensor, rows: Tuple[Tensor, Tensor], columns: Tuple[Tensor, Tensor]) -> Tensor:
    """Linear interpolation of (C, H, W) at rows and columns: of each the one before (int64) and the fraction after."""
    kernels = _loaded().planes
    height, width = len(rows[0]), len(columns[0])
    out = torch.empty(len(planes), height, width)
    source, target = array(planes), out.numpy()
    places = [each.numpy() for each in (*rows, *columns)]
    in_bands(lambda top, bottom: kernels.enlarge_rows(source, *places, target, top, bottom), height, width)
    return out


def array(planes: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """What a kernel takes of planes on the CPU: contiguous, in the planes' own memory where they are."""
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = planes.detach().contiguous().numpy()
    return found


def in_bands(work: Callable[[int, int], None], height: int, width: int) -> None:
    """Runs a kernel over all rows, in as many bands as there are threads; what it answers is the same for any."""
    in_parts(work, height, min(team.threads(), height * width // SMALL))


def in_parts(work: Callable[[int, int], None], height: int, bands: int) -> None:
    """Runs a kernel over all rows, in so many bands."""
    bands = max(1, min(bands, height))
    edges = [height * band // bands for band in range(bands + 1)]
    parts = list(zip(edges, edges[1:]))
    if team.threads() == 1:
        for part in parts:
            work(*part)
        return
    if bands > 1 and team.shared_out(work, parts):
        return
    others = [_pool(os.getpid()).submit(work, top, bottom) for top, bottom in parts[1:]]
    work(*parts[0])
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of this process: a forked one has none of its parent's. The kernels hold neither lock nor GIL, so callers
    on several threads share them safely.
    """
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="kairos-rows")
