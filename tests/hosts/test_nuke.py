"""The Nuke plugin: knobs and groups from the table, rendering through the real runtime, a start that never breaks."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from kairos_nodes.errors import BadRequest, Cancelled, KairosError
from kairos_nodes.jobs import RetimeJob
from kairos_nodes.nk import read_script
from kairos_nodes.nodes import node as kairos_node
from kairos_nodes.nuke_import import import_retime
from kairos_nodes.parameters import PARAMETERS
from kairos_nodes.timing import TimeMap
from support import nuke as stand_in
from support.shared import ROOT

PLUGIN = ROOT / "plugin" / "nuke"
FILES = sorted(PLUGIN.rglob("*.py"))
KRONOS = (
    "Kronos {\n input.first 1001\n input.last 1005\n timing2 Frame\n timingFrame2 {{curve x1001 1001 x1009 1005}}\n}"
)


@pytest.fixture
def nuke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The stand-in, with the plugin's modules loaded afresh against it."""
    module = stand_in.load()
    monkeypatch.setitem(sys.modules, "nuke", module)
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setenv("KAIROS_CACHE", str(tmp_path / "cache"))
    for name in [name for name in sys.modules if name.startswith("kairos_nuke")]:
        monkeypatch.delitem(sys.modules, name)
    yield module
    for name in [name for name in sys.modules if name.startswith("kairos_nuke")]:
        del sys.modules[name]


def plugin(name: str) -> Any:
    return importlib.import_module(f"kairos_nuke.{name}")


def read(nuke: Any, pattern: str, first: int, last: int) -> Any:
    return nuke.nodes.Read(name="Plate", file=pattern, first=first, last=last)


def retime_node(nuke: Any, pattern: str = "plate.%04d.exr", last: int = 1005) -> Any:
    group = plugin("build").build(kairos_node("Retime"))
    group.setInput(0, read(nuke, pattern, 1001, last))
    plugin("build").reset_range(group)
    return group


def test_the_stand_in_has_nothing_that_nuke_has_not() -> None:
    assert stand_in.differences(stand_in.load(), stand_in.stubs()) == []


def test_the_comparison_notices_what_nuke_has_not() -> None:
    module = stand_in.load()
    module.execut = lambda: None
    module.message = lambda: None
    module.Node = type("Node", (), {"setNam": lambda self, name: None, "setInput": lambda self, index: None})
    found = stand_in.differences(module, stand_in.stubs())
    assert found == ["Node.setNam", "Node.setInput", "message", "execut"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_plugin_parses_as_python_3_9_and_imports_only_nuke_and_the_nodes(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    names = [one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = {"nuke", "kairos_nodes", "kairos_nuke"} | set(sys.stdlib_module_names)
    assert {name.partition(".")[0] for name in names} <= ours


def test_knobs_have_kronos_names_where_the_meaning_is_the_same(nuke: Any) -> None:
    group = retime_node(nuke)
    names = group.knobs()
    for name in ("timing2", "timingOutputSpeed", "timingFrame2", "retimedChannels", "shutterSamples", "shutterTime"):
        assert name in names
    assert group["timingOutputSpeed"].value() == 0.5
    assert (group["input_first"].value(), group["input_last"].value()) == (1001, 1005)
    assert names["vectors"].values() == list(PARAMETERS["vectors"].choices)


@pytest.mark.parametrize("node_id", ["Retime", "MotionVectors"])
def test_the_gizmo_is_tcl_and_makes_the_same_knobs_as_python(nuke: Any, node_id: str) -> None:
    tkinter = pytest.importorskip("tkinter")
    node = kairos_node(node_id)
    text = plugin("gizmo").gizmo_text(node)
    tcl = tkinter.Tcl()
    found: List[List[str]] = []
    tcl.createcommand("unknown", lambda *words: found.append(list(words)))
    tcl.createcommand("set", lambda *words: "")
    tcl.createcommand("push", lambda *words: "")
    tcl.createcommand("stack", lambda *words: "")
    tcl.eval("unset -nocomplain source; " + text.replace("push $source", "push 0"))
    assert [words[0] for words in found] == [
        "Gizmo",
        *("Input", "Write", "Input", "Write", "Read", "Switch", "Output"),
        "end_group",
    ]
    rows: List[List[str]] = []
    tcl.createcommand("unknown", lambda *words: rows.append(list(words)))
    tcl.eval(found[0][1])
    declared: Dict[str, Any] = {}
    for words in rows:
        if words[0] == "addUserKnob":
            parts = tcl.splitlist(words[1])
            declared[parts[1]] = parts
    group = plugin("build").build(node)
    assert list(declared)[1:] == [name for name in group.knobs() if name in declared][: len(declared) - 1]
    assert set(declared) == set(group.knobs()) - {"name", "tile_color", "help"}
    values = {words[0]: words[1] for words in rows if words[0] != "addUserKnob"}
    for name, parts in declared.items():
        value = group[name].value()
        if name in values and name != "kairos_node":
            same = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
            assert values[name] == same or values[name] == str(value) or float(values[name]) == float(value), parts
        assert "M" not in parts or list(tcl.splitlist(parts[parts.index("M") + 1])) == group[name].values()


@pytest.mark.parametrize("node_id", ["Retime", "MotionVectors"])
def test_the_gizmo_in_the_plugin_is_up_to_date(nuke: Any, node_id: str) -> None:
    written = PLUGIN / "gizmos" / f"{plugin('knobs').CLASSES[node_id]}.gizmo"
    text = plugin("gizmo").gizmo_text(kairos_node(node_id))
    remedy = "run PYTHONPATH=nodes:plugin/nuke python3 -m kairos_nuke.gizmo plugin/nuke/gizmos"
    assert written.read_text(encoding="utf-8") == text, remedy


def test_the_gizmo_is_read_by_kairos_own_reader_too(nuke: Any) -> None:
    nodes = read_script(plugin("gizmo").gizmo_text(kairos_node("Retime")))
    assert nodes[0].cls == "Gizmo"
    assert nodes[0].knobs["timing2"] == "Output Speed"


def test_importing_a_kronos_node_gives_the_same_time_map(nuke: Any) -> None:
    group = retime_node(nuke)
    assert plugin("render").import_settings(group, KRONOS) == ()
    request = plugin("render").request_of(group)
    written = Path(request.job.frame_map).read_text(encoding="utf-8")
    assert list(TimeMap.from_text(written, 1001, 1005)) == list(import_retime(KRONOS).time_map)
    assert (request.job.speed, request.output) == (None, (1001, 1009))


def test_imported_settings_arrive_in_the_knobs(nuke: Any) -> None:
    group = retime_node(nuke)
    text = (
        "Kronos {\n input.first 1002\n input.last 1004\n timingOutputSpeed 0.25\n shutterSamples 4\n shutterTime 0.5\n}"
    )
    plugin("render").import_settings(group, text)
    job = plugin("render").request_of(group).job
    assert (job.speed, job.range, job.shutter, job.shutter_samples) == ("0.25", "1002-1004", 180.0, 4)


def test_the_cache_knows_a_changed_knob_and_a_changed_source(nuke: Any) -> None:
    group = retime_node(nuke)
    first = plugin("render").request_of(group)
    assert plugin("render").request_of(group) == first
    group["timingOutputSpeed"].setValue(0.25)
    second = plugin("render").request_of(group)
    assert second.job.output != first.job.output and second.plate == first.plate
    group.input(0)["file"].setValue("other.%04d.exr")
    assert plugin("render").request_of(group).plate != first.plate


def test_what_cannot_be_is_said_in_the_artists_words(nuke: Any) -> None:
    group = plugin("build").build(kairos_node("Retime"))
    with pytest.raises(BadRequest, match="KairosRetime1 has no Source"):
        plugin("render").request_of(group)
    group = retime_node(nuke)
    group["input_last"].setValue(9)
    with pytest.raises(BadRequest, match="Input last 9"):
        plugin("render").request_of(group)
    group["input_last"].setValue(1005)
    group["timingOutputSpeed"].setValue(0)
    nuke.GUI = True
    plugin("render").pressed_render(group)
    assert "--speed: 0" in nuke.messages[0]


def test_a_write_below_a_node_that_is_not_rendered_stops_with_its_name(nuke: Any) -> None:
    group = retime_node(nuke)
    write = nuke.nodes.Write(name="Write1")
    write.setInput(0, group)
    write._parent = nuke.root()
    with pytest.raises(RuntimeError, match="KairosRetime1 is not rendered"):
        plugin("farm").check_before_render()
    output = plugin("render").request_of(group)
    for frame in range(output.output[0], output.output[1] + 1):
        path = Path(output.job.output % frame)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(RuntimeError, match="is not rendered"):
        plugin("farm").check_before_render()  # All is there, but what the node shows is of other settings.
    plugin("render").show_result(group, output)
    plugin("farm").check_before_render()


def test_the_vectors_node_asks_for_vectors_of_every_source_frame(nuke: Any) -> None:
    group = plugin("build").build(kairos_node("MotionVectors"))
    group.setInput(0, read(nuke, "plate.%04d.exr", 1001, 1005))
    group.setInput(1, nuke.nodes.Read(name="Roto", file="roto.%04d.exr"))
    plugin("build").reset_range(group)
    request = plugin("render").request_of(group)
    assert (request.job.kind, request.job.vectors, request.job.masks) == ("vectors", "nuke", True)
    assert request.job.matte == request.matte and request.matte
    assert request.output == request.source == (1001, 1005)


@pytest.mark.slow
def test_a_node_renders_real_frames_through_the_real_runtime(
    nuke: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import numpy as np

    from support import made
    from support.exr import read_exr
    from support.jobs import environment

    clip = made.still_hdr(tmp_path / "plate")
    group = retime_node(nuke, clip.pattern, made.FIRST + 2)
    for knob, value in (("vectors", "nuke"), ("engine", "classic"), ("device", "cpu")):
        group[knob].setValue(value)
    process = plugin("process")
    start = [sys.executable, "-m", "kairos"]
    monkeypatch.setattr(process, "launcher", lambda: start)
    monkeypatch.setattr(process, "_environment", environment)
    heard: List[str] = []
    request = plugin("render").render(group, listen=lambda event: heard.append(event.kind))
    assert heard[0] == "planned" and heard[-1] == "done"
    assert request.output == (1001, 1005)
    shown = group["kairos_result"].value()
    assert (shown, group["kairos_rendered"].value()) == (request.job.output, 1)
    plate, result = read_exr(clip.files[0]), read_exr(Path(shown % 1001))
    assert all(np.array_equal(plate[name], result[name]) for name in plate)
    assert "forward.u" in result
    # The preview of one frame, and a second render, find everything done.
    heard.clear()
    plugin("render").render(group, "1003", lambda event: heard.append(event.kind))
    assert "frame_done" not in heard


def test_a_job_that_fails_says_why_and_one_that_is_stopped_is_cancelled(nuke: Any, tmp_path: Path) -> None:
    run_job = plugin("process").run_job
    job = RetimeJob("a", "b", speed="0.5")
    said = 'print(\'{"event": "failed", "message": "The disk is full.", "remedy": "Make room."}\'); raise SystemExit(1)'
    with pytest.raises(KairosError, match=r"The disk is full\. Make room"):
        run_job(job, lambda event: None, command=[sys.executable, "-c", said])
    with pytest.raises(KairosError, match=r"status 7\. last words"):
        run_job(
            job,
            lambda event: None,
            command=[sys.executable, "-c", "import sys; sys.stderr.write('last words\\n'); sys.exit(7)"],
        )
    with pytest.raises(Cancelled):
        run_job(job, lambda event: None, lambda: True, [sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(KairosError, match="cannot be started"):
        run_job(job, lambda event: None, command=[str(tmp_path / "absent")])


@pytest.mark.parametrize("start", ["init.py", "menu.py"])
@pytest.mark.parametrize("broken", ["raise RuntimeError('old Nuke')", "", "raise SyntaxError('x')"])
def test_a_broken_plugin_never_breaks_the_start_of_nuke(tmp_path: Path, start: str, broken: str) -> None:
    (tmp_path / "nuke.py").write_text(broken, encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "HOME": "/nonexistent"}
    code = f"import runpy; runpy.run_path({str(PLUGIN / start)!r})"
    done = subprocess.run([sys.executable, "-S", "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Kairos" in done.stderr and "Traceback" not in done.stderr


def test_init_and_menu_register_with_nuke(nuke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    entries: List[str] = []

    class Menu:
        def addMenu(self, name: str) -> Menu:  # noqa: N802
            return self

        def addCommand(self, name: str, code: str, tooltip: str) -> None:  # noqa: N802
            compile(code, name, "exec")
            entries.append(name)

    monkeypatch.setattr(nuke, "menu", lambda name: Menu(), raising=False)
    for start in ("init.py", "menu.py"):
        source = (PLUGIN / start).read_text(encoding="utf-8")
        exec(compile(source, str(PLUGIN / start), "exec"), {"__file__": str(PLUGIN / start), "__name__": "start"})
    assert len(nuke.callbacks) == 1
    assert entries == ["KairosRetime", "KairosVectors"]
