"""Kairos' block in a user's init.py: the rest stays as it was, to the byte."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kairos_installer.hosts import block, install, states, uninstall
from kairos_installer.hosts.copying import take_block
from kairos_nodes.errors import KairosError
from support.hosts import machine, small_kairos, tree, write

LINES = ["import nuke", "nuke.pluginAddPath('/kairos/plugin/nuke')"]
NEWER = [*LINES, "nuke.pluginAddPath('/more')"]

PIECES = st.sampled_from([b"\n", b"\r\n", b"\r", b"import x", b"  # \xc3\xa9", b"\xff\x00", b"'''", b"# >>>", b"\\"])
SCRIPTS = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=12).map(b"".join))


@given(SCRIPTS)
def test_what_was_put_in_is_taken_out_to_the_byte(script: bytes) -> None:
    assert block.take(block.put(script, LINES)) == script


@given(SCRIPTS)
def test_putting_it_in_twice_is_putting_it_in_once(script: bytes) -> None:
    once = block.put(script, LINES)
    assert block.put(once, LINES) == once
    assert once.count(block.BEGIN) == 1


@given(SCRIPTS, SCRIPTS)
def test_a_newer_block_takes_the_older_ones_place(script: bytes, after: bytes) -> None:
    once = block.put(script, LINES)
    assert block.put(once, NEWER) == block.put(script, NEWER)
    assert block.put(block.put(once + after, NEWER), LINES) == once + after


@given(SCRIPTS, SCRIPTS)
def test_lines_that_the_user_adds_behind_it_stay_lines_of_their_own(script: bytes, after: bytes) -> None:
    taken = block.take(block.put(script, LINES) + after)
    ended = not script or script.endswith((b"\n", b"\r"))
    assert taken.startswith(script) and taken.endswith(after)
    assert taken[len(script) : len(taken) - len(after)] in ({b""} if ended or not after else {b"\n", b"\r\n", b"\r"})


@given(SCRIPTS)
def test_a_script_without_it_is_left_alone(script: bytes) -> None:
    assert block.take(script) == script


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_it_has_the_line_ends_of_the_script(end: bytes) -> None:
    put = block.put(b"import x" + end, LINES)
    assert put.replace(end, b"|").count(b"|") == len(put.splitlines())
    assert b"\n" not in put.replace(end, b"")


def test_one_that_was_begun_and_not_ended_is_a_matter_for_a_hand() -> None:
    cut = block.put(b"import x\n", LINES).replace(block.END, b"")
    for work in (block.take, block.inside, lambda text: block.put(text, LINES)):
        with pytest.raises(KairosError, match="by hand"):
            work(cut)


def test_a_script_that_only_a_hand_can_mend_is_named_and_left_alone(tmp_path: Path) -> None:
    system, kairos = machine("linux", tmp_path), small_kairos(tmp_path / "kairos")
    script = write(system.home / ".nuke" / "init.py", f"mine\n{block.BEGIN.decode()}\nmine too\n")
    before = script.read_bytes()
    for work in (install, uninstall):
        with pytest.raises(KairosError, match=re.escape(f"{script}: Kairos' block begins and does not end.")):
            work("nuke", system, print, root=kairos)
    assert script.read_bytes() == before


def test_nuke_runs_it_and_starts_without_kairos_folder_too(tmp_path: Path) -> None:
    """With a stand-in for the one call that the block makes."""
    system, kairos = machine("linux", tmp_path), small_kairos(tmp_path / "Kairös 'quoted'")
    script = write(system.home / ".nuke" / "init.py", "print('mine')")
    install("nuke", system, lambda line: None, root=kairos)
    write(tmp_path / "stand-in" / "nuke.py", "def pluginAddPath(path): print('added', ascii(path))\n")

    def start() -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "stand-in")}
        command = [sys.executable, str(script)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert start() == f"mine\nadded {(kairos / 'plugin' / 'nuke').as_posix()!a}\n"
    assert states(system, kairos)[0].installed == "1.0.0"
    kairos.rename(tmp_path / "moved")
    assert start() == "mine\n"


@pytest.mark.parametrize("text", [None, "", "print('mine')", "print('mine')\r\n", "# mine\n\n"])
def test_the_users_folder_is_as_before_after_an_uninstall(tmp_path: Path, text: str) -> None:
    system, kairos = machine("linux", tmp_path), small_kairos(tmp_path / "kairos")
    folder = system.home / ".nuke"
    if text is None:
        (tmp_path / "opt" / "Nuke15.1v3").mkdir(parents=True)
    else:
        write(folder / "init.py", text, 0o640)
        write(folder / "menu.py", "menu")
    before = tree(folder)
    install("nuke", system, print, root=kairos)
    during = tree(folder)
    install("nuke", system, print, root=kairos)
    assert tree(folder) == during != before
    uninstall("nuke", system, print, root=kairos)
    assert tree(folder) == before and folder.exists() is (text is not None)


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_a_linked_init_stays_a_link(tmp_path: Path) -> None:
    system, kairos = machine("linux", tmp_path), small_kairos(tmp_path / "kairos")
    real, link = write(tmp_path / "dotfiles" / "init.py", "mine\n"), system.home / ".nuke" / "init.py"
    link.parent.mkdir()
    link.symlink_to(real)
    install("nuke", system, print, root=kairos)
    assert link.is_symlink() and block.BEGIN in real.read_bytes()
    uninstall("nuke", system, print, root=kairos)
    assert link.is_symlink() and real.read_bytes() == b"mine\n"


def test_without_a_record_the_marks_are_enough(tmp_path: Path) -> None:
    system, kairos = machine("linux", tmp_path), small_kairos(tmp_path / "kairos")
    script = write(system.home / ".nuke" / "init.py", "mine")
    install("nuke", system, print, root=kairos)
    next((system.data / "hosts").iterdir()).unlink()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        uninstall("nuke", system, print, root=kairos, dry=True)
        assert b"Kairos" in script.read_bytes()
        uninstall("nuke", system, print, root=kairos)
        uninstall("nuke", system, print, root=kairos)
    assert script.read_bytes() == b"mine"
    assert "would take Kairos' block out" in said.getvalue()
    assert "took Kairos' block out" in said.getvalue()
    assert "nothing to remove" in said.getvalue()


def test_a_script_that_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "init.py").mkdir()
    with pytest.raises(KairosError, match=r"init\.py cannot be read"):
        take_block(tmp_path / "init.py")
