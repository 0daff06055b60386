"""Machines with hosts on them, and a small Kairos to put into them, all in folders of a test's own."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Dict, Tuple

from kairos_installer.hosts import System


def machine(platform: str, folder: Path, **variables: str) -> System:
    """An empty machine of a kind, below ``folder``."""
    if platform == "win32":
        home = folder / "Users" / "ada"
        own = {
            "APPDATA": str(home / "AppData" / "Roaming"),
            "LOCALAPPDATA": str(home / "AppData" / "Local"),
            "ProgramFiles": str(folder / "Program Files"),
            "ProgramData": str(folder / "ProgramData"),
        }
    else:
        home, own = folder / ("Users" if platform == "darwin" else "home") / "ada", {}
    home.mkdir(parents=True, exist_ok=True)
    return System(platform, {**own, **variables}, home, folder)


def write(path: Path, text: str = "", mode: int = 0o644) -> Path:
    """A file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path


def tree(folder: Path) -> Dict[str, Tuple[int, bytes]]:
    """Everything below a folder: kind and permissions, and contents, by relative path."""
    found: Dict[str, Tuple[int, bytes]] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        found[str(path.relative_to(folder))] = mode, path.read_bytes() if stat.S_ISREG(mode) else b""
    return found


def small_kairos(folder: Path, version: str = "1.0.0") -> Path:
    """A Kairos of a few files, with plugins for Nuke and Resolve."""
    plugin, nodes = folder / "plugin", folder / "nodes" / "kairos_nodes"
    write(nodes / "__init__.py", f'__version__ = "{version}"\n')
    write(nodes / "errors.py", "first\n")
    write(plugin / "nuke" / "init.py")
    write(plugin / "resolve" / "scripts" / "Edit" / "Kairos Slow Motion.py", "slow\n")
    write(plugin / "resolve" / "kairos_resolve" / "__init__.py")
    write(plugin / "resolve" / "kairos_resolve" / "old.py", "old\n")
    return folder


def upgrade(kairos: Path, version: str = "2.0.0") -> Path:
    """The same Kairos, later: a changed file, a new one, and one that is gone."""
    write(kairos / "nodes" / "kairos_nodes" / "__init__.py", f'__version__ = "{version}"\n')
    write(kairos / "plugin" / "resolve" / "scripts" / "Tool" / "Kairos Time.py", "new\n")
    (kairos / "plugin" / "resolve" / "kairos_resolve" / "old.py").unlink()
    return kairos
