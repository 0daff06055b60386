"""How kernels are compiled. Costs the import of numba: only modules of kernels import it.

Arithmetic is float32 in the order written (no contraction, no reassociation), so that no bit of an answer hangs on the
processor's vectors. Constants of kernels have to be float32 too: numba widens a float32 that meets a plain number.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import numpy.typing as npt
from numba import njit

Planes = npt.NDArray[np.float32]
"""(C, H, W), contiguous."""
Plane = npt.NDArray[np.float32]
"""(H * W,), contiguous."""
Line = npt.NDArray[np.float32]
"""(W,), contiguous."""

PLANES = "f4[:,:,::1]"
"""Signature of :data:`Planes`."""


def kernel(signature: str) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Compiles for one set of types, and keeps that beside the module or, where it is read-only, with the user."""

    def compiled(function: Callable[..., Any]) -> Callable[..., None]:
        try:
            made: Callable[..., None] = njit(signature, nogil=True, error_model="numpy", cache=True)(function)
        except RuntimeError:
            # Nowhere to keep it: neither folder can be written.
            made = njit(signature, nogil=True, error_model="numpy")(function)
        return made

    return compiled
