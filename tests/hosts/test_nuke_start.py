"""Whatever is wrong with Kairos, Nuke starts: with one line on the terminal and no traceback."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from support import nuke_session
from support.nuke_session import PLUGIN
from support.shared import ROOT


@pytest.fixture
def nuke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    yield from nuke_session.session(monkeypatch, tmp_path)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A copy of what an artist has: plugin, nodes and launcher in one folder."""
    home = tmp_path / "kairos"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PLUGIN, home / "plugin" / "nuke", ignore=ignored)
    shutil.copytree(ROOT / "nodes", home / "nodes", ignore=ignored)
    shutil.copy(ROOT / "manifest.json", home)
    shutil.copy(ROOT / "kairos", home)
    return home


def start(plugin: Path, host: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Both start-up files in a fresh Python beside the host's ``nuke`` module, as Nuke runs them; no site packages."""
    code = (
        "import runpy, sys\n"
        f"for name in ('init.py', 'menu.py'): runpy.run_path({str(plugin)!r} + '/' + name)\n"
        "print('started')\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(host), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    return subprocess.run([sys.executable, "-S", "-c", code], env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder with a ``nuke`` module that takes what the start-up files ask for, and tells of it on its own."""
    folder = tmp_path / "host"
    folder.mkdir()
    (folder / "nuke.py").write_text(
        "NUKE_VERSION_STRING = '15.1v1'\n"
        "GUI, STARTLINE, INVISIBLE, INPUTS, HIDDEN_INPUTS, EXPRESSIONS = 1, 1, 2, 1, 2, 4\n"
        "class Knob: pass\n"
        "class Node: pass\n"
        "class Group(Node): pass\n"
        "Array_Knob = Script_Knob = Knob\n"
        "def pluginAddPath(path, addToSysPath=True): print('path', path)\n"
        "def addBeforeRender(call, nodeClass=''): print('before', nodeClass)\n"
        "class Menu:\n"
        "    def addMenu(self, *a, **k): return self\n"
        "    def addCommand(self, name, *a, **k): print('command', name)\n"
        "def menu(name): return Menu()\n",
        encoding="utf-8",
    )
    return folder


def test_a_good_installation_registers_itself(installed: Path, host: Path) -> None:
    done = start(installed / "plugin" / "nuke", host)
    assert (done.returncode, done.stderr) == (0, "")
    assert "command KairosRetime" in done.stdout and "before Write" in done.stdout
    assert "command Export Network for Inference Node..." in done.stdout


def broken_host(text: str) -> Any:
    def damage(home: Path, host: Path) -> Dict[str, str]:
        (host / "nuke.py").write_text(text, encoding="utf-8")
        return {}

    return damage


def without_nodes(home: Path, host: Path) -> Dict[str, str]:
    shutil.rmtree(home / "nodes")
    return {}


def half_of_the_nodes(home: Path, host: Path) -> Dict[str, str]:
    (home / "nodes" / "kairos_nodes" / "parameters.py").write_text("PARAMETERS = {", encoding="utf-8")
    return {}


def older_nodes(home: Path, host: Path) -> Dict[str, str]:
    (home / "nodes" / "kairos_nodes" / "cache.py").write_text("", encoding="utf-8")
    return {}


def without_part_of_the_plugin(home: Path, host: Path) -> Dict[str, str]:
    (home / "plugin" / "nuke" / "kairos_nuke" / "knobs.py").unlink()
    return {}


@pytest.mark.parametrize(
    "damage",
    [
        broken_host("raise RuntimeError('old Nuke')"),
        broken_host(""),
        broken_host("def ("),
        without_nodes,
        half_of_the_nodes,
        older_nodes,
        without_part_of_the_plugin,
    ],
    ids=["host raises", "host empty", "host unreadable", "no nodes", "nodes damaged", "old", "part gone"],
)
def test_a_broken_installation_is_one_line_for_each_file_and_never_breaks_the_start(
    installed: Path, host: Path, damage: Any
) -> None:
    variables = damage(installed, host)
    done = start(installed / "plugin" / "nuke", host, **variables)
    assert done.returncode == 0 and done.stdout.endswith("started\n")
    lines = done.stderr.strip().splitlines()
    assert 1 <= len(lines) <= 2 and all("Kairos" in line for line in lines), done.stderr


def test_a_missing_manifest_a_broken_runtime_and_a_read_only_home_are_no_matter_of_the_start(
    installed: Path, host: Path, tmp_path: Path
) -> None:
    (installed / "manifest.json").unlink()
    (installed / "kairos").write_text("#!/bin/sh\nexit 9\n", encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir()
    for folder, _, files in os.walk(installed):
        for name in files:
            (Path(folder) / name).chmod(stat.S_IREAD)
        Path(folder).chmod(stat.S_IREAD | stat.S_IEXEC)
    home.chmod(stat.S_IREAD | stat.S_IEXEC)
    try:
        done = start(
            installed / "plugin" / "nuke",
            host,
            HOME=str(home),
            KAIROS_SERVICE=str(home / "s"),
            KAIROS_CACHE="/nonexistent",
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert not any(home.iterdir())
    finally:
        for folder, _, _ in os.walk(installed):
            Path(folder).chmod(stat.S_IRWXU)
        home.chmod(stat.S_IRWXU)


def test_a_runtime_that_cannot_start_is_a_message_when_it_is_needed(
    nuke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "kairos"
    broken.write_text("#!/bin/sh\necho the disk is full >&2\nexit 9\n", encoding="utf-8")
    broken.chmod(stat.S_IRWXU)
    monkeypatch.setenv("KAIROS_LAUNCHER", str(broken))
    monkeypatch.setenv("KAIROS_SERVICE", str(tmp_path / "service"))
    still = tmp_path / "still.exr"
    still.touch()
    group = nuke_session.kairos_group(nuke_session.read_node(nuke, str(still), 1, 1))
    nuke.GUI = True
    panel, request = nuke_session.plugin("panel"), nuke_session.plugin("request")
    panel.render_in_background(group, request.request_of(group)).join(30)
    (message,) = nuke.messages
    assert message.startswith("KairosRetime1 (Plate): The runtime could not start (status 9): the disk is full")
    assert "runtime.log" in message and "kairos doctor" in message


def test_init_and_menu_register_nodes_icons_and_the_check(nuke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    entries: List[Tuple[str, str]] = []

    class Menu:
        def addMenu(self, name: str, icon: str) -> Menu:  # noqa: N802
            entries.append((name, icon))
            return self

        def addCommand(self, name: str, code: str, icon: str, tooltip: str) -> None:  # noqa: N802
            compile(code, name, "exec")
            entries.append((name, icon))

    monkeypatch.setattr(nuke, "menu", lambda name: Menu(), raising=False)
    for name in ("init.py", "menu.py"):
        source = (PLUGIN / name).read_text(encoding="utf-8")
        exec(compile(source, str(PLUGIN / name), "exec"), {"__file__": str(PLUGIN / name), "__name__": "start"})
    assert len(nuke.callbacks) == 1
    assert [name for name, _ in entries] == ["Kairos", "KairosRetime", "KairosVectors"]
    assert all((PLUGIN / "icons" / icon).is_file() for _, icon in entries)
    # Only Nuke's own search, not Python's: nothing of ours shadows a module of the studio's.
    assert nuke.paths == [(str(PLUGIN / "gizmos"), False), (str(PLUGIN / "icons"), False)]


def test_the_manifest_says_that_kairos_has_this_plugin() -> None:
    assert "nuke" in json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))["hosts"]
