"""Blender 4.2 and later: the extension, in the user's own repository of extensions."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any, Dict, List, Optional, Sequence, Tuple

from kairos_installer.hosts.system import System, matching
from kairos_installer.hosts.target import Host, Installed, Plan, Target
from kairos_installer.machine import clean_environment
from kairos_nodes.errors import BadRequest, KairosError

OLDEST = (4, 2)
"""The first Blender with extensions."""

EXTENSION = "kairos_retimer"
MANIFEST = "blender_manifest.toml"

_VERSION_FOLDER = re.compile(r"(\d+)\.(\d+)")
_PATIENCE = 180.0

_NEXT = 'Next in Blender: Edit > Preferences > Add-ons, and tick "Kairos Retimer".'
_DONE = "Blender has it enabled; one that runs now must be started again."

Version = Tuple[int, int]


class Blender(Host):
    """Finds Blenders by their programs and by the settings folders that they made."""

    id = "blender"
    title = "Blender"

    def find(self, system: System) -> List[Target]:
        """One for each version, in whatever way it was found."""
        programs = _programs(system)
        shared = system.variable("BLENDER_USER_RESOURCES")
        if shared is not None or system.variable("BLENDER_USER_EXTENSIONS") is not None:
            return [_shared_target(system, programs, shared)]
        found: Dict[Path, Target] = {}
        for version, program in programs:
            portable = program.resolve().parent / "portable"
            settings = portable if portable.is_dir() else _settings_root(system) / _text(version)
            found.setdefault(settings, _target(settings, version, program))
        for root in (_settings_root(system), *_other_roots(system)):
            for settings in matching([root], "[0-9]*.*"):
                named = _VERSION_FOLDER.fullmatch(settings.name)
                if named is not None and settings.is_dir():
                    found.setdefault(settings, _target(settings, (int(named[1]), int(named[2])), None))
        return sorted(found.values(), key=lambda target: (_sort_key(target.title), str(target.place)), reverse=True)

    def looked(self, system: System) -> List[str]:
        """Programs' folders, then settings'."""
        places = [str(folder / pattern) for folder, pattern in _program_places(system)]
        return [*places, "PATH", *(str(root) for root in (_settings_root(system), *_other_roots(system)))]

    def given(self, system: System, path: Path) -> Target:
        """A program, a program's folder, or a settings folder such as ``~/.config/blender/4.5``."""
        program = _program_in(system, path)
        if program is not None:
            version = _version_of(system, program)
            if version is None:
                raise BadRequest(f"{program} does not say which Blender it is.", "Name Blender's own executable.")
            portable = program.resolve().parent / "portable"
            settings = portable if portable.is_dir() else _settings_root(system) / _text(version)
            settings = system.variable("BLENDER_USER_RESOURCES") or settings
            return _target(settings, version, program, ready=True)
        if path.parts[-2:] == ("extensions", "user_default") and path.is_dir():
            path = path.parents[1]
        named = _VERSION_FOLDER.fullmatch(path.name)
        if path.is_dir() and (named or any((path / one).is_dir() for one in ("config", "extensions", "scripts"))):
            return _target(path, (int(named[1]), int(named[2])) if named else None, None)
        raise BadRequest(
            f"{path} is neither a Blender executable nor a folder of Blender's settings.",
            f"Name the executable, or a folder such as {_settings_root(system) / '4.5'}.",
        )

    def plan(self, root: Path, target: Target, scratch: Path, dry: bool) -> Plan:
        """The extension's files; Blender's own tools build, install and enable it where its program is known."""
        program = target.program
        others = [found for found in _repositories(target.place) if found != target.place]
        if others:
            raise BadRequest(
                f"{target.title} has Kairos already, in {others[0] / EXTENSION}.",
                "Remove it in Blender (Edit > Preferences > Get Extensions), then install again.",
            )
        archive = _build(root, scratch, None if dry else program)
        folder = target.place / EXTENSION
        files = {folder / name: content for name, content in _contents(archive).items()}
        by_tool = program is not None and target.ready and not dry

        def tool() -> bool:
            assert program is not None
            arguments = ("install-file", "--repo", target.place.name, "--enable", str(archive))
            return _extension_command(program, arguments)

        return Plan(files=files, tool=tool if by_tool else None, then=lambda worked: _DONE if worked else _NEXT)

    def installed(self, place: Path) -> Optional[Installed]:
        """As the extension's manifest says."""
        # Blender may have it in another of its repositories.
        folder = next(iter(sorted(_repositories(place), key=lambda found: found != place)), place)
        try:
            text = (folder / EXTENSION / MANIFEST).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
        found = re.search(r'^version\s*=\s*"([^"]*)"', text, re.MULTILINE)
        return Installed(found[1] if found else "")

    def retire(self, target: Target) -> bool:
        """Disables and removes it in Blender, so that its preferences do not name it any more."""
        if target.program is None or not target.program.is_file():
            return False
        return _extension_command(target.program, ("remove", f"{target.place.name}.{EXTENSION}"))


def _target(
    settings: Path, version: Optional[Version], program: Optional[Path], ready: Optional[bool] = None
) -> Target:
    why_not = ""
    if version is not None and version < OLDEST:
        why_not = f"Kairos needs Blender {_text(OLDEST)} or later"
    return Target(
        host="blender",
        title=f"Blender {_text(version)}" if version is not None else "Blender",
        place=settings / "extensions" / "user_default",
        program=program,
        why_not=why_not,
        # Before its first start, Blender offers to take over an older version's settings; a tool that saves
        # preferences would spoil that.
        ready=(settings / "config").is_dir() if ready is None else ready,
    )


def _repositories(place: Path) -> List[Path]:
    """Blender's repositories that hold the extension."""
    return [found.parents[1] for found in matching([place.parent], f"*/{EXTENSION}/{MANIFEST}")]


def _shared_target(system: System, programs: Sequence[Tuple[Version, Path]], resources: Optional[Path]) -> Target:
    """The one place that every Blender of this user reads, by Blender's own variables."""
    able = [(version, program) for version, program in programs if version >= OLDEST]
    version, program = able[0] if able else (None, None)
    settings = resources or (_settings_root(system) / _text(version or OLDEST))
    target = _target(settings, version, program)
    extensions = system.variable("BLENDER_USER_EXTENSIONS", settings / "extensions")
    assert extensions is not None
    return Target("blender", target.title, extensions / "user_default", program, "", target.ready)


def _settings_root(system: System) -> Path:
    if system.platform == "win32":
        return system.roaming / "Blender Foundation" / "Blender"
    if system.platform == "darwin":
        return system.home / "Library" / "Application Support" / "Blender"
    config = system.variable("XDG_CONFIG_HOME", system.home / ".config")
    assert config is not None
    return config / "blender"


def _other_roots(system: System) -> List[Path]:
    """Settings of Blenders that live in a box of their own."""
    if system.platform in ("win32", "darwin"):
        return []
    return [system.home / ".var" / "app" / "org.blender.Blender" / "config" / "blender"]


def _program_places(system: System) -> List[Tuple[Path, str]]:
    """Folders, and what a Blender looks like below them."""
    steam = "steamapps/common/Blender"
    if system.platform == "win32":
        places = [(folder, "Blender Foundation/Blender */blender.exe") for folder in system.program_folders]
        return [*places, *((folder, f"Steam/{steam}/blender.exe") for folder in system.program_folders)]
    if system.platform == "darwin":
        applications = (system.at("/Applications"), system.home / "Applications")
        places = [(folder, "Blender*.app/Contents/MacOS/Blender") for folder in applications]
        places += [(folder, "Blender*/Blender.app/Contents/MacOS/Blender") for folder in applications]
        return [
            *places,
            (system.home / "Library/Application Support/Steam", f"{steam}/Blender.app/Contents/MacOS/Blender"),
        ]
    folders = (system.at("/opt"), system.at("/usr/local"), system.home, system.home / "Applications")
    places = [(folder, "[bB]lender*/blender") for folder in folders]
    return [*places, (system.at("/snap/bin"), "blender"), (system.home / ".local/share/Steam", f"{steam}/blender")]


def _programs(system: System) -> List[Tuple[Version, Path]]:
    """Blenders with their versions, the newest first; of one version the first that the user's PATH has."""
    name = "blender.exe" if system.platform == "win32" else "blender"
    on_path = [folder / name for folder in system.on_path if (folder / name).is_file()]
    placed = [path for folder, pattern in _program_places(system) for path in matching([folder], pattern)]
    found: Dict[Version, Path] = {}
    seen = set()
    for program in (*on_path, *placed):
        real = program.resolve()
        if real in seen or not program.is_file():
            continue
        seen.add(real)
        version = _version_of(system, program)
        if version is not None:
            found.setdefault(version, program)
    return sorted(found.items(), key=lambda item: item[0], reverse=True)


def _program_in(system: System, path: Path) -> Optional[Path]:
    """The executable that an artist means by a file, an application's bundle or a program's folder."""
    if path.is_file():
        return path
    names = ("Contents/MacOS/Blender", "blender.exe") if system.platform in ("win32", "darwin") else ("blender",)
    return next((path / name for name in names if (path / name).is_file()), None)


def _version_of(system: System, program: Path) -> Optional[Version]:
    """By the folder of that name beside it, without a start; else by asking it."""
    folder = program.resolve().parent
    for place in (folder, folder.parent / "Resources"):
        for beside in matching([place], "[0-9]*.*/scripts"):
            named = _VERSION_FOLDER.fullmatch(beside.parent.name)
            if named is not None:
                return int(named[1]), int(named[2])
    if system.platform != sys.platform:
        return None
    said = _run([str(program), "--version"], 30.0)
    named = re.search(r"^Blender (\d+)\.(\d+)", said or "", re.MULTILINE)
    return (int(named[1]), int(named[2])) if named is not None else None


def _extension_command(program: Path, arguments: Sequence[str]) -> bool:
    return _run([str(program), "--command", "extension", *arguments], _PATIENCE) is not None


def _run(command: List[str], seconds: float) -> Optional[str]:
    """What a command prints; None where it cannot be started, fails or does not end."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            env=clean_environment(os.environ),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _build(root: Path, scratch: Path, program: Optional[Path]) -> Path:
    """The extension's zip, by the function that releases are built with."""
    script = root / "plugin" / "blender" / "build_extension.py"
    spec = importlib.util.spec_from_file_location("kairos_build_extension", script) if script.is_file() else None
    if spec is None or spec.loader is None:
        raise KairosError(f"This Kairos has no extension for Blender: {script} is missing.", "Install Kairos again.")
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        try:
            return Path(module.build(scratch, program))
        except (module.BuildError, OSError):
            # What Blender's own tool cannot do is done without it; what is wrong with the sources fails again.
            return Path(module.build(scratch, None))
    except Exception as error:  # A script of a damaged Kairos may raise anything.
        raise KairosError(f"The extension for Blender cannot be built: {error}", "Install Kairos again.") from error


def _contents(archive: Path) -> Dict[str, bytes]:
    """Files of an extension's zip by their place in its folder."""
    with zipfile.ZipFile(io.BytesIO(archive.read_bytes())) as opened:
        names = [name for name in opened.namelist() if not name.endswith("/")]
        top = next((PurePosixPath(name).parent for name in names if PurePosixPath(name).name == MANIFEST), None)
        if top is None:
            raise KairosError(f"{archive.name} is no extension of Blender's: it has no {MANIFEST}.", "")
        inside = {PurePosixPath(name): opened.read(name) for name in names if top in PurePosixPath(name).parents}
    return {str(path.relative_to(top)): content for path, content in inside.items()}


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def _sort_key(title: str) -> Tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", title))
