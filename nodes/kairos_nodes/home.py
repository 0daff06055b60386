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
    if known_home() == root:
        return path
    write_whole(path, json.dumps({"home": str(root)}, indent=2) + "\n")
    return path


def known_home() -> Optional[Path]:
    """The folder that was recorded last, whether or not Kairos still lies there; None where there is no record."""
    try:
        home = json.loads(home_file().read_text(encoding="utf-8"))["home"]
    except (OSError, RuntimeError, ValueError, LookupError, TypeError):
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
