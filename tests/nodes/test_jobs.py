"""Jobs are the parameter table as data."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any, Type

import pytest

from kairos_nodes.errors import BadRequest
from kairos_nodes.jobs import JOB_CLASSES, SETTLED, VERSION, InbetweenJob, Job, RetimeJob, VectorsJob, job_from_json
from kairos_nodes.layer_policy import parse_layer_policy
from kairos_nodes.layers import Policy
from kairos_nodes.parameters import JOBS, PARAMETERS, parameters_of

SAMPLES = (
    RetimeJob("in.%04d.exr", "out.%04d.exr", speed="1/3", frames="1-4,9", shutter=180.0, tta=True, exposure=0.18),
    VectorsJob("in.mov", "out.%04d.exr", range="1001-1048", masks=False, weights="shot.safetensors"),
    InbetweenJob("a.exr", "b.exr", "out.%04d.exr", 3, engine="classic"),
)


@pytest.mark.parametrize("kind", JOBS)
def test_a_jobs_fields_are_exactly_its_parameters(kind: str) -> None:
    names = [field.name for field in fields(JOB_CLASSES[kind]) if field.name not in SETTLED]
    assert sorted(names) == sorted(one.name for one in parameters_of(kind) if one.in_job)


@pytest.mark.parametrize("kind", JOBS)
def test_a_jobs_defaults_are_those_of_the_table(kind: str) -> None:
    table = {one.name: one for one in parameters_of(kind)}
    for field in fields(JOB_CLASSES[kind]):
        if field.name in SETTLED:
            assert field.default is None
        elif table[field.name].required:
            assert field.default is MISSING
        else:
            assert field.default == table[field.name].default, field.name
            assert type(field.default) is type(table[field.name].default), field.name


@pytest.mark.parametrize("job", SAMPLES, ids=lambda job: job.kind)
def test_a_job_survives_json(job: Job) -> None:
    job.validate()
    assert job_from_json(job.to_json()) == job
    assert type(job).from_json(job.to_json()) == job


@pytest.mark.parametrize("job", SAMPLES, ids=lambda job: job.kind)
def test_a_checked_value_is_canonical(job: Job) -> None:
    for one in parameters_of(job.kind):
        if one.in_job:
            value = getattr(job, one.name)
            assert one.check(value) == value, one.name


def _json(job: Job, **changes: Any) -> str:
    return json.dumps({**json.loads(job.to_json()), **changes})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "not JSON"),
        ("[]", "no job"),
        ('{"job": "paint", "version": 1}', "no job"),
        (_json(SAMPLES[0], version=VERSION + 1), f"version {VERSION + 1}"),
        (_json(SAMPLES[0], colour="blue"), "colour"),
        (_json(SAMPLES[0], input=None), "INPUT"),
        (_json(SAMPLES[0], engine="!"), "--engine"),
        (_json(SAMPLES[0], exposure="bright"), "exposure"),
        (_json(SAMPLES[0], exposure=-1), "exposure"),
    ],
)
def test_a_job_that_cannot_be_is_refused(text: str, what: str) -> None:
    with pytest.raises(BadRequest, match=what):
        job_from_json(text)


def test_a_job_of_another_kind_is_refused() -> None:
    with pytest.raises(BadRequest, match="vectors job"):
        RetimeJob.from_json(SAMPLES[1].to_json())


def test_a_retime_needs_exactly_one_timing() -> None:
    with pytest.raises(BadRequest, match="no timing"):
        RetimeJob("a", "b").validate()
    with pytest.raises(BadRequest, match="--speed and --between"):
        RetimeJob("a", "b", speed="2", between=1).validate()
    with pytest.raises(BadRequest, match="--speed: 0"):
        RetimeJob("a", "b", speed="0").validate()
    RetimeJob("a", "b", between=1).validate()


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("speed", "0.50", "0.5"),
        ("speed", 0.1, "0.1"),
        ("speed", "-1/3", "-1/3"),
        ("to_fps", "60", "60"),
        ("between", "3", 3),
        ("range", "1001-1048", "1001-1048"),
        ("range", (1001, 1048), "1001-1048"),
        ("range", "7", "7-7"),
        ("frames", "1,2,3,9", "1-3,9"),
        ("engine", "onnx:model.onnx", "onnx:model.onnx"),
        ("device", "cuda:1", "cuda:1"),
        ("scale", "0.25", "0.25"),
        ("tile", "512", "512"),
        ("shutter", "180", 180.0),
        ("cuts", "1020,1031", "1020,1031"),
        ("channels", "rgba,depth", "rgba,depth"),
        ("compression", "dwaa:45", "dwaa:45"),
        ("masks", "yes", True),
        ("base", "ifrnet", "ifrnet"),
        ("base", "my-ifrnet", "my-ifrnet"),
        ("flow", "raft:raft-small", "raft:raft-small"),
        ("motion", "gimm:mine", "gimm:mine"),
        ("field", "siren", "siren"),
        ("fit", "form=published, omega=20", "form=published, omega=20"),
        ("generate", "steps=25, seed=3", "steps=25, seed=3"),
        ("tta", "on", True),
        ("weights", None, ""),
        ("fps", None, None),
        ("speed", "", None),
        ("filter", None, "cubic"),
    ],
)
def test_values_are_brought_into_canonical_form(name: str, given: Any, expected: Any) -> None:
    assert PARAMETERS[name].check(given) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("speed", "fast"),
        ("speed", "100000"),
        ("between", "0"),
        ("between", "1.5"),
        ("between", True),
        ("to_fps", "0"),
        ("range", "9-1"),
        ("frames", "a"),
        ("device", "gpu"),
        ("precision", "fp8"),
        ("scale", "0"),
        ("scale", "2"),
        ("tile", "0"),
        ("proxy", "3"),
        ("vectors", "vray"),
        ("layer_policy", "depth"),
        ("layer_policy", "depth=wobble"),
        ("layer_policy", "a=id,a=hold"),
        ("shutter", "721"),
        ("shutter", "nan"),
        ("phase", "2"),
        ("vectors_in", "mv:sideways"),
        ("cuts", "9-1"),
        ("compression", "zipp"),
        ("masks", "maybe"),
        ("flow", "raft:"),
        ("motion", "gimm:"),
        ("field", "mesh"),
        ("fit", "steps"),
        ("fit", "steps=1,steps=2"),
        ("generate", "steps"),
        ("generate", "seed=1,seed=2"),
        ("tta", "twice"),
        ("weights", 5),
        ("matte", 5),
        ("colorspace", "a\0b"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_flag_and_remedy(name: str, value: Any) -> None:
    parameter = PARAMETERS[name]
    with pytest.raises(BadRequest) as caught:
        parameter.check(value)
    assert caught.value.message.startswith(parameter.title)
    assert caught.value.remedy


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_every_parameter_is_told_to_artists(name: str) -> None:
    one = PARAMETERS[name]
    assert one.help.endswith(".")
    assert one.label
    assert set(one.jobs) <= set(JOBS)
    assert one.jobs
    assert one.flag is None or one.flag.startswith("--" + name.replace("_", "-"))
    assert one.required or one.check(None) == one.default


def test_layer_policies() -> None:
    assert parse_layer_policy("P=depth, N = normal,") == {"P": Policy.DEPTH, "N": Policy.NORMAL}
    assert parse_layer_policy("") == {}


@pytest.mark.parametrize("cls", JOB_CLASSES.values(), ids=lambda cls: cls.kind)
def test_jobs_are_immutable(cls: Type[Job]) -> None:
    sample = next(job for job in SAMPLES if isinstance(job, cls))
    with pytest.raises(AttributeError):
        sample.output = "elsewhere"  # type: ignore[attr-defined]
