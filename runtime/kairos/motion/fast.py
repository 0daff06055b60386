"""The way to the compiled kernels: who may use them, and their work shared out among threads.

Only float32 on the CPU goes this way, where numba can be imported; everything else, and whatever needs a gradient or
is being traced, takes the way of torch in the calling module. Both keep the same promises and agree but for rounding.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from types import ModuleType
from typing import Callable, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

_SMALL = 1 << 14
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


@lru_cache(maxsize=1)
def _kernels() -> Optional[ModuleType]:
    try:
        from kairos.motion import kernels
    except ImportError:
        return None
    return kernels


def _loaded() -> ModuleType:
    kernels = _kernels()
    assert kernels is not None, "only after usable()"
    return kernels


def warp(planes: Tensor, flow: Tensor, filter: str, clamp: bool) -> Tensor:
    """See :func:`kairos.motion.warp.backward_warp`; filters ``bilinear``, ``cubic`` and ``lanczos``."""
    kernels = _loaded()
    out = torch.empty(planes.shape)
    source, vectors, target = _array(planes), _array(flow), out.numpy()

    def rows(top: int, bottom: int) -> None:
        if filter == "bilinear":
            kernels.bilinear_rows(source, vectors, target, top, bottom)
        elif filter == "cubic":
            kernels.cubic_rows(source, vectors, target, clamp, top, bottom)
        else:
            kernels.lanczos_rows(source, vectors, target, clamp, top, bottom)

    _in_bands(rows, *flow.shape[-2:])
    return out


def blend(source0: Tensor, source1: Tensor, flows: Tuple[Tensor, Tensor], amount: Tensor, filter: str) -> Tensor:
    """Both sources (C, H, W) warped, clamped, and mixed; ``amount`` (1, H, W) is the weight of the first."""
    kernels = _loaded()
    first, second = warp(source0, flows[0], filter, True), warp(source1, flows[1], filter, True)
    mixed, other, weight = first.numpy(), second.numpy(), _array(amount)
    _in_bands(lambda top, bottom: kernels.mix_rows(mixed, other, weight, top, bottom), *amount.shape[-2:])
    return first


def nearest(planes: Tensor, flow: Tensor) -> Tensor:
    """Nearest source pixels of float32 planes, moved as bits."""
    kernels = _loaded()
    out = torch.empty(planes.shape)
    source, vectors, target = _array(planes).view(np.int32), _array(flow), out.numpy().view(np.int32)
    _in_bands(lambda top, bottom: kernels.nearest_rows(source, vectors, target, top, bottom), *flow.shape[-2:])
    return out


def splat(values: Tensor, flow: Tensor, importance: Optional[Tensor], mode: str, least: float) -> Tuple[Tensor, Tensor]:
    """See :func:`kairos.motion.splat.splat`; shares not above ``least`` count as none."""
    kernels = _loaded()
    height, width = flow.shape[-2:]
    which = {"average": kernels.AVERAGE, "linear": kernels.LINEAR, "softmax": kernels.SOFTMAX}[mode]
    coverage, weights = torch.empty(1, height, width), np.empty(height * width, np.float32)
    mean = torch.empty(len(values), height, width)
    source, vectors = _array(values), _array(flow)
    metric = coverage.numpy() if importance is None else _array(importance)
    reach, limit = np.empty((height, 2), np.int64), np.float32(least)
    _in_bands(lambda top, bottom: kernels.reach_rows(vectors, reach, top, bottom), height, width)
    greatest = weights
    if mode == "softmax":
        greatest = np.empty_like(weights)
        _in_bands(
            lambda top, bottom: kernels.greatest_rows(vectors, metric, reach, limit, greatest, top, bottom),
            *(height, width),
        )
    whole, area = mean.numpy().reshape(len(values), height * width), coverage.numpy().reshape(-1)

    def rows(top: int, bottom: int) -> None:
        kernels.splat_rows(source, vectors, metric, greatest, reach, which, limit, whole, weights, area, top, bottom)

    _in_bands(rows, height, width)
    return mean, coverage


def _array(planes: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = planes.detach().contiguous().numpy()
    return found


def _in_bands(work: Callable[[int, int], None], height: int, width: int) -> None:
    """Runs a kernel over all rows, in as many bands as torch uses threads; what it answers is the same for any."""
    bands = max(1, min(torch.get_num_threads(), height, height * width // _SMALL))
    edges = [height * band // bands for band in range(bands + 1)]
    others = [_pool(os.getpid()).submit(work, top, bottom) for top, bottom in zip(edges[1:-1], edges[2:])]
    work(edges[0], edges[1])
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of this process: a forked one has none of its parent's. The kernels hold neither lock nor GIL, so callers
    on several threads share them safely.
    """
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="kairos-rows")
