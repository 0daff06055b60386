"""How this process gets memory from the system: kept between frames, and given back between jobs.

Every layer of a network asks for tens of megabytes and returns them. glibc passes such pieces straight through to the
system, which clears every page anew: a tenth to a quarter of a network's time on the CPU. Kept, pages are used again.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from typing import Any, Iterator, List, Optional

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
"""Names of settings in glibc's malloc.h."""

_MOST = (1 << 31) - 1

_PIECE, _PIECES = 1 << 16, 1 << 16
"""Bytes from which a piece is the system's own, and how many of them there may be: glibc's own number."""

_GAP = 1 << 25
"""Bytes of the largest pieces with which gaps are filled."""

_kept = False
"""Whether this process keeps its memory."""

_SAID = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")
"""How errors say it that memory was too short: torch's have a type of their own on CUDA alone."""


def keep_memory() -> None:
    """Keeps what is returned for what is asked for next. Called before threads begin; elsewhere than on glibc nothing.

    All threads share one heap: only that one grows for pieces of any size.
    """
    global _kept
    library = _glibc()
    if library is not None:
        _kept = True
        for setting, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST), (_ARENA_MAX, 1)):
            library.mallopt(setting, value)


@contextmanager
def lean_memory() -> Iterator[None]:
    """Inside, pieces go back to the system at once, where :func:`keep_memory` keeps them elsewhere.

    For what takes gigabytes and whose layers take long: what lies between kept pieces would be half as much again.
    """
    library = _glibc()
    if library is None:
        yield
        return
    give_back()
    library.mallopt(_MMAP_THRESHOLD, _PIECE)
    library.mallopt(_MMAP_MAX, _PIECES)
    gaps = _filled_gaps(library)
    try:
        yield
    finally:
        for piece in gaps:
            library.free(ctypes.c_void_p(piece))
        if _kept:
            keep_memory()


def _filled_gaps(library: Any) -> List[int]:
    """Takes the gaps that earlier work left in the heap, and answers with the pieces, to be freed.

    glibc looks into gaps before it asks the system, and gives back nothing that was in one. A piece that nobody writes
    to takes no memory but a page.
    """
    library.malloc.restype = library.sbrk.restype = ctypes.c_void_p
    library.malloc.argtypes, library.sbrk.argtypes = [ctypes.c_size_t], [ctypes.c_ssize_t]
    taken: List[int] = []
    # The system's own pieces lie above the heap, and so does what it would grow by.
    end = library.sbrk(0)
    size = _GAP
    while size >= _PIECE:
        piece = library.malloc(size)
        if piece is not None and piece < end:
            taken.append(piece)
            continue
        library.free(ctypes.c_void_p(piece))
        size //= 2
    return taken


def give_back() -> None:
    """Gives the system what nobody uses any more; elsewhere than on glibc nothing."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was too short."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAID)
    )


def _glibc() -> Optional[Any]:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
