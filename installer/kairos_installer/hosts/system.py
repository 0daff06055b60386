"""The machine as the installer sees it: its kind, its variables and its folders; another one for the tests."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterable, List, Mapping, Optional

from kairos_nodes.home import data_folder


@dataclass(frozen=True)
class System:
    """A machine and its user.

    Attributes:
        platform: as ``sys.platform`` has it: ``linux``, ``darwin`` or ``win32``.
        environment: the user's variables.
        home: the user's home folder.
        root: what stands for ``/``.
    """

    platform: str = sys.platform
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    home: Path = field(default_factory=Path.home)
    root: Path = Path("/")

    @property
    def data(self) -> Path:
        """Kairos' own folder in the user's data."""
        return data_folder(self.environment, self.platform, self.home)

    def at(self, place: str) -> Path:
        """An absolute place such as ``/opt/resolve``, on this machine."""
        return self.root / place.lstrip("/")

    def variable(self, name: str, otherwise: Optional[Path] = None) -> Optional[Path]:
        """The folder that a variable names."""
        given = self.environment.get(name)
        return Path(given).expanduser() if given else otherwise

    @property
    def program_folders(self) -> List[Path]:
        """Where Windows keeps programs; empty elsewhere."""
        if self.platform != "win32":
            return []
        named = (self.variable(name) for name in ("ProgramFiles", "ProgramW6432", "ProgramFiles(x86)"))
        return list(dict.fromkeys(folder for folder in named if folder is not None))

    @property
    def roaming(self) -> Path:
        """Windows' folder for settings that follow the user."""
        return self.variable("APPDATA") or self.home / "AppData" / "Roaming"

    @property
    def on_path(self) -> List[Path]:
        """Folders of the user's PATH, in its order."""
        separator = ";" if self.platform == "win32" and self.platform == sys.platform else os.pathsep
        return [Path(folder) for folder in self.environment.get("PATH", "").split(separator) if folder]


def matching(folders: Iterable[Path], pattern: str) -> List[Path]:
    """What matches a pattern below folders that may not be there, sorted in each. Unreadable folders hold nothing."""
    found: List[Path] = []
    for folder in folders:
        try:
            found += sorted(folder.glob(pattern))
        except OSError:
            continue
    return found
