"""How kernels are compiled. Costs the import of numba: only modules of kernels import it.

Arithmetic is float32 in the order written (no contraction, no reassociation), so that no bit of an answer hangs on the
processor's vectors; a kernel may ask for contraction. Constants of kernels have to be float32 too: numba widens a
float32 that meets a plain number.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Callable, Dict, TypeVar

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numba
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


_CONFIG: Any = numba.config

Body = TypeVar("Body", bound=Callable[..., Any])


def _folder() -> str:
    """Where what is compiled is kept: where NUMBA_CACHE_DIR says, else beside this file, apart for every kind of
    processor and for all that kernels are made of. Machines of a farm that share an installation and compile at the
    same moment must not be handed one another's code, and numba looks at a kernel's own file alone, not at those of
    its parts.
    """
    told = hashlib.sha256(str(llvm.get_host_cpu_features().flatten()).encode())
    for source in [Path(__file__), *sorted(Path(__file__).parents[1].rglob("*kernel*.py"))]:
        told.update(source.read_bytes())
    kind = f"{llvm.get_host_cpu_name()}-{told.hexdigest()[:8]}"
    return str(Path(_CONFIG.CACHE_DIR or Path(__file__).parent / "__pycache__") / kind)


_FOLDER = _folder()


def part(function: Body) -> Body:
    """What kernels that allow contraction share, made part of each."""
    made: Any = njit(nogil=True, error_model="numpy", fastmath={"contract"}, inline="always")(function)
    compiled: Body = made
    return compiled


def kernel(signature: str, contract: bool = False) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Compiles for one set of types, and keeps that on disk: where NUMBA_CACHE_DIR says, else beside this file, else,
    where that is read-only, with the user.

    ``contract``: a product and what it is added to may be rounded once, where the processor can.
    """
    how: Dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"} if contract else False}

    def compiled(function: Callable[..., Any]) -> Callable[..., None]:
        chosen = _CONFIG.CACHE_DIR
        _CONFIG.CACHE_DIR = _FOLDER
        try:
            made: Callable[..., None] = njit(signature, **how, cache=True)(function)
        except RuntimeError:
            # Nowhere to keep it: no folder can be written.
            made = njit(signature, **how)(function)
        finally:
            _CONFIG.CACHE_DIR = chosen
        return made

    return compiled
