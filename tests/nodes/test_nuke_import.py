"""Retimes set up in Nuke come over with their time map; what cannot is refused by the knob's name.

Knob names and defaults: Foundry's reference guide, Kronos, OFlow, TimeWarp and Retime.
"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from kairos_nodes.errors import BadRequest
from kairos_nodes.nk import read_script
from kairos_nodes.nodes import node
from kairos_nodes.nuke_import import import_retime
from kairos_nodes.timing import TimeMap
from support.nuke_scripts import EXPRESSIONS, SCRIPTS

HEADER = """#! /usr/local/Nuke13.2v8/libnuke-13.2.8.so -nx
version 13.2 v8
define_window_layout_xml {<?xml version="1.0" encoding="UTF-8"?>
<layout version="1.0"></layout>
}
Root {
 inputs 0
 name "/shots/a b.nk"
 label "a \\"quoted\\" \\[value x]"
 first_frame 1001
 addUserKnob {20 User}
}
set cut_paste_input [stack 0]
push $cut_paste_input
"""

KRONOS = """Kronos {
 input.first 1001
 input.last 1024
 retimedChannels {rgba.red rgba.green rgba.blue depth.Z}
 timing2 Frame
 timingFrame2 {{curve L x1001 1001 x1011 1006 C x1021 1016 x1031 1024}}
 vectorDetailReg 0.5
 strengthReg 2
 resampleType Lanczos4
 shutterSamples 8
 shutterTime 0.5
 name Kronos1
 selected true
 xpos 12
}
"""


def test_a_whole_script_is_read_with_every_kind_of_word() -> None:
    nodes = read_script(
        HEADER + "Group {\n name Group1\n}\n Blur {\n size {{a} {b}}\n name B\n }\nend_group\n" + KRONOS
    )
    found = [one for one in nodes if one.cls != "define_window_layout_xml"]
    assert [(one.cls, one.name) for one in found] == [
        ("Root", "/shots/a b.nk"),
        ("Group", "Group1"),
        ("Blur", "B"),
        ("Kronos", "Kronos1"),
    ]
    assert found[0].knobs["label"] == 'a "quoted" [value x]'
    assert found[2].knobs["size"] == "{a} {b}"
    assert found[3].line == 23


def test_a_kronos_frame_curve_gives_the_same_time_map() -> None:
    got = import_retime(HEADER + KRONOS)
    curve = "{curve L x1001 1001 x1011 1006 C x1021 1016 x1031 1024}"
    assert list(got.time_map) == list(TimeMap.from_nuke_curve(curve, 1001, 1024))
    assert (got.timing, got.time_map.start, len(got.time_map)) == ("frame_map", 1001, 31)
    assert got.settings == {
        "range": "1001-1024",
        "channels": "rgba,depth",
        "shutter": 180.0,
        "shutter_samples": 8,
        "filter": "lanczos",
    }
    assert any("vectorDetailReg" in note and "strengthReg" in note for note in got.notes)


def test_what_is_imported_makes_a_job_of_the_retime_node() -> None:
    got = import_retime(KRONOS)
    job = node("Retime").make_job("a.exr", "b.exr", {**got.settings, "frame_map": "map.txt"}, got.timing)
    assert (job.to_dict()["range"], job.to_dict()["frame_map"], job.to_dict()["speed"]) == (
        "1001-1024",
        "map.txt",
        None,
    )
    assert list(TimeMap.from_text(got.map_text(), 1001, 1024)) == pytest.approx(list(got.time_map), abs=1e-12)


def test_a_speed_that_nuke_left_at_its_default_is_one_half() -> None:
    got = import_retime("Kronos {\n input.first 1\n input.last 11\n}\n")
    assert got.settings == {"range": "1-11", "speed": "0.5"}
    assert list(got.time_map) == [Fraction(2 + k, 2) for k in range(21)]


@pytest.mark.parametrize(
    ("body", "speed"),
    [
        ("timingOutputSpeed 0.25", "0.25"),
        ('timing2 "Input Speed"\n timingInputSpeed 2', "2"),
        ("timing2 {Input Speed}\n timingInputSpeed {3}", "3"),
        ("timingOutputSpeed {{curve x1 0.2 x9 0.2}}", None),
    ],
)
def test_speeds(body: str, speed: str) -> None:
    got = import_retime(f"OFlow2 {{\n input.first 1\n input.last 9\n {body}\n name O\n}}")
    assert got.settings.get("speed") == speed
    if speed is None:  # A curve that stays at 0.2 sums up to every fifth of a frame.
        assert list(got.time_map)[:3] == [1, Fraction(6, 5), Fraction(7, 5)]


def test_an_animated_output_speed_is_the_area_under_its_curve() -> None:
    got = import_retime(
        "Kronos {\n input.first 1\n input.last 100\n timingOutputSpeed {{curve L x1 1 x11 0}}\n name K\n}"
    )
    # The triangle of 10 frames and height 1 has area 5; at frame 6 there is 5 - 2.5 * 0.5 = 3.75 of it.
    assert got.time_map[10] == 6
    assert got.time_map[5] == Fraction(19, 4)
    assert len(got.time_map) == 11
    held = import_retime("Kronos {\n input.first 1\n input.last 9\n timingOutputSpeed {{curve K x1 2 x3 1 x4 1}}\n}")
    assert list(held.time_map) == [1, 3, 5, 6, 7, 8, 9]


def test_an_animated_input_speed_is_keyed_over_source_frames() -> None:
    text = (
        "Kronos {{\n input.first 1\n input.last 9\n timing2 {{Input Speed}}\n timingInputSpeed {{{{{}}}}}\n name K\n}}"
    )
    # Source frames 1 to 3 at half speed, then two at a time.
    held = import_retime(text.format("curve K x1 0.5 x3 2"))
    assert list(held.time_map) == [1, Fraction(3, 2), 2, Fraction(5, 2), 3, 5, 7, 9]
    # A speed equal to the source frame: ds/dt = s, so s = e^t from 1 on.
    grown = import_retime(text.format("curve L x1 1 x9 9"))
    assert [float(time) for time in grown.time_map] == pytest.approx([1, math.e, math.e**2], abs=1e-3)


def test_a_timewarp_takes_the_callers_range_or_its_curves_own() -> None:
    text = "TimeWarp {\n lookup {{curve K x1 10 L x5 20 x9 24.5}}\n filter nearest\n name TW\n}"
    assert import_retime(text).time_map.last == 25
    got = import_retime(text, source_range="10-22")
    assert list(got.time_map) == [10, 10, 10, 10, 20, Fraction(169, 8), 22, 22, 22]
    assert got.settings == {"range": "10-22"}
    assert any("filter" in note for note in got.notes)


def test_a_retime_node_by_speed_and_by_its_locked_ranges() -> None:
    body = " input.first 1001\n input.last 1011\n output.first 1\n output.first_lock true\n"
    got = import_retime(f"Retime {{\n{body} speed 0.5\n reverse true\n before loop\n name R\n}}")
    assert got.settings == {"range": "1001-1011", "speed": "-0.5", "start": 1}
    assert list(got.time_map)[:2] == [1011, Fraction(2021, 2)]
    assert any("before" in note for note in got.notes)
    locked = import_retime(f'Retime {{\n{body} output.last 41\n output.last_lock true\n time ""\n name R\n}}')
    assert locked.settings["speed"] == "0.25"
    assert (locked.time_map[0], locked.time_map[-1]) == (1001, 1011)


def test_a_frame_without_keys_is_held() -> None:
    got = import_retime("Kronos {\n input.first 1\n input.last 5\n timing2 Frame\n timingFrame2 3.5\n}")
    assert list(got.time_map) == [Fraction(7, 2)] * 5


@pytest.mark.parametrize(
    ("body", "knob"),
    [
        ("timingOutputSpeed {{frame/2}}", "timingOutputSpeed"),
        ("timingOutputSpeed {{curve x1 0.5 Q}}", "timingOutputSpeed"),
        ("timingOutputSpeed 0", "timingOutputSpeed"),
        ("timingOutputSpeed 5000", "timingOutputSpeed"),
        ("timingOutputSpeed {{curve L x1 0.00001 x2 0.00001}}", "timingOutputSpeed"),
        ('timing2 "Input Speed"\n timingInputSpeed {{curve L x1 1 x9 -1}}', "timingInputSpeed"),
        ('timing2 "Input Speed"\n timingInputSpeed {{curve L x1 0.00001 x9 0.00001}}', "timingInputSpeed"),
        ("timing2 Sideways", "timing2"),
        ("timing2 Frame\n timingFrame2 {{curve x9 1 x1 2}}", "timingFrame2"),
        ("timing2 Frame\n timingFrame2 {{curve x1 1 x9 2} {curve x1 1}}", "timingFrame2"),
        ("input.first {{root.first_frame}}", "input.first"),
        ("input.first 9.5", "input.first"),
        ("input.first 90", "input.last"),
        ("retimedChannels none", "retimedChannels"),
        ("shutterSamples 4\n shutterTime 9", "shutterTime"),
        ("shutterSamples 4\n shutterTime {{curve x1 0 x9 1}}", "shutterTime"),
    ],
)
def test_a_knob_that_cannot_be_taken_over_is_named(body: str, knob: str) -> None:
    with pytest.raises(BadRequest, match=f"Kr: the knob {knob} ") as caught:
        import_retime(f"Kronos {{\n input.first 1\n input.last 20\n {body}\n name Kr\n}}")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Kronos {\n input.first 1\n}", "input.last"),
        ("TimeWarp {\n name T\n}", "lookup"),
        ("Retime {\n input.first 1\n input.last 5\n time {curve x1 1 x5 3}\n}", "time"),
        ("Blur {\n size 4\n}", "no node that retimes"),
        ("Kronos {\n name A\n}\nOFlow2 {\n name B\n}", "A, B"),
        ("Kronos {\n name A\n", "never closes"),
        ('Kronos {\n name "A\n}', "never closes"),
    ],
)
def test_a_script_that_cannot_be_taken_over_is_refused(text: str, what: str) -> None:
    with pytest.raises(BadRequest, match=what):
        import_retime(text)


def test_one_of_several_nodes_is_chosen_by_name() -> None:
    text = "".join(f"Kronos {{\n input.first 1\n input.last {last}\n name K{last}\n}}\n" for last in (5, 9))
    assert import_retime(text, name="K9").time_map.last == 9
    with pytest.raises(BadRequest, match="named 'K7'"):
        import_retime(text, name="K7")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_node_of_every_age_of_nuke_gives_its_time_map(name: str) -> None:
    script = SCRIPTS[name]
    found = import_retime(script.text, source_range="1001-1021")
    times = dict(found.time_map.numbered())
    assert min(times) == script.start
    assert {frame: times[frame] for frame, _ in script.shows} == dict(script.shows)


@pytest.mark.parametrize("value", EXPRESSIONS)
@pytest.mark.parametrize(
    ("cls", "knob"), [("Kronos", "timingFrame2"), ("Kronos", "timingOutputSpeed"), ("TimeWarp", "lookup")]
)
def test_an_expression_is_refused_in_one_clear_line(cls: str, knob: str, value: str) -> None:
    timing = " timing2 Frame\n" if knob == "timingFrame2" else ""
    text = f"{cls} {{\n input.first 1\n input.last 20\n{timing} {knob} {value}\n name Node1\n}}"
    with pytest.raises(BadRequest) as caught:
        import_retime(text)
    said = str(caught.value)
    assert said.startswith(f"Node1: the knob {knob} holds '") and "\n" not in said
    assert said.endswith("neither a number nor a curve. Bake the expression to keys in Nuke first.")
