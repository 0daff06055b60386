"""How a host finds and starts the runtime, and what it says when it cannot."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kairos_nodes.client import Client, starting
from kairos_nodes.client.starting import launcher_command
from kairos_nodes.errors import ServiceError
from kairos_nodes.home import HOME_FILE_VARIABLE, remember_home

NAME = "kairos.cmd" if sys.platform == "win32" else "kairos"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders with a launcher each; ``installed`` is remembered."""
    for name in ("argument", "variable", "package", "installed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / NAME).touch()
    monkeypatch.setattr(starting, "_PACKAGE_ROOT", tmp_path / "package")
    monkeypatch.setenv(HOME_FILE_VARIABLE, str(tmp_path / "home.json"))
    remember_home(tmp_path / "installed")
    return tmp_path


def test_the_launcher_is_looked_for_where_it_was_named_then_beside_then_where_it_was_installed(places: Path) -> None:
    named = {"KAIROS_LAUNCHER": str(places / "variable")}
    assert launcher_command(places / "argument", named) == [str(places / "argument" / NAME)]
    assert launcher_command(None, named) == [str(places / "variable" / NAME)]
    assert launcher_command(None, {}) == [str(places / "package" / NAME)]
    (places / "package" / NAME).unlink()
    assert launcher_command(None, {}) == [str(places / "installed" / NAME)]


def test_a_launcher_may_be_named_by_its_file_or_as_a_whole_command(places: Path) -> None:
    assert launcher_command(str(places / "argument" / NAME), {}) == [str(places / "argument" / NAME)]
    assert launcher_command(["python", "-m", "kairos"], {}) == ["python", "-m", "kairos"]


def test_one_that_was_named_is_not_replaced_by_another(places: Path) -> None:
    with pytest.raises(ServiceError, match=r"it is not at .*elsewhere"):
        launcher_command(None, {"KAIROS_LAUNCHER": str(places / "elsewhere")})


def test_every_place_that_was_looked_in_is_named(places: Path) -> None:
    (places / "package" / NAME).unlink()
    (places / "installed" / NAME).unlink()
    with pytest.raises(ServiceError) as caught:
        launcher_command(None, {})
    assert str(places / "package" / NAME) in caught.value.message
    assert str(places / "installed" / NAME) in caught.value.message
    (places / "home.json").unlink()
    with pytest.raises(ServiceError, match="preferences"):
        launcher_command(None, {})


def test_a_runtime_that_cannot_start_says_why_and_where_the_log_is(empty: Path) -> None:
    broken = [sys.executable, "-c", "import sys; print('no module named torch', file=sys.stderr); sys.exit(1)"]
    with pytest.raises(ServiceError) as caught:
        Client(launcher=broken, folder=empty).connect()
    assert "no module named torch" in caught.value.message
    assert str(empty / "runtime.log") in caught.value.remedy
    assert "kairos doctor" in caught.value.remedy


def test_a_missing_runtime_says_where_it_was_looked_for(empty: Path) -> None:
    with pytest.raises(ServiceError, match=r"it is not at /nowhere.*preferences"):
        Client(launcher="/nowhere", folder=empty).connect()
