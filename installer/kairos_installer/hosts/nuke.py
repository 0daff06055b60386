"""Nuke 14 and later: its start-up script is told where the plugin lies. Nothing is copied."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from kairos_installer.hosts import block
from kairos_installer.hosts.system import System, matching
from kairos_installer.hosts.target import Host, Installed, Plan, Target
from kairos_installer.hosts.versions import version_in
from kairos_nodes.errors import BadRequest, KairosError

OLDEST = 14
"""The first Nuke whose Python is 3.9 or later."""

_PROGRAM = re.compile(r"Nuke(\d+)\.(\d+)v(\d+)")
_NEXT = "Start Nuke again: Kairos is in the toolbar and in the Nodes menu."


class Nuke(Host):
    """All Nukes of a user read one folder, ``~/.nuke``."""

    id = "nuke"
    title = "Nuke"
    script = "init.py"

    def find(self, system: System) -> List[Target]:
        """The user's folder, where it or any Nuke is there."""
        folder = _user_folder(system)
        versions = sorted(_versions(system), reverse=True)
        if not versions and not folder.is_dir():
            return []
        named = ", ".join(f"{major}.{minor}v{update}" for major, minor, update in versions)
        old = bool(versions) and versions[0][0] < OLDEST
        why_not = f"Kairos needs Nuke {OLDEST} or later" if old else ""
        return [Target("nuke", f"Nuke {named}".strip(), folder, why_not=why_not)]

    def looked(self, system: System) -> List[str]:
        """The user's folder, then those of programs."""
        return [str(_user_folder(system)), *(str(folder / "Nuke*") for folder in _program_folders(system))]

    def given(self, system: System, path: Path) -> Target:
        """A folder that is, or will be, on ``NUKE_PATH``."""
        if not path.is_dir() and not (path.parent.is_dir() and not path.exists()):
            raise BadRequest(f"{path} is no folder.", "Name ~/.nuke, or a folder on NUKE_PATH.")
        if _PROGRAM.search(path.name) and (matching([path], "Nuke*.*") or matching([path], "plugins")):
            raise BadRequest(
                f"{path} is Nuke itself, which stays as it came.", "Name ~/.nuke, or a folder on NUKE_PATH."
            )
        return Target("nuke", "Nuke", path)

    def plan(self, root: Path, target: Target, scratch: Path, dry: bool) -> Plan:
        """A block in ``init.py``; a machine that cannot see the plugin's folder starts without it."""
        plugin = root / "plugin" / "nuke"
        if not (plugin / "init.py").is_file():
            raise KairosError(f"This Kairos has no plugin for Nuke: {plugin} is missing.", "Install Kairos again.")
        lines = [
            "import os",
            "import nuke",
            f"if os.path.isdir({plugin.as_posix()!a}):",
            f"    nuke.pluginAddPath({plugin.as_posix()!a})",
        ]
        return Plan(block_file=target.place / self.script, block=lines, then=lambda by_tool: _NEXT)

    def installed(self, place: Path) -> Optional[Installed]:
        """As the block says."""
        try:
            text = block.inside((place / self.script).read_bytes())
        except OSError:
            return None
        except KairosError:
            return Installed("")
        if text is None:
            return None
        try:
            home = Path(ast.literal_eval(re.findall(r"pluginAddPath\((.*)\)", text)[0])).parents[1]
        except (LookupError, SyntaxError, ValueError, TypeError):
            return Installed("")
        return Installed(version_in(home / "nodes"), home)


def _user_folder(system: System) -> Path:
    if system.platform == "win32":
        # Nuke asks HOME before Windows' own folder.
        home = system.variable("HOME", system.home)
        assert home is not None
        return home / ".nuke"
    return system.home / ".nuke"


def _program_folders(system: System) -> List[Path]:
    if system.platform == "win32":
        return system.program_folders
    if system.platform == "darwin":
        return [system.at("/Applications"), system.home / "Applications"]
    return [system.at("/usr/local"), system.at("/opt"), system.at("/opt/foundry"), system.home]


def _versions(system: System) -> List[Tuple[int, int, int]]:
    found: Dict[Tuple[int, int, int], None] = {}
    for folder in matching(_program_folders(system), "Nuke*"):
        named = _PROGRAM.match(folder.name)
        if named is not None and folder.is_dir():
            found[int(named[1]), int(named[2]), int(named[3])] = None
    return list(found)
