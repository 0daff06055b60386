"""Where host and runtime find each other: a file that only its owner can read, in a folder of the same kind."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Callable, Mapping, Optional

from kairos_nodes.errors import ServiceError

FOLDER_VARIABLE = "KAIROS_SERVICE"
"""Names another folder than the user's own: a runtime beside the usual one."""


@dataclass(frozen=True)
class Rendezvous:
    """How to reach a running runtime.

    Attributes:
        address: of its socket or pipe.
        key: hexadecimal, known to the user's own processes alone.
        pid: the runtime's process.
        log: its log file.
        protocol: what it speaks.
        version: of Kairos.
    """

    address: str
    key: str
    pid: int
    log: str
    protocol: int
    version: str


def service_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of rendezvous file, socket and log: one per user and machine, whatever the host's environment.

    ``TMPDIR`` and ``XDG_RUNTIME_DIR`` are not asked: a host from the desktop and a shell would disagree.
    """
    given = environment.get(FOLDER_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "kairos" / "service"
    own = Path(f"/run/user/{os.getuid()}")
    return own / "kairos" if os.access(own, os.W_OK) else Path(f"/tmp/kairos-{os.getuid()}")


def make_private(folder: Path) -> None:
    """Makes a folder that only its owner can enter. Raises ServiceError where it is somebody else's."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(
            f"The folder {folder} cannot be made: {error.strerror}.", f"Name another in {FOLDER_VARIABLE}."
        ) from None
    _check_own(folder, "folder", stat.S_ISDIR)


def rendezvous_file(folder: Path) -> Path:
    """The file's place."""
    return folder / "runtime.json"


def log_file(folder: Path) -> Path:
    """Where a runtime and its start are logged."""
    return folder / "runtime.log"


def write_rendezvous(folder: Path, found: Rendezvous) -> None:
    """Publishes how to reach a runtime, whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=".runtime-", dir=str(folder))
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(asdict(found), stream)
        Path(name).replace(rendezvous_file(folder))
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def read_rendezvous(folder: Path) -> Optional[Rendezvous]:
    """How to reach the user's runtime; None where none is announced.

    Raises:
        ServiceError: the folder, file or socket is another user's or open to others.
    """
    if not os.path.lexists(folder):
        return None
    _check_own(folder, "folder", stat.S_ISDIR)
    path = rendezvous_file(folder)
    if not os.path.lexists(path):
        return None
    _check_own(path, "file", stat.S_ISREG)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = Rendezvous(**{field.name: data[field.name] for field in fields(Rendezvous)})
        bytes.fromhex(found.key)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if sys.platform != "win32" and os.path.lexists(found.address):
        _check_own(Path(found.address), "socket", stat.S_ISSOCK)
    return found


def _check_own(path: Path, what: str, right_kind: Callable[[int], bool]) -> None:
    try:
        status = os.lstat(path)
    except OSError as error:
        raise ServiceError(f"The {what} {path} cannot be read: {error.strerror}.", "Run kairos doctor.") from None
    if not right_kind(status.st_mode):
        raise ServiceError(f"{path} is not a {what}.", "Remove it; Kairos makes its own.")
    if sys.platform == "win32":
        return
    if status.st_uid != os.getuid():
        raise ServiceError(
            f"The {what} {path} belongs to another user (id {status.st_uid}).",
            f"Ask them to remove it, or name another folder in {FOLDER_VARIABLE}.",
        )
    # A socket's own bits depend on the umask; the folder around it keeps others out.
    if what != "socket" and status.st_mode & 0o077:
        raise ServiceError(f"The {what} {path} is open to other users.", f"Close it: chmod go= {path}")
