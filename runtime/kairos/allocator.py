"""How this process gets memory from the system: kept between frames, and given back between jobs.

Every layer of a network asks for tens of megabytes and returns them. glibc passes such pieces straight through to the
system, which clears every page anew: a tenth to a quarter of a network's time on the CPU. Kept, pages are used again.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Optional

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""Names of settings in glibc's malloc.h."""

_MOST = (1 << 31) - 1

_SAID = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")
"""How errors say it that memory was too short: torch's have a type of their own on CUDA alone."""


def keep_memory() -> None:
    """Keeps what is returned for what is asked for next. Called before threads begin; elsewhere than on glibc nothing.

    All threads share one heap: only that one grows for pieces of any size.
    """
    library = _glibc()
    if library is not None:
        for setting, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST), (_ARENA_MAX, 1)):
            library.mallopt(setting, value)


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
