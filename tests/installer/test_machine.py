"""The installer finds a Python that can build the runtime, or says what to install."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kairos_installer.machine import Python, clean_environment, find_python, has_nvidia, nothing_usable, probe
from kairos_nodes.errors import KairosError


def _stub(folder: Path, name: str, answer: str) -> Path:
    """An executable that prints an answer, in place of a Python."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_this_python_is_what_it_says() -> None:
    python = probe([sys.executable])
    assert python is not None
    assert python.version == sys.version_info[:2]
    assert python.bits == 64


@pytest.mark.parametrize("answer", ["", "3 12", "hello world"])
def test_what_is_no_python_is_passed_over(tmp_path: Path, answer: str) -> None:
    assert probe([str(_stub(tmp_path, "python3", answer))]) is None
    assert probe([str(tmp_path / "missing")]) is None


def test_a_python_without_venv_is_passed_over_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _stub(tmp_path, "python3.11", "3 11 64 0 /bare/python3.11")
    _stub(tmp_path, "python3.12", "3 12 64 1 /full/python3.12")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3.11"))
    found = find_python({"PATH": str(tmp_path), "HOME": str(tmp_path)})
    assert found == Python("/full/python3.12", (3, 12), 64, True)


@pytest.mark.parametrize(
    ("found", "platform", "said"),
    [
        ([], "linux", ["found: none", "python3-venv"]),
        ([Python("/usr/bin/python3", (3, 9), 64, True)], "linux", ["found: 3.9", "3.11 to 3.14"]),
        ([Python("/usr/bin/python3", (3, 11), 64, False)], "linux", ["/usr/bin/python3", "python3.11-venv"]),
        ([Python("python.exe", (3, 12), 32, True)], "win32", ["64-bit", "winget"]),
        ([], "darwin", ["brew"]),
    ],
)
def test_without_a_fitting_python_the_artist_learns_what_to_install(
    found: list[Python], platform: str, said: list[str]
) -> None:
    error = KairosError(*nothing_usable(found, platform))
    assert all(word in str(error) for word in said)


def test_a_hosts_python_variables_do_not_leak_in_and_pips_settings_do() -> None:
    host = {
        "PYTHONHOME": "/host",
        "PYTHONPATH": "/host/lib",
        "VIRTUAL_ENV": "/elsewhere",
        "PIP_TARGET": "/elsewhere",
        "PIP_USER": "1",
        "PIP_INDEX_URL": "file:///mirror",
        "PIP_FIND_LINKS": "/wheels",
        "PATH": "/bin",
    }
    assert clean_environment(host) == {
        "PIP_USER": "0",
        "PYTHONNOUSERSITE": "1",
        "PIP_INDEX_URL": "file:///mirror",
        "PIP_FIND_LINKS": "/wheels",
        "PATH": "/bin",
    }


@pytest.mark.skipif(os.name == "nt", reason="shell stubs")
@pytest.mark.parametrize(
    ("script", "expected"),
    [("echo 'GPU 0: some card'", True), ("echo 'no devices'", False), ("echo GPU; exit 9", False)],
)
def test_an_nvidia_gpu_is_one_whose_driver_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: bool
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert has_nvidia() is expected
