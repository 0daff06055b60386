"""The Nuke plugin's nodes: knobs and inner nodes from one table, as Python groups and as ``.gizmo`` text."""

from __future__ import annotations

import ast
import os
import runpy
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from kairos_nodes.nk import read_script
from kairos_nodes.nodes import node as kairos_node
from kairos_nodes.parameters import PARAMETERS
from support import nuke as stand_in
from support import nuke_session
from support.nuke_interface import differences, stubs
from support.nuke_session import PLUGIN, kairos_group, plugin, read_node
from support.shared import ROOT

FILES = sorted(PLUGIN.rglob("*.py"))


@pytest.fixture
def nuke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    yield from nuke_session.session(monkeypatch, tmp_path)


def test_the_stand_in_has_nothing_that_nuke_has_not() -> None:
    assert differences(stand_in.load(), stubs()) == []


def test_the_comparison_notices_what_nuke_has_not() -> None:
    module = stand_in.load()
    module.execut = lambda: None
    module.message = lambda: None
    module.Node = type("Node", (), {"setNam": lambda self, name: None, "setInput": lambda self, index: None})
    found = differences(module, stubs())
    assert found == ["Node.setNam", "Node.setInput", "message", "execut"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_plugin_parses_as_python_3_9_and_imports_only_nuke_and_the_nodes(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    names = [one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = {"nuke", "kairos_nodes", "kairos_nuke"} | set(sys.stdlib_module_names)
    assert {name.partition(".")[0] for name in names} <= ours


def test_knobs_have_kronos_names_where_the_meaning_is_the_same(nuke: Any) -> None:
    group = kairos_group(read_node(nuke, "plate.%04d.exr", 1001, 1005))
    names = group.knobs()
    for name in ("timing2", "timingOutputSpeed", "timingFrame2", "retimedChannels", "shutterSamples", "shutterTime"):
        assert name in names
    assert group["timingOutputSpeed"].value() == 0.5
    assert (group["input_first"].value(), group["input_last"].value()) == (1001, 1005)
    assert names["vectors"].values() == list(PARAMETERS["vectors"].choices)


def interpreter() -> Any:
    """Tcl itself. Some Pythons come without it; with KAIROS_REQUIRE_HOSTS=1 that is no excuse."""
    try:
        import tkinter
    except ImportError:
        if os.environ.get("KAIROS_REQUIRE_HOSTS") == "1":
            raise
        pytest.skip("this Python has no tkinter")
    return tkinter.Tcl()


def tcl_commands(text: str) -> List[List[str]]:
    """Nuke's script commands as Tcl itself parses them: (class or verb, words...)."""
    tcl = interpreter()
    found: List[List[str]] = []
    # Knobs may be called as commands of Tcl are: file, after, format.
    for name in tcl.splitlist(tcl.eval("info commands")):
        if name not in ("set", "rename"):
            tcl.call("rename", name, "")
    tcl.createcommand("unknown", lambda *words: found.append(list(words)))
    tcl.createcommand("stack", lambda *words: f"<{len(found)}>")
    tcl.createcommand("push", lambda *words: found.append(["push", *words]))
    tcl.eval(text)
    return found


def user_knobs(body: str) -> Tuple[Dict[str, Tuple[str, ...]], Dict[str, str]]:
    """Declared user knobs and the values that follow, from a node's body."""
    rows = tcl_commands(body)
    split = interpreter().splitlist
    declared = {split(words[1])[1]: split(words[1]) for words in rows if words[0] == "addUserKnob"}
    return declared, {words[0]: words[1] for words in rows if words[0] != "addUserKnob"}


@pytest.mark.parametrize("node_id", ["Retime", "MotionVectors"])
def test_the_gizmo_is_tcl_and_makes_the_same_knobs_as_python(nuke: Any, node_id: str) -> None:
    node = kairos_node(node_id)
    commands = tcl_commands(plugin("gizmo").gizmo_text(node))
    assert (commands[0][0], commands[-1]) == ("Gizmo", ["end_group"])
    declared, values = user_knobs(commands[0][1])
    group = plugin("build").build(node)
    own = [name for name in group.knobs() if name not in stand_in.COMMON]
    assert list(declared) == own
    assert declared[own[0]][0] == "20", "a knob before the first tab makes Nuke add a tab of its own"
    assert values["kairos_node"] == group["kairos_node"].value() == node_id
    for name, parts in declared.items():
        value = group[name].value()
        written = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
        given = values.get(name, "0" if isinstance(value, (int, float)) else "")
        assert given == written or float(given) == float(value), name
        label = parts[parts.index("l") + 1] if "l" in parts else ""
        assert label == group[name].label()
        assert "t" not in parts or parts[parts.index("t") + 1] == group[name].tooltip()
        if "M" in parts:
            split = interpreter().splitlist
            assert list(split(parts[parts.index("M") + 1])) == group[name].values()
        if "T" in parts:
            compile(parts[parts.index("T") + 1], name, "exec")


@pytest.mark.parametrize("node_id", ["Retime", "MotionVectors"])
def test_the_gizmo_makes_the_same_inner_nodes_as_python(nuke: Any, node_id: str) -> None:
    """Plays Nuke's stack: a node takes its inputs from it, and lies on it; ``set`` keeps what lies on top."""
    node = kairos_node(node_id)
    group = plugin("build").build(node)
    stack: List[str] = []
    made: Dict[str, Tuple[str, List[str], Dict[str, str]]] = {}
    tcl = interpreter()

    def make(cls: str, *words: str) -> None:
        if cls in ("Gizmo", "end_group"):
            return
        knobs = user_knobs(words[0])[1]
        inputs = [stack.pop() for _ in range(int(knobs.pop("inputs", "1")))]
        name = knobs.pop("name")
        made[name] = (cls, inputs, knobs)
        stack.append(name)

    tcl.createcommand("unknown", make)
    tcl.createcommand("stack", lambda index: stack[-1 - int(index)])
    tcl.createcommand("push", lambda name: stack.append(name))
    tcl.eval(plugin("gizmo").gizmo_text(node))
    assert list(made) == [one.name() for one in group.nodes()]
    for one in group.nodes():
        cls, inputs, knobs = made[one.name()]
        assert (cls, inputs) == (one.Class(), [one.input(index).name() for index in range(one.inputs())])
        for name, text in knobs.items():
            knob = one[name]
            if text.startswith("{"):
                assert text.strip("{}") == knob.toScript()
            else:
                assert text in (str(knob.value()), str(knob.value()).lower())
        changed = [name for name, default in stand_in.KNOBS[cls].items() if one[name].value() != default]
        assert set(changed) <= set(knobs)


def test_plates_are_written_raw_in_float_and_results_read_raw_without_local_copies(nuke: Any) -> None:
    group = plugin("build").build(kairos_node("Retime"))
    write, read = group.node("PlateWrite"), group.node("ResultRead")
    assert (write["raw"].value(), write["datatype"].value(), write["channels"].value()) == (True, "32 bit float", "all")
    assert write["interleave"].value() == "channels, layers and views"
    assert (read["raw"].value(), read["localizationPolicy"].value()) == (True, "off")
    assert (read["on_error"].value(), read["first"].toScript()) == ("error", "parent.kairos_first")


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


def test_a_new_node_is_made_below_the_selected_one_and_takes_its_range(
    nuke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = read_node(nuke, "plate.%04d.exr", 5, 9)
    plate.setXYpos(100, 200)
    monkeypatch.setattr(nuke, "selectedNodes", lambda: [plate])
    group = plugin("build").create("MotionVectors")
    assert group.input(0) is plate and (group.xpos(), group.ypos()) == (100, 260)
    assert (group["input_first"].value(), group["input_last"].value()) == (5, 9)


def test_the_tool_sets_are_tcl_and_use_knobs_that_the_nodes_have(nuke: Any) -> None:
    files = sorted((PLUGIN / "ToolSets" / "Kairos").glob("*.nk"))
    assert files
    for path in files:
        classes = []
        for command in tcl_commands(path.read_text(encoding="utf-8")):
            if command[0] not in ("KairosRetime", "KairosVectors", "VectorBlur2", "version", "push"):
                raise AssertionError(f"{path.name}: {command[0]}")
            classes.append(command[0])
            if command[0].startswith("Kairos"):
                node_id = {"KairosRetime": "Retime", "KairosVectors": "MotionVectors"}[command[0]]
                group = plugin("build").build(kairos_node(node_id))
                for name, value in user_knobs(command[1])[1].items():
                    if name != "inputs":
                        group[name].setValue(value)
        assert classes[-1] == "VectorBlur2" and classes[-2].startswith("Kairos")


@pytest.mark.parametrize(
    ("name", "size"), [("Kairos.png", 24), ("KairosRetime.png", 24), ("KairosVectors.png", 24), ("Kairos_64.png", 64)]
)
def test_icons_are_png_of_the_size_that_nuke_shows(name: str, size: int) -> None:
    data = (PLUGIN / "icons" / name).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    # IHDR: width and height in bytes 16 to 24, then 8 bits a sample, colour type 6 (RGBA).
    assert (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == (size, size)
    assert (data[24], data[25]) == (8, 6)
    drawn = runpy.run_path(str(PLUGIN / "icons" / "draw.py"))
    assert drawn["draw"](drawn["ICONS"][name][0], size) == data


def test_the_guide_names_every_button_and_variable(nuke: Any) -> None:
    text = (ROOT / "docs" / "nuke.md").read_text(encoding="utf-8")
    for one in plugin("knobs").knobs_of(kairos_node("Retime")):
        if one.kind == "button":
            assert f"**{one.label}**" in text, one.label
    for variable in ("KAIROS_LAUNCHER", "KAIROS_CACHE"):
        assert f"`{variable}`" in text
