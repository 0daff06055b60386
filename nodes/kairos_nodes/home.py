"""Where Kairos lies, remembered in the user's data folder: a plugin copied into a host finds its runtime by it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Mapping, Optional

HOME_FILE_VARIABLE = "KAIROS_HOME_FILE"
"""Names another file than the user's own record."""


def data_folder(
    environment: Mapping[str, str] = os.environ, platform: str = sys.platform, home: Optional[Path] = None
) -> Path:
    """The folder where Kairos keeps what it must know about this user's machine.

    ``XDG_DATA_HOME`` is not asked: a host from the desktop, one in a Flatpak and a shell would disagree about it.

    Args:
        environment: its variables.
        platform: as ``sys.platform`` has it.
        home: the user's home folder; None is that of this process.

    Raises:
        RuntimeError: the system knows no home folder for this user.
    """
    home = Path.home() if home is None else home
    if platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "kairos"
    if platform == "darwin":
        return home / "Library" / "Application Support" / "kairos"
    return home / ".local" / "share" / "kairos"


def home_file() -> Path:
    """The record's place: ``KAIROS_HOME_FILE``, else ``home.json`` in the data folder. Raises RuntimeError."""
    given = os.environ.get(HOME_FILE_VARIABLE)
    return Path(given).expanduser().absolute() if given else data_folder() / "home.json"


def remember_home(root: Path) -> Path:
    """Records that Kairos lies in ``root``, the folder with its launcher. Answers with the record's place.

    The record is written whole or not at all, and left untouched where it says so already.

    Raises:
        OSError: it cannot be written.
        RuntimeError: the system knows no home folder for this user.
    """
    path, root = home_file(), Path(root).absolute()
    if _told(path) != root:
        write_whole(path, record_text(root))
    return path


def known_home() -> Optional[Path]:
    """Where Kairos lies: by the user's record, or by the one beside a copy of this package that serves all users.

    None where there is neither. Where both name folders that are gone, the answer is one of these: for the message.
    """
    told = [_told(path) for path in (_home_file_or_none(), beside(Path(__file__).resolve().parent)) if path is not None]
    homes = [home for home in told if home is not None]
    return next((home for home in homes if home.is_dir()), homes[0] if homes else None)


def beside(package: Path) -> Path:
    """Where a copy of ``kairos_nodes`` finds its Kairos when this user has no record."""
    return package.parent / "kairos-home.json"


def record_text(root: Path) -> str:
    """What a record of ``root`` says."""
    return json.dumps({"home": str(root)}, indent=2) + "\n"


def _home_file_or_none() -> Optional[Path]:
    try:
        return home_file()
    except RuntimeError:
        return None


def _told(path: Path) -> Optional[Path]:
    try:
        home = json.loads(path.read_text(encoding="utf-8"))["home"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return Path(home) if isinstance(home, str) and home else None


def write_whole(path: Path, text: str) -> None:
    """Writes a small file whole or not at all, with its folder. Line endings stay as given. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=str(path.parent))
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
