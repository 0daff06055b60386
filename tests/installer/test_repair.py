"""A package that an interrupted installation left half there is forgotten; whole ones are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from kairos_installer import check
from kairos_installer.repair import repair


def _package(folder: Path, name: str, record: str | None) -> Path:
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (folder / f"{name}.py").write_text("", encoding="utf-8")
    if record is not None:
        (metadata / "RECORD").write_text(record, encoding="utf-8")
    return metadata


def test_only_half_installed_packages_are_forgotten(tmp_path: Path) -> None:
    whole = _package(tmp_path, "whole", "whole.py,,\nwhole-1.0.dist-info/METADATA,,\n__pycache__/whole.pyc,,\n")
    unrecorded = _package(tmp_path, "unrecorded", None)
    torn = _package(tmp_path, "torn", "torn.py,,\ntorn/core.py,,\n")
    repair(tmp_path)
    assert whole.exists()
    assert not unrecorded.exists()
    assert not torn.exists()


def test_the_check_names_every_library_that_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "needs_gl.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(check, "LIBRARIES", ("json", "needs_gl", "surely_not_there"))
    assert check.check() == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "error: needs_gl does not load: the system library libGL.so.1 is missing: install the package that holds it"
    )
    assert "surely_not_there" in lines[1]
