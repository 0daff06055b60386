"""A plugin that was copied into a host finds Kairos by the user's record."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from kairos_nodes.home import (
    HOME_FILE_VARIABLE,
    beside,
    data_folder,
    home_file,
    known_home,
    record_text,
    remember_home,
)
from support.shared import ROOT


@pytest.fixture(autouse=True)
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The record's place, in a folder that is not there yet."""
    path = tmp_path / "data" / "home.json"
    monkeypatch.setenv(HOME_FILE_VARIABLE, str(path))
    return path


def test_what_was_remembered_last_is_known(record: Path, tmp_path: Path) -> None:
    assert known_home() is None
    assert remember_home(tmp_path / "first") == record == home_file()
    remember_home(tmp_path / "Kairös 2")
    assert known_home() == tmp_path / "Kairös 2"
    assert [path.name for path in record.parent.iterdir()] == ["home.json"]


def test_the_same_home_is_not_written_again(record: Path, tmp_path: Path) -> None:
    remember_home(tmp_path)
    before = record.stat().st_mtime_ns, record.stat().st_ino
    remember_home(tmp_path)
    assert (record.stat().st_mtime_ns, record.stat().st_ino) == before


def test_a_shared_copy_knows_its_kairos_where_the_user_has_no_record(tmp_path: Path) -> None:
    kairos, shared = tmp_path / "kairos", tmp_path / "shared"
    kairos.mkdir()
    shutil.copytree(ROOT / "nodes" / "kairos_nodes", shared / "kairos_nodes")
    beside(shared / "kairos_nodes").write_text(record_text(kairos), encoding="utf-8")

    def asked() -> str:
        code = "from kairos_nodes.home import known_home; print(known_home())"
        environment = {**os.environ, "PYTHONPATH": str(shared)}
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout

    assert asked() == f"{kairos}\n"
    remember_home(tmp_path / "gone")
    assert asked() == f"{kairos}\n"
    remember_home(shared)
    assert asked() == f"{shared}\n"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"home": 3}', '{"home": ""}', "\udcff"])
def test_a_damaged_record_is_no_record(record: Path, text: str) -> None:
    record.parent.mkdir()
    record.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert known_home() is None


def test_a_place_that_cannot_be_written_to_is_an_os_error(record: Path, tmp_path: Path) -> None:
    record.parent.write_text("a file where the folder should be")
    assert known_home() is None
    with pytest.raises(OSError):
        remember_home(tmp_path)


@pytest.mark.parametrize(
    ("platform", "environment", "place"),
    [
        ("linux", {"XDG_DATA_HOME": "/elsewhere"}, "/home/ada/.local/share/kairos"),
        ("darwin", {}, "/home/ada/Library/Application Support/kairos"),
        ("win32", {}, "/home/ada/AppData/Local/kairos"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/kairos"),
    ],
)
def test_the_record_lies_in_the_users_data_folder(platform: str, environment: dict[str, str], place: str) -> None:
    assert data_folder(environment, platform, Path("/home/ada")) == Path(PurePosixPath(place))
