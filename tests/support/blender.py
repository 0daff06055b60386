"""Real Blender for tests: bpy in an environment of its own, the extension installed in it, and a real runtime."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional

import pytest

from kairos_installer.lock import locked
from support import service
from support.shared import ROOT

VERSIONS = {"4.5": "4.5.15", "5.0": "5.0.1"}
"""Blender's versions and the module bpy's. Both need Python 3.11 and NumPy 1."""

SCRIPTS = ROOT / "tests" / "hosts" / "in_blender"
"""Scripts that run inside Blender."""

HOSTS = ROOT / ".runtime" / "hosts"
"""Where environments are made, once for each version."""


def blender_python(version: str) -> Path:
    """A Python that has bpy of a version: ``$KAIROS_BPY_45``, or an environment that is made once (1 GB).

    Where it cannot be made the test is skipped with the reason; with KAIROS_REQUIRE_HOSTS=1 it fails.
    """
    given = os.environ.get(f"KAIROS_BPY_{version.replace('.', '')}")
    if given:
        return Path(given)
    place = HOSTS / f"bpy-{VERSIONS[version]}"
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = place / "ready"
    HOSTS.mkdir(parents=True, exist_ok=True)
    with locked(HOSTS / f"bpy-{version}.lock", lambda line: None):
        if not ready.is_file():
            why = _make(place, python, VERSIONS[version])
            if why:
                _unavailable(f"Blender {version} is not there: {why}")
            ready.touch()
    return python


def _make(place: Path, python: Path, version: str) -> str:
    """Makes an environment; answers with why it cannot be."""
    base = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")
    if base is None:
        return "bpy needs Python 3.11, which is not here"
    shutil.rmtree(place, ignore_errors=True)
    for command in (
        [base, "-m", "venv", str(place)],
        [str(python), "-m", "pip", "install", "--quiet", f"bpy=={version}", "numpy<2"],
        [str(python), "-c", "import bpy"],
    ):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            said = (answer.stderr or answer.stdout).strip().splitlines()
            return f"{' '.join(command[1:4])} said: {said[-1] if said else answer.returncode}"
    return ""


def _unavailable(reason: str) -> None:
    if os.environ.get("KAIROS_REQUIRE_HOSTS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Blender:
    """One Blender with a user folder, a cache and a runtime of its own.

    Attributes:
        version: such as ``4.5``.
        python: that has bpy.
        folder: where everything lies.
    """

    version: str
    python: Path
    folder: Path

    @property
    def service(self) -> Path:
        """The folder of the runtime's rendezvous; short, since it holds a socket."""
        return Path(tempfile.gettempdir()) / f"kairos-{os.getpid()}-{self.version}"

    def environment(self, **more: str) -> Dict[str, str]:
        """Of a Blender that finds this checkout's runtime."""
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "OCIO")}
        return {
            **kept,
            "BLENDER_USER_RESOURCES": str(self.folder / "user"),
            "KAIROS_CACHE": str(self.folder / "cache"),
            "KAIROS_SERVICE": str(self.service),
            "KAIROS_LAUNCHER": str(launcher(self.folder)),
            "KAIROS_HOME_FILE": str(self.folder / "home.json"),
            **more,
        }

    def run(self, script: str, seconds: float = 240, environment: Optional[Dict[str, str]] = None, **facts: Any) -> Any:
        """Runs a script of :data:`SCRIPTS` in Blender.

        Args:
            script: its name.
            seconds: it may take.
            environment: variables beside :meth:`environment`.
            facts: what it is told, JSON.

        Returns:
            What it answered, JSON.

        Raises:
            AssertionError: it failed, with what Blender said.
        """
        answer = self.folder / f"{Path(script).stem}.json"
        answer.unlink(missing_ok=True)
        done = self.process(script, answer, seconds, environment, facts)
        said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.returncode == 0, f"Blender {self.version}, {script}: {done.returncode}\n{said}"
        assert answer.is_file(), said
        return json.loads(answer.read_text(encoding="utf-8"))

    def process(
        self, script: str, answer: Path, seconds: float, environment: Optional[Dict[str, str]], facts: Dict[str, Any]
    ) -> subprocess.CompletedProcess[str]:
        """Runs a script, whatever becomes of it."""
        told = self.folder / f"{Path(script).stem}.facts.json"
        told.write_text(json.dumps(facts, default=str), encoding="utf-8")
        return subprocess.run(
            [str(self.python), str(SCRIPTS / script), str(told), str(answer)],
            env=self.environment(**(environment or {})),
            cwd=SCRIPTS,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def end(self) -> None:
        """Ends the runtime."""
        service.end(self.service)
        shutil.rmtree(self.service, ignore_errors=True)


def launcher(folder: Path) -> Path:
    """A launcher that runs this checkout with this Python."""
    path = folder / "kairos"
    if not path.exists():
        places = os.pathsep.join(str(ROOT / place) for place in ("runtime", "nodes", "installer"))
        path.write_text(
            f"#!/bin/sh\nPYTHONPATH='{places}' OMP_NUM_THREADS=1 exec '{sys.executable}' -m kairos \"$@\"\n",
            encoding="utf-8",
        )
        path.chmod(0o755)
    return path


def build_extension(out_dir: Path, blender: Optional[Path] = None) -> Path:
    """The extension's zip, by its own builder."""
    command = [sys.executable, str(ROOT / "plugin" / "blender" / "build_extension.py"), str(out_dir)]
    answer = subprocess.run(
        command + (["--blender", str(blender)] if blender else []), capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return Path(answer.stdout.strip())


def installed_blender(version: str, folder: Path) -> Blender:
    """A Blender with the extension built by its own tool and installed as an artist would."""
    blender = Blender(version, blender_python(version), folder)
    archive = build_extension(folder / "zip", blender.python)
    answer = blender.run("install.py", archive=str(archive))
    assert answer["installed"] and not answer["troubles"], answer
    return blender
