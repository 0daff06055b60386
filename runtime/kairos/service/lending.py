"""Folders lent to a client for its frames, and the files in them.

Pixels are read and written here with plain file calls although the client maps them: the pages are the same, and a
client that cuts a file short gets an error for itself, where a mapped read would end the whole service.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import shutil
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any, List, Mapping, Tuple

import numpy as np
import numpy.typing as npt

from kairos.errors import BadRequest, ServiceError
from kairos_nodes.client.buffers import reserve

_NAME = re.compile(r"(?:in|out)-[0-9a-f]{32}")
_FOLDER = re.compile(r"kairos-frames-(\d+)-.*")
_SHARED = Path("/dev/shm")

Bytes = npt.NDArray[np.uint8]


def lend() -> Tuple[Path, ...]:
    """Fresh private folders for one client: in shared memory where the system has it, then on disk."""
    places = [_SHARED] if os.access(_SHARED, os.W_OK) else []
    places.append(Path(tempfile.gettempdir()))
    return tuple(Path(tempfile.mkdtemp(prefix=f"kairos-frames-{os.getpid()}-", dir=place)) for place in places)


def take_back(folders: Tuple[Path, ...]) -> None:
    """Removes lent folders with all that is in them."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Removes folders whose runtime has died; called when a new one starts."""
    for place in {_SHARED, Path(tempfile.gettempdir())}:
        with contextlib.suppress(OSError):
            for folder in place.iterdir():
                match = _FOLDER.fullmatch(folder.name)
                if match and _own(folder) and not _alive(int(match[1])):
                    shutil.rmtree(folder, ignore_errors=True)


def _own(folder: Path) -> bool:
    return sys.platform == "win32" or folder.lstat().st_uid == os.getuid()


def _alive(pid: int) -> bool:
    if sys.platform == "win32":
        # A folder in use cannot be removed there.
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return not _ended(pid)


def _ended(pid: int) -> bool:
    """A process that has ended and whose parent, such as a host, has taken no note of it yet (Linux)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[:1] in (["Z"], ["X"])


class Lent:
    """The folders of one client.

    Args:
        folders: from :func:`lend`.
    """

    def __init__(self, folders: Tuple[Path, ...]) -> None:
        self._folders = folders

    def path(self, reference: object) -> Path:
        """The file that a message names. Raises BadRequest for anything else."""
        if isinstance(reference, Mapping):
            folder, name = reference.get("folder"), reference.get("name")
            inside = isinstance(folder, int) and not isinstance(folder, bool) and 0 <= folder < len(self._folders)
            if inside and isinstance(name, str) and _NAME.fullmatch(name):
                return self._folders[folder] / name  # type: ignore[index]
        raise BadRequest("The message names no segment.", "Name a file in a folder that the runtime lent.")

    def check(self, reference: object, size: int) -> Path:
        """The file that a message names, if it has the size. Raises BadRequest."""
        path = self.path(reference)
        try:
            found = path.lstat().st_size
        except OSError as error:
            raise BadRequest(f"The segment {path.name} cannot be read: {error.strerror}.", "Write it first.") from None
        if found != size or path.is_symlink():
            raise BadRequest(f"The segment {path.name} has {found} bytes, not {size}.", "Write the whole frame.")
        return path

    def make(self, size: int) -> Tuple[Path, int]:
        """A new file of that size, and its folder's index. Raises ServiceError where there is no room."""
        trouble = ""
        for index, folder in enumerate(self._folders):
            path = folder / f"out-{uuid.uuid4().hex}"
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                try:
                    reserve(handle, size)
                finally:
                    os.close(handle)
                return path, index
            except OSError as error:
                trouble = error.strerror or str(error)
                path.unlink(missing_ok=True)
        raise ServiceError(f"There is no room for a finished frame: {trouble}.", "Free memory or disk space.")


def read_bytes(path: Path, size: int) -> Bytes:
    """A segment's bytes. Raises BadRequest where it was cut short or is gone."""
    data: Bytes = np.empty(size, np.uint8)
    read = 0
    try:
        with path.open("rb", buffering=0) as stream:
            if sys.platform == "win32":
                # Only a mapping is sure to see what another mapping wrote; and a mapped file cannot be cut short.
                with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    data[:] = np.frombuffer(mapped, np.uint8)
                return data
            while read < size:
                count = stream.readinto(data.data[read:])
                if not count:
                    break
                read += count
    except (OSError, ValueError) as error:
        raise BadRequest(f"The segment {path.name} cannot be read: {error}.", "Keep it until the job ends.") from None
    if read < size:
        raise BadRequest(f"The segment {path.name} was cut short.", "Keep it until the job ends.")
    return data


def write_bytes(path: Path, data: Any) -> None:
    """Fills a segment that exists. Raises ServiceError where it cannot be written."""
    view = np.ascontiguousarray(data).data.cast("B")
    try:
        with path.open("r+b", buffering=0) as stream:
            if sys.platform == "win32":
                with mmap.mmap(stream.fileno(), view.nbytes) as mapped:
                    mapped[:] = bytes(view)
                return
            done = 0
            while done < view.nbytes:
                done += stream.write(view[done:])
    except (OSError, ValueError) as error:
        raise ServiceError(f"A finished frame cannot be handed over: {error}.", "Submit the job again.") from None


def listed(folders: Tuple[Path, ...]) -> List[str]:
    """Folders as the client is told of them."""
    return [str(folder) for folder in folders]
