"""DaVinci Resolve: scripts for its Workspace > Scripts menu, with what they import beside them."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Dict, List, Optional

from kairos_installer.hosts.system import System
from kairos_installer.hosts.target import Host, Installed, Plan, Target
from kairos_installer.hosts.versions import version_in
from kairos_nodes.errors import BadRequest, KairosError
from kairos_nodes.home import beside, record_text

LIBRARY = "kairos"
"""Folder beside the scripts that holds what they import; Resolve's menu shows its own folders alone."""

_SCRIPTS = ("Utility", "Comp", "Tool", "Edit", "Color", "Deliver")
_NEXT = "Next in Resolve: Workspace > Scripts. Kairos is there at once."


class Resolve(Host):
    """One Resolve per machine; its scripts are each user's, or everybody's."""

    id = "resolve"
    title = "DaVinci Resolve"

    def find(self, system: System) -> List[Target]:
        """The user's scripts folder, where Resolve or its data is there."""
        program = next((path for path in _programs(system) if path.exists()), None)
        if program is None and not _user_data(system).is_dir():
            return []
        title = f"DaVinci Resolve {_version(program)}".strip()
        return [Target("resolve", title, _user_data(system) / "Fusion" / "Scripts", program)]

    def looked(self, system: System) -> List[str]:
        """Programs, then the user's data."""
        return [*map(str, _programs(system)), str(_user_data(system))]

    def given(self, system: System, path: Path) -> Target:
        """A ``Scripts`` folder, or a folder that has one in ``Fusion``, such as ``/opt/resolve``."""
        for place in (path / "Fusion" / "Scripts", path / "Scripts"):
            if place.is_dir():
                return Target("resolve", "DaVinci Resolve", place)
        if (path.name == "Scripts" and path.parent.is_dir()) or any((path / one).is_dir() for one in _SCRIPTS):
            return Target("resolve", "DaVinci Resolve", path)
        raise BadRequest(
            f"{path} is no folder for Resolve's scripts.",
            f"Name one such as {_user_data(system) / 'Fusion' / 'Scripts'}, or everybody's, {_shared_scripts(system)}.",
        )

    def plan(self, root: Path, target: Target, scratch: Path, dry: bool) -> Plan:
        """The scripts as they lie in the plugin, and the packages that they import."""
        scripts = root / "plugin" / "resolve" / "scripts"
        if not scripts.is_dir():
            raise KairosError(f"This Kairos has no plugin for Resolve: {scripts} is missing.", "Install Kairos again.")
        files: Dict[Path, bytes] = {}
        packages = [found.parent for found in sorted(scripts.parent.glob("*/__init__.py"))]
        library = target.place / LIBRARY
        moves = [(scripts, target.place)]
        moves += [(package, library / package.name) for package in (*packages, root / "nodes" / "kairos_nodes")]
        for source, into in moves:
            for path in sorted(source.rglob("*")):
                within = path.relative_to(source)
                if path.is_file() and "__pycache__" not in within.parts and not path.name.startswith("."):
                    files[into / within] = path.read_bytes()
        # Other users of a shared folder have no record of their own.
        files[beside(library / "kairos_nodes")] = record_text(root).encode("utf-8")
        return Plan(files=files, then=lambda by_tool: _NEXT)

    def installed(self, place: Path) -> Optional[Installed]:
        """As the copied ``kairos_nodes`` says."""
        if not (place / LIBRARY / "kairos_nodes").is_dir():
            return None
        return Installed(version_in(place / LIBRARY))


def _user_data(system: System) -> Path:
    if system.platform == "win32":
        return system.roaming / "Blackmagic Design" / "DaVinci Resolve" / "Support"
    if system.platform == "darwin":
        return system.home / "Library" / "Application Support" / "Blackmagic Design" / "DaVinci Resolve"
    return system.home / ".local" / "share" / "DaVinciResolve"


def _shared_scripts(system: System) -> Path:
    if system.platform == "win32":
        everybody = system.variable("ProgramData") or Path("C:/ProgramData")
        return everybody / "Blackmagic Design" / "DaVinci Resolve" / "Fusion" / "Scripts"
    if system.platform == "darwin":
        return system.at("/Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion/Scripts")
    return system.at("/opt/resolve/Fusion/Scripts")


def _programs(system: System) -> List[Path]:
    if system.platform == "win32":
        return [folder / "Blackmagic Design" / "DaVinci Resolve" / "Resolve.exe" for folder in system.program_folders]
    if system.platform == "darwin":
        return [
            system.at("/Applications/DaVinci Resolve/DaVinci Resolve.app"),
            system.at("/Applications/DaVinci Resolve.app"),
        ]
    return [system.at("/opt/resolve/bin/resolve"), system.at("/home/resolve/bin/resolve")]


def _version(program: Optional[Path]) -> str:
    """Only an application's bundle on macOS says it without a start."""
    if program is None or program.suffix != ".app":
        return ""
    try:
        found = plistlib.loads((program / "Contents" / "Info.plist").read_bytes())
    except (OSError, ValueError, plistlib.InvalidFileException):
        return ""
    return str(found.get("CFBundleShortVersionString", ""))
