"""Vectors are named and signed as each host expects."""

from __future__ import annotations

import pytest

from kairos_nodes.channels import (
    CONVENTIONS,
    PRESETS,
    VECTORS,
    claimed_layers,
    mask_channels,
    parse_vectors_in,
    plate_layer_name,
    reading_channels,
    vector_channels,
)
from kairos_nodes.errors import BadRequest

FLOW = {"forward": (7.5, 3.25), "backward": (-7.5, -3.25)}
"""A pan of 7.5 px right and 3.25 px down, as internal flows (y down)."""


def values(preset: str, size: tuple[int, int] = (200, 100)) -> dict[str, float]:
    """What each channel of a preset holds for the pan."""
    return {one.name: FLOW[one.source]["xy".index(one.axis)] * one.factor(*size) for one in vector_channels(preset)}


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        # DESIGN 5: pixels, v up.
        ("nuke", {"forward.u": 7.5, "forward.v": -3.25, "backward.u": -7.5, "backward.v": 3.25}),
        ("fusion", {"Vector.x": 7.5, "Vector.y": -3.25, "BackVector.x": -7.5, "BackVector.y": 3.25}),
        # HOSTS: flow current->previous = (X, -Y), flow current->next = (-Z, +W), in rows-down pixels.
        ("blender", {"Vector.X": -7.5, "Vector.Y": 3.25, "Vector.Z": -7.5, "Vector.W": 3.25}),
        # 7.5 of 200 wide, 3.25 of 100 high.
        ("normalized", {"motion.x": 0.0375, "motion.y": -0.0325, "backmotion.x": -0.0375, "backmotion.y": 0.0325}),
    ],
)
def test_a_pan_has_the_presets_signs(preset: str, expected: dict[str, float]) -> None:
    assert values(preset) == pytest.approx(expected)
    assert list(values(preset)) == list(expected)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_preset_writes_its_convention_reads_back(preset: str) -> None:
    names = [one.name for one in VECTORS[preset]]
    layer = names[0].partition(".")[0]
    read = reading_channels(layer, preset, names)
    assert sorted(read, key=lambda one: one.name) == sorted(VECTORS[preset], key=lambda one: one.name)


def test_the_backward_layer_alone_is_read_as_backward() -> None:
    (u, v) = reading_channels("backward", "nuke", ["backward.u", "backward.v", "R"])
    assert (u.source, u.axis, u.sign) == ("backward", "x", 1)
    assert (v.source, v.axis, v.sign) == ("backward", "y", -1)


@pytest.mark.parametrize(
    ("convention", "suffixes", "source", "signs", "unit"),
    [
        ("nuke", "xy", "forward", (1, -1), "pixels"),
        ("previous", "XY", "backward", (1, -1), "pixels"),
        ("down", "RG", "forward", (1, 1), "pixels"),
        ("down-previous", "uv", "backward", (1, 1), "pixels"),
        ("normalized-previous", "rg", "backward", (1, -1), "width"),
    ],
)
def test_conventions(convention: str, suffixes: str, source: str, signs: tuple[int, int], unit: str) -> None:
    x, y = reading_channels("mv", convention, [f"mv.{suffix}" for suffix in suffixes])
    assert (x.source, y.source) == (source, source)
    assert (x.sign, y.sign) == signs
    assert x.unit == unit


def test_a_layer_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(BadRequest, match="'mv'") as caught:
        reading_channels("mv", "nuke", ["R", "depth.Z", "forward.u"])
    assert "depth, forward" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("forward", ("forward", "nuke")),
        ("Vector", ("Vector", "blender")),
        ("ViewLayer.Vector", ("ViewLayer.Vector", "blender")),
        ("mv:down", ("mv", "down")),
    ],
)
def test_vectors_in(text: str, expected: tuple[str, str]) -> None:
    assert parse_vectors_in(text) == expected


@pytest.mark.parametrize("text", ["", ":nuke", "mv:sideways"])
def test_vectors_in_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="--vectors-in"):
        parse_vectors_in(text)


def test_a_plate_layer_that_a_preset_needs_is_renamed() -> None:
    claimed = claimed_layers("nuke", masks=True)
    assert claimed == {"forward", "backward", "occlusion", "confidence", "blend"}
    assert plate_layer_name("forward", claimed) == "source_forward"
    assert plate_layer_name("forward", claimed, taken=["source_forward"]) == "source_source_forward"
    assert plate_layer_name("depth", claimed) == "depth"
    assert claimed_layers("none", masks=False) == frozenset()


def test_blenders_masks_have_one_letter_channels() -> None:
    assert all(len(name.rpartition(".")[2]) == 1 for name in mask_channels("blender").values())
    assert mask_channels("nuke")["occlusion_forward"] == "occlusion.forward"


def test_no_float_channel_has_a_suffix_that_dwa_compression_would_damage_outside_blender() -> None:
    # OpenEXR's DWA is lossy for channels called R, G, B, Y, RY or BY whatever their type; Blender's own names have a Y.
    for preset in set(PRESETS) - {"blender"}:
        names = [one.name for one in VECTORS[preset]] + list(mask_channels(preset).values())
        assert not {name.rpartition(".")[2] for name in names} & {"R", "G", "B", "Y", "RY", "BY"}


def test_every_preset_can_be_read() -> None:
    assert set(PRESETS) <= set(CONVENTIONS)
