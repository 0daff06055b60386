"""Layers are recognised by name, sample type and metadata, in every way files name layers and views."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import numpy as np
import pytest

from kairos.errors import BadRequest
from kairos.frame import Attribute, Part
from kairos.images import Layer, beauty, layers_of, open_shot, parse_policies, views_of
from kairos_nodes.layers import Policy
from support.frames import frame_of, part_of
from support.shared import shared_data


def tiny(names: str, depths: Tuple[str, ...] = ("half",), **options: object) -> Part:
    return part_of(names, np.zeros((len(names.split()), 2, 2), np.float32), depths, **options)  # type: ignore[arg-type]


def found(names: str, depths: Tuple[str, ...] = ("half",), **options: object) -> List[Layer]:
    return layers_of(frame_of(tiny(names, depths, **options)))


@pytest.mark.parametrize(
    ("names", "layer", "policy", "kind"),
    [
        ("R G B A", "rgba", "blend", "colour"),
        ("R G B", "rgba", "blend", "colour"),
        ("Y", "rgba", "blend", "colour"),
        ("A", "rgba", "blend", "alpha"),
        (
            "ViewLayer.Combined.R ViewLayer.Combined.G ViewLayer.Combined.B ViewLayer.Combined.A",
            "ViewLayer.Combined",
            "blend",
            "colour",
        ),
        ("diffuse_albedo.R diffuse_albedo.G diffuse_albedo.B", "diffuse_albedo", "blend", "colour"),
        ("RGBA_key.red RGBA_key.green RGBA_key.blue", "RGBA_key", "blend", "colour"),
        ("Z", "depth", "depth", "depth"),
        ("depth.Z", "depth", "depth", "depth"),
        ("ViewLayer.Depth.Z", "ViewLayer.Depth", "depth", "depth"),
        ("zdepth.R zdepth.G zdepth.B", "zdepth", "depth", "depth"),
        ("P.X P.Y P.Z", "P", "depth", "position"),
        ("Pworld.red Pworld.green Pworld.blue", "Pworld", "depth", "position"),
        ("worldPosition.R worldPosition.G worldPosition.B", "worldPosition", "depth", "position"),
        ("N.X N.Y N.Z", "N", "normal", "normal"),
        ("normals.R normals.G normals.B", "normals", "normal", "normal"),
        ("ViewLayer.Normal.X ViewLayer.Normal.Y ViewLayer.Normal.Z", "ViewLayer.Normal", "normal", "normal"),
        ("NormalWorld.x NormalWorld.y NormalWorld.z", "NormalWorld", "normal", "normal"),
        ("forward.u forward.v", "forward", "vector", "motion"),
        ("backward.u backward.v", "backward", "vector", "motion"),
        ("motion.u motion.v", "motion", "vector", "motion"),
        (
            "ViewLayer.Vector.X ViewLayer.Vector.Y ViewLayer.Vector.Z ViewLayer.Vector.W",
            "ViewLayer.Vector",
            "vector",
            "motion",
        ),
        ("velocity.R velocity.G velocity.B", "velocity", "vector", "motion"),
        ("motionVectors.R motionVectors.G motionVectors.B", "motionVectors", "vector", "motion"),
        ("source_forward.u source_forward.v", "source_forward", "vector", "motion"),
        ("somewhere.u somewhere.v", "somewhere", "vector", "motion"),
        ("uv.u uv.v", "uv", "depth", "coordinates"),
        ("disparityL.x disparityL.y", "disparityL", "depth", "coordinates"),
        ("CryptoObject00.R CryptoObject00.G CryptoObject00.B CryptoObject00.A", "CryptoObject00", "id", "cryptomatte"),
        ("uCryptoAsset01.red uCryptoAsset01.green", "uCryptoAsset01", "id", "cryptomatte"),
        (
            "ViewLayer.CryptoMaterial02.r ViewLayer.CryptoMaterial02.g",
            "ViewLayer.CryptoMaterial02",
            "id",
            "cryptomatte",
        ),
        ("objectId.R objectId.G objectId.B", "objectId", "id", "id"),
        ("matid.X", "matid", "id", "id"),
        ("id", "id", "id", "id"),
        ("ViewLayer.IndexOB.X", "ViewLayer.IndexOB", "id", "id"),
        ("hero_matte.A", "hero_matte", "blend", "alpha"),
        ("mask", "mask", "blend", "matte"),
        ("shadowMask.R shadowMask.G shadowMask.B", "shadowMask", "blend", "matte"),
        ("noise_level", "noise_level", "blend", "data"),
    ],
)
def test_a_layer_is_known_by_its_name(names: str, layer: str, policy: str, kind: str) -> None:
    (only,) = found(names)
    assert (only.name, only.policy.value, only.kind) == (layer, policy, kind)
    assert only.channels == tuple(range(len(names.split())))
    assert only.reason


@pytest.mark.parametrize(
    "names",
    [
        "image.R image.G image.B",  # holds "mage", not an identifier
        "candid.R candid.G candid.B",
        "Nightsky.R Nightsky.G Nightsky.B",
        "Particles.R Particles.G Particles.B",
        "promotion.R promotion.G promotion.B",
        "fluid.R fluid.G fluid.B",
        "sss_indirect.R sss_indirect.G sss_indirect.B",
        "zebra.R zebra.G zebra.B",
    ],
)
def test_a_word_inside_another_does_not_mislead(names: str) -> None:
    assert found(names)[0].policy is Policy.BLEND
    assert found(names)[0].kind == "colour"


def test_integer_samples_are_never_mixed_whatever_their_name() -> None:
    (layer,) = found("beauty2.R beauty2.G beauty2.B", ("uint",))
    assert layer.policy is Policy.NEAREST
    assert "integer" in layer.reason


def test_cryptomatte_is_known_by_its_metadata_under_any_name() -> None:
    metadata = {
        "cryptomatte/ab12/name": Attribute("string", "props"),
        "cryptomatte/ab12/manifest": Attribute("string", "{}"),
    }
    names = "R G B props00.R props00.G props.R props.G props.B"
    layers = {layer.name: layer for layer in found(names, metadata=metadata)}
    assert layers["props00"].policy is layers["props"].policy is Policy.ID
    assert "metadata" in layers["props00"].reason
    assert layers["rgba"].policy is Policy.BLEND


def test_cryptomatte_metadata_of_another_part_counts() -> None:
    metadata = {"cryptomatte/ab12/name": Attribute("string", "props")}
    frame = frame_of(tiny("R G B", metadata=metadata, name="rgba"), tiny("props00.R props00.G", name="props00"))
    assert [layer.policy for layer in layers_of(frame)] == [Policy.BLEND, Policy.ID]


def test_one_prefix_with_mixed_channels_is_taken_apart() -> None:
    layers = found("hero.R hero.G hero.B hero.A hero.Z hero.mask hero.id")
    assert [(layer.name, layer.policy.value, layer.channels) for layer in layers] == [
        ("hero", "blend", (0, 1, 2, 3)),
        ("hero.Z", "depth", (4,)),
        ("hero.mask", "blend", (5,)),
        ("hero.id", "id", (6,)),
    ]


def test_every_channel_is_in_exactly_one_layer_on_every_odd_file() -> None:
    for path in sorted(shared_data("exr-variety").glob("gaffer_*.exr")):
        with open_shot(str(path)) as shot:
            header = shot.header(0)
        met = [(layer.part, channel) for layer in layers_of(header) for channel in layer.channels]
        every = [(index, channel) for index, part in enumerate(header.parts) for channel in range(len(part.channels))]
        assert sorted(met) == every, path.name


def test_colour_channels_come_in_rgba_order() -> None:
    (layer,) = found("A B G R")
    assert layer.channels == (3, 2, 1, 0)


def layers_by_view(name: str) -> Dict[str, List[str]]:
    with open_shot(str(shared_data("exr-variety") / name)) as shot:
        header = shot.header(0)
    views: Dict[str, List[str]] = {}
    for layer in layers_of(header):
        views.setdefault(layer.view, []).append(layer.name)
    assert tuple(views) == views_of(header) == views_of(layers_of(header))
    return views


CHARACTER = ["character", "character.Z", "character.mask"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "gaffer_channelTestMultiViewSinglePart.exr",
            {
                "left": ["rgba", "depth", "mask", *CHARACTER],
                "right": [*CHARACTER[:2], "character.custom", "character.mask", "rgba", "depth", "custom", "mask"],
            },
        ),
        (
            "gaffer_channelTestMultiViewPartPerView.exr",
            {
                "left": ["rgba", "depth", "mask", *CHARACTER],
                "right": [
                    "rgba",
                    "depth",
                    "custom",
                    "mask",
                    "character",
                    "character.Z",
                    "character.custom",
                    "character.mask",
                ],
            },
        ),
        ("gaffer_imitateProductionLayers1.exr", {"main": ["rgba", "character"]}),
        ("gaffer_imitateProductionLayers2.exr", {"": ["rgba_main", "depth"]}),
        ("gaffer_invalidMultiViewAttribute.exr", {"": ["rgba"]}),
    ],
)
def test_views_and_layers_of_production_files(name: str, expected: Dict[str, List[str]]) -> None:
    views = layers_by_view(name)
    assert {view: sorted(layers) for view, layers in views.items()} == {
        view: sorted(layers) for view, layers in expected.items()
    }


def test_beachballs_eyes_each_have_their_beauty_and_the_right_one_is_the_hero() -> None:
    with open_shot(str(shared_data("beachball") / "multipart.%04d.exr")) as shot:
        header = shot.header(0)
    layers = layers_of(header)
    assert views_of(header) == ("right", "left")
    assert [header.parts[beauty(layers, view).part].name for view in ("right", "left")] == ["rgba_right", "rgba_left"]
    policies = {(layer.name, layer.view): layer.policy.value for layer in layers}
    for view in ("left", "right"):
        assert policies["depth", view] == "depth"
        assert policies["forward", view] == "vector"
        assert policies["whitebarmask", view] == "blend"
    assert policies["disparityL", "right"] == "depth", "parts without a view go with the hero"


def test_parts_named_by_eye_are_views_without_any_attribute() -> None:
    frame = frame_of(tiny("R G B", name="rgba_left"), tiny("R G B", name="rgba_right"), tiny("Z", name="depth.left"))
    assert views_of(frame) == ("left", "right")
    assert [(layer.name, layer.view) for layer in layers_of(frame)] == [
        ("rgba", "left"),
        ("rgba", "right"),
        ("depth", "left"),
    ]


def test_a_file_without_views_has_the_empty_one() -> None:
    frame = frame_of(tiny("R G B", name="left"))
    assert views_of(frame) == ("",)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("spec.R spec.G spec.B R G B", "rgba"),
        ("spec.R spec.G spec.B beauty.R beauty.G beauty.B", "beauty"),
        ("V.Combined.R V.Combined.G V.Combined.B V.Diffuse.R V.Diffuse.G V.Diffuse.B", "V.Combined"),
        ("Z spec.R spec.G spec.B", "spec"),
        ("depth.Z grain.Y", "grain"),
        ("depth.Z forward.u forward.v", "depth"),
    ],
)
def test_motion_is_found_on_the_main_colour(names: str, expected: str) -> None:
    layers = found(names)
    assert beauty(layers, "").name == expected


def test_a_view_that_is_not_there_answers_with_the_heros_beauty() -> None:
    layers = found("R G B")
    assert beauty(layers, "left") == layers[0]
    with pytest.raises(ValueError, match="without layers"):
        beauty([], "")


def policy_of(layers: List[Layer], name: str, view: Optional[str] = None) -> Policy:
    return next(layer.policy for layer in layers if layer.name == name and view in (None, layer.view))


def test_the_artists_policy_goes_before_the_recognised_one() -> None:
    layers = parse_policies("depth=blend,noise=nearest", found("R G B depth.Z noise.x"))
    assert policy_of(layers, "depth") is Policy.BLEND
    assert policy_of(layers, "noise") is Policy.NEAREST
    assert policy_of(layers, "rgba") is Policy.BLEND
    assert next(layer.reason for layer in layers if layer.name == "depth") == "as asked"


def test_a_policy_may_be_for_one_view_alone() -> None:
    frame = frame_of(tiny("R G B", name="a", view="left"), tiny("R G B", name="b", view="right"))
    layers = parse_policies("a.left=hold", layers_of(frame))
    assert [layer.policy for layer in layers] == [Policy.HOLD, Policy.BLEND]


@pytest.mark.parametrize(
    ("text", "words"), [("dpeth=blend", ("dpeth", "depth", "rgba")), ("depth=smear", ("smear", "hold"))]
)
def test_wrong_names_are_answered_with_the_known_ones(text: str, words: Tuple[str, ...]) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_policies(text, found("R G B depth.Z"))
    assert all(word in str(caught.value) for word in words)
