"""One runtime per folder: a lock that the system lets go when its holder dies, however it dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Optional


def hold(path: Path) -> Optional[int]:
    """Takes the lock; answers with a handle to keep open, or None where another process holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
