"""Kernels on the threads that torch computes with.

When torch is done with a layer, its threads stay awake for some milliseconds, waiting for the next. Kernels on threads
of their own would have to share the cores with these: on two cores a network takes a quarter longer. So they are handed
to torch's own threads, where these are GNU OpenMP's; elsewhere a pool takes them.

Where several callers are at work side by side (:func:`side_by_side`), each takes its share of these threads: with more
of them than cores, one would wait for another that is not even running.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Tuple

import torch

_BORN = os.getpid()
"""A forked process has none of its parent's threads, and OpenMP does not notice."""

Band = Tuple[int, int]
_Part = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

_here = threading.local()
"""``callers``: how many are at work beside this thread, and it."""


def threads() -> int:
    """How many threads kernels that are called here may take."""
    return max(1, torch.get_num_threads() // getattr(_here, "callers", 1))


def side_by_side(callers: int) -> ThreadPoolExecutor:
    """So many threads, whose work runs side by side."""
    return ThreadPoolExecutor(callers, "kairos-side", initializer=setattr, initargs=(_here, "callers", callers))


@contextmanager
def beside(callers: int) -> Iterator[None]:
    """While so many others are at work, what is called here takes one thread's share."""
    before = getattr(_here, "callers", 1)
    _here.callers = callers + 1
    try:
        yield
    finally:
        _here.callers = before


def shared_out(work: Callable[[int, int], None], bands: List[Band]) -> bool:
    """Runs a kernel over all bands; False: there is nobody here who does, or so many threads that for these few bands
    it is not worth waking all of them.

    Raises:
        Exception: the first that a band ended with.
    """
    library = _library()
    many = threads()
    if library is None or os.getpid() != _BORN or 2 * len(bands) < many:
        return False
    next_band, caller = partial(next, iter(bands), None), threading.get_ident()
    ended: List[int] = []
    failures: List[BaseException] = []

    def some(_: object) -> None:
        # Every thread takes bands until none is left, however many threads there are.
        try:
            for band in iter(next_band, None):
                work(*band)
        except BaseException as error:
            failures.append(error)
        ended.append(threading.get_ident())

    part = _Part(some)
    # As many threads as torch takes: of another number some would be ended, and begun anew for torch's next layer.
    library.GOMP_parallel(part, None, many, 0)
    if failures:
        raise failures[0]
    if caller not in ended:
        # Ctrl-C before the first line above or after the last, where nothing can catch it.
        raise KeyboardInterrupt
    return True


@lru_cache(maxsize=1)
def _library() -> Optional[Any]:
    """GNU OpenMP as torch has loaded it."""
    if not sys.platform.startswith("linux") or "OpenMP" not in torch.__config__.parallel_info():
        return None
    # Nobody computes with it before it has been asked to.
    torch.ones(1 << 16).add_(1)
    maps = Path("/proc/self/maps")
    lines = maps.read_text(errors="replace").splitlines() if maps.exists() else []
    loaded = {line.split(None, 5)[-1] for line in lines if "libgomp" in line}
    own = str(Path(torch.__file__).parent)
    chosen = sorted(loaded, key=lambda path: not path.startswith(own))
    if not chosen or (len(chosen) > 1 and not chosen[0].startswith(own)):
        return None
    try:
        library = ctypes.CDLL(chosen[0])
    except OSError:
        # An upgrade has taken the file away since.
        return None
    if not hasattr(library, "GOMP_parallel"):
        return None
    library.GOMP_parallel.argtypes = (_Part, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    library.GOMP_parallel.restype = None
    return library
