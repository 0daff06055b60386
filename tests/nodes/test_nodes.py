"""A node is its knobs, its channels and the job it makes."""

from __future__ import annotations

import json

import pytest

from kairos_nodes.arguments import job_arguments
from kairos_nodes.errors import BadRequest
from kairos_nodes.jobs import Job, RetimeJob, VectorsJob, job_from_json
from kairos_nodes.manifest import build_manifest
from kairos_nodes.node_reference import nodes_text
from kairos_nodes.nodes import NODES, TIMING_TITLES, Node, node
from kairos_nodes.parameters import JOBS, PARAMETERS, parameters_of
from kairos_nodes.sections import SECTIONS, sections
from support.shared import ROOT


@pytest.mark.parametrize("one", NODES, ids=lambda one: one.id)
def test_a_node_left_alone_makes_a_job_that_the_runtime_takes(one: Node) -> None:
    timing = one.timings[0] if one.timings else None
    job = one.make_job("plate.%04d.exr", "out.%04d.exr", {}, timing)
    assert job_from_json(job.to_json()) == job


def test_the_retime_node_makes_exactly_the_runtimes_job() -> None:
    job = node("Retime").make_job("a.exr", "b.exr", {"speed": 0.25, "vectors": "nuke", "masks": "on", "range": (1, 9)})
    assert job == RetimeJob("a.exr", "b.exr", speed="0.25", vectors="nuke", masks=True, range="1-9")


def test_the_vectors_node_makes_exactly_the_runtimes_job() -> None:
    assert node("MotionVectors").make_job("a", "b", {"matte": "A"}) == VectorsJob("a", "b", matte="A")


def test_the_timing_knob_says_which_of_all_values_counts() -> None:
    values = {"speed": "0.5", "frame_map": "map.txt", "to_fps": "60"}
    retime = node("Retime")
    assert retime.make_job("a", "b", values, "to_fps") == RetimeJob("a", "b", to_fps="60")
    assert retime.make_job("a", "b", values, "frame_map") == RetimeJob("a", "b", frame_map="map.txt")
    with pytest.raises(BadRequest, match="exclude each other"):
        retime.make_job("a", "b", values)
    with pytest.raises(BadRequest, match="Frame map is empty"):
        retime.make_job("a", "b", {}, "frame_map")
    with pytest.raises(BadRequest, match="Timing cannot be"):
        retime.make_job("a", "b", {}, "between")


def test_slow_motion_begins_with_a_quarter_speed() -> None:
    slow = node("SlowMotion")
    assert slow.make_job("a", "b", {}) == RetimeJob("a", "b", speed="0.25")
    assert slow.make_job("a", "b", {}, "between") == RetimeJob("a", "b", between=3)


def test_a_value_that_cannot_be_is_refused_as_the_command_line_does() -> None:
    with pytest.raises(BadRequest, match="--shutter"):
        node("Retime").make_job("a", "b", {"shutter": 999})
    with pytest.raises(BadRequest, match="no knob between"):
        node("Retime").make_job("a", "b", {"between": 3})
    with pytest.raises(BadRequest, match="no node"):
        node("Retimer")


@pytest.mark.parametrize("one", NODES, ids=lambda one: one.id)
def test_every_timing_of_a_node_is_one_of_its_knobs_and_has_a_title(one: Node) -> None:
    assert set(one.timings) <= set(one.parameters) & set(TIMING_TITLES)
    assert set(one.defaults) <= set(one.parameters)


def test_every_parameter_is_in_one_section() -> None:
    names = [name for group in SECTIONS.values() for name in group]
    assert sorted(names) == sorted(PARAMETERS)
    assert list(sections([PARAMETERS["masks"], PARAMETERS["speed"]])) == ["Timing", "Layers"]


@pytest.mark.parametrize("kind", JOBS)
def test_arguments_name_every_option_that_is_not_at_its_default(kind: str) -> None:
    least = {one.name: 3 if one.kind == "int" else "x" for one in parameters_of(kind) if one.required}
    job = job_from_json(
        json.dumps({"job": kind, "version": 1, **least, **({"speed": "-1"} if kind == "retime" else {})})
    )
    paths = [str(value) for name, value in least.items() if PARAMETERS[name].flag is None]
    options = {"retime": ["--speed=-1"], "vectors": [], "inbetween": ["--count=3"]}[kind]
    assert job_arguments(job) == [kind, *options, "--", *paths]


def test_arguments_switch_off_what_is_on_by_default() -> None:
    job: Job = VectorsJob("-odd.exr", "b.exr", masks=False, overwrite=True)
    assert job_arguments(job) == ["vectors", "--no-masks", "--overwrite", "--", "-odd.exr", "b.exr"]


def test_the_node_reference_is_up_to_date() -> None:
    written = (ROOT / "docs" / "nodes.md").read_text(encoding="utf-8")
    assert written == nodes_text(), "run kairos manifest --write"


def test_the_manifest_is_up_to_date_in_all_that_the_table_says() -> None:
    written = json.loads((ROOT / "manifest.json").read_text(encoding="utf-8"))
    # Engines come from the runtime; `kairos manifest --check` compares those too.
    assert written == json.loads(json.dumps(build_manifest(written["engines"]))), "run kairos manifest --write"
