"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import socket
import sys
from pathlib import Path
from typing import Iterator, Union

from kairos.errors import ImageError

_HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:40] or "host"

_LEFTOVER = re.compile(r"^\.kairos~(?P<host>[A-Za-z0-9-]+)~(?P<pid>\d+)~(?P<born>\d+)~[0-9a-f]{8}~")
"""Temporary names: hidden, so that no sequence pattern matches them; with the writer's host, process and its start."""


def is_temporary(path: Path) -> bool:
    """True for a name that only a file in the making has."""
    return _LEFTOVER.match(path.name) is not None


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path in ``path``'s folder to write to; on leaving it is flushed to disk and takes ``path``'s name.

    The temporary keeps ``path``'s ending, since writers choose the format by it. It is removed if anything goes wrong.

    Raises:
        ImageError: the folder cannot be written, or the disk is full.
    """
    tag = f".kairos~{_HOST}~{os.getpid()}~{_born(os.getpid())}~{secrets.token_hex(4)}~"
    temporary = path.parent / (tag + "frame" + path.suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_error(path: Path, why: Union[OSError, str]) -> ImageError:
    """The error for a file that could not be written; a full disk is recognised by the cause or by what is free now."""
    code = why.errno if isinstance(why, OSError) else None
    text = (why.strerror or str(why)) if isinstance(why, OSError) else " ".join(why.split("\n")[0].split()).rstrip(".")
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space left" in text or _free(path.parent) < 1 << 16:
        return ImageError(
            f"Disk full writing {path}:", "free space and run the same command again; finished frames are kept."
        )
    return ImageError(f"{path} cannot be written: {text}.", "Check the folder's permissions and the disk.")


def _free(folder: Path) -> int:
    """Bytes that can still be written, or a large number where the system does not say."""
    try:
        status = os.statvfs(folder)
    except (AttributeError, OSError):
        return 1 << 62
    return status.f_bavail * status.f_frsize


def _flush(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Makes the new name itself durable; only POSIX lets a folder be opened for it, and not every share does."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def clean_leftovers(where: Union[Path, str]) -> int:
    """Removes temporaries that processes of this machine left behind when they died. Answers how many.

    Args:
        where: a folder, or a file or pattern in it.

    Temporaries of running processes and of other machines (a farm shares its folders) stay.
    """
    folder = Path(where) if Path(where).is_dir() else Path(where).parent
    removed = 0
    try:
        names = [entry for entry in os.scandir(folder) if entry.name.startswith(".kairos~")]
    except OSError:
        return 0
    for entry in names:
        match = _LEFTOVER.match(entry.name)
        if match and match["host"] == _HOST and not _alive(int(match["pid"]), int(match["born"])):
            with contextlib.suppress(OSError):
                Path(entry.path).unlink()
                removed += 1
    return removed


def _alive(process: int, born: int) -> bool:
    """True where the process that started at ``born`` still runs; its number may have been given to another since."""
    if sys.platform == "win32":
        return _alive_on_windows(process)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return _born(process) in (born, 0)
    return _born(process) in (born, 0) or not born


def _born(process: int) -> int:
    """When a process started, in the system's own ticks; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0
    # The command in brackets may hold anything; the start time is the 20th field after it.
    return int(text.rpartition(")")[2].split()[19])


def _alive_on_windows(process: int) -> bool:
    """os.kill would end the process on Windows; a handle that can be opened and is not signalled means it runs."""
    import ctypes

    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009  absent from the types on other systems
    handle = kernel.OpenProcess(0x00100000, False, process)
    if not handle:
        return False
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == 0x102)
    finally:
        kernel.CloseHandle(handle)
