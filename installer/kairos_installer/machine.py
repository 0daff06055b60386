"""What this machine is: its NVIDIA GPU, and its Pythons."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Mapping, Optional, Sequence, Tuple

from kairos_nodes.errors import KairosError

VERSIONS = ((3, 11), (3, 12), (3, 13), (3, 14))
"""Pythons that the runtime can be built on, in order of preference: the VFX platform's own first."""

_PROBE = """
import sys, struct
try:
    import ensurepip, venv
    has = 1
except ImportError:
    has = 0
print(sys.version_info[0], sys.version_info[1], struct.calcsize("P") * 8, has, sys.executable)
"""

_HOW = {
    "darwin": "Install Python 3.11 or later from python.org or with 'brew install python@3.13'",
    "win32": "Install Python 3.13 (64-bit) from python.org or with 'winget install Python.Python.3.13'",
}


@dataclass(frozen=True)
class Python:
    """A Python found on the system. ``usable``: 64 bit, of a fitting version, able to make environments."""

    path: str
    version: Tuple[int, int]
    bits: int
    makes_environments: bool

    @property
    def usable(self) -> bool:
        """True where the runtime can be built on it."""
        return self.version in VERSIONS and self.bits == 64 and self.makes_environments


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables without those that would lead a private Python astray.

    A host's PYTHONHOME, PYTHONPATH or an active virtual environment must not leak in, and pip must install into the
    environment itself whatever its configuration says; every other PIP_* variable is honoured.
    """
    drop = {"PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__"}
    drop |= {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV", "PIP_DRY_RUN", "PIP_PYTHON"}
    kept = {name: value for name, value in environment.items() if name not in drop}
    kept["PIP_USER"] = "0"
    kept["PYTHONNOUSERSITE"] = "1"
    return kept


def has_nvidia() -> bool:
    """True where an NVIDIA driver answers."""
    tool = shutil.which("nvidia-smi")
    if tool is not None:
        try:
            answer = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.SubprocessError):
            return False
        return answer.returncode == 0 and "GPU" in answer.stdout
    if sys.platform == "win32":
        try:
            ctypes.WinDLL("nvcuda.dll")
        except OSError:
            return False
        return True
    return Path("/proc/driver/nvidia/version").exists()


def find_python(environment: Optional[Mapping[str, str]] = None) -> Python:
    """A Python to build the runtime on.

    Raises:
        KairosError: there is none; says what to install.
    """
    found: List[Python] = []
    for command in _candidates(os.environ if environment is None else environment):
        python = probe(command)
        if python is not None:
            if python.usable:
                return python
            found.append(python)
    raise KairosError(*nothing_usable(found, sys.platform))


def nothing_usable(found: Sequence[Python], platform: str) -> Tuple[str, str]:
    """Message and remedy where none of the Pythons found will do."""
    for python in found:
        if python.version in VERSIONS and python.bits == 64:
            version = ".".join(map(str, python.version))
            return (
                f"Python {version} at {python.path} cannot make environments: its venv module is missing.",
                f"Install it (on Debian and Ubuntu: python{version}-venv) and run this again.",
            )
    seen = ", ".join(sorted({".".join(map(str, python.version)) for python in found})) or "none"
    how = _HOW.get(platform, "Install Python 3.11 or later (on Debian and Ubuntu: python3 python3-venv)")
    return (
        f"Kairos needs a 64-bit Python 3.11 to 3.14 to build its runtime; found: {seen}.",
        f"{how}, then run this again.",
    )


def probe(command: Sequence[str]) -> Optional[Python]:
    """What the Python behind a command is; None where it does not run."""
    try:
        answer = subprocess.run(
            [*command, "-I", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env=clean_environment(os.environ),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    words = answer.stdout.split(maxsplit=4)
    if answer.returncode != 0 or len(words) != 5:
        return None
    return Python(words[4].strip(), (int(words[0]), int(words[1])), int(words[2]), words[3] == "1")


def _candidates(environment: Mapping[str, str]) -> Iterator[List[str]]:
    """Commands that may be a Python, best first."""
    names = [f"python{major}.{minor}" for major, minor in VERSIONS]
    if sys.platform == "win32":
        launcher = shutil.which("py")
        if launcher is not None:
            yield from ([launcher, f"-{major}.{minor}"] for major, minor in VERSIONS)
    else:
        yield [sys.executable]
    for name in [*names, "python3", "python"]:
        path = shutil.which(name, path=environment.get("PATH"))
        if path is not None:
            yield [path]
    home = Path(environment.get("HOME") or Path.home())
    places = [Path("/usr/local/bin"), Path("/opt/homebrew/bin"), Path("/usr/bin"), home / ".local/bin"]
    versions = home / ".pyenv/versions"
    if versions.is_dir():
        places += sorted(place / "bin" for place in versions.iterdir())
    if sys.platform != "win32":
        yield from ([str(place / name)] for name in names for place in places if (place / name).exists())
