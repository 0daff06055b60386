"""One builder at a time: a lock that the system lets go of when its holder dies."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def locked(path: Path, waiting: Callable[[str], None], poll: float = 0.5) -> Iterator[int]:
    """Holds the lock file ``path``; waits while another process holds it. Gives the file descriptor.

    The lock belongs to the open file, not to the file's existence, so one left behind by a killed process is free.
    Children that inherit the descriptor keep the lock: an installation whose launcher was killed is not joined by a
    second one.

    Args:
        path: the lock file; made if missing, never removed.
        waiting: called once, with the holder's process id, if the lock is taken.
        poll: seconds between attempts.
    """
    descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        told = False
        while not _take(descriptor):
            if not told:
                waiting(_holder(descriptor))
                told = True
            time.sleep(poll)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, b" " + str(os.getpid()).encode())
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without locks (some network disks): building without one beats not building.
        return error.errno in _UNSUPPORTED
    return True


def _holder(descriptor: int) -> str:
    """Process id of whoever holds the lock; byte 0 is the locked one and stays unread."""
    os.lseek(descriptor, 1, os.SEEK_SET)
    return os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
