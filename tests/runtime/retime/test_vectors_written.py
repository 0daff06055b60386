"""Vectors on disk point where real frames really go, in every host's own convention."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Tuple

import cv2
import numpy as np
import pytest

from kairos.vectors import run_vectors
from kairos_nodes.jobs import VectorsJob
from support import made
from support.exr import Planes, read_exr, read_spec, rgb_of
from support.jobs import frame_at, retime

PAN = (7.5, 3.25)
"""Pixels per frame, right and down."""

Flow = Tuple[Planes, Planes]


def to_next(preset: str, planes: Dict[str, Planes]) -> Flow:
    """x right and y down to the next frame, by each host's own documentation."""
    height, width = planes["R"].shape
    if preset == "nuke":  # pixels, v up
        return planes["forward.u"], -planes["forward.v"]
    if preset == "blender":  # Z,W = current - next, pixels, y up
        return -planes["Vector.Z"], planes["Vector.W"]
    if preset == "fusion":  # pixels, y up
        return planes["Vector.x"], -planes["Vector.y"]
    return planes["motion.x"] * width, -planes["motion.y"] * height


def to_previous(preset: str, planes: Dict[str, Planes]) -> Flow:
    """x right and y down to the previous frame."""
    height, width = planes["R"].shape
    if preset == "nuke":
        return planes["backward.u"], -planes["backward.v"]
    if preset == "blender":  # X,Y = previous - current
        return planes["Vector.X"], -planes["Vector.Y"]
    if preset == "fusion":
        return planes["BackVector.x"], -planes["BackVector.y"]
    return planes["backmotion.x"] * width, -planes["backmotion.y"] * height


def warped(frame: Planes, flow: Flow) -> Planes:
    """What ``frame`` shows where the flow points to."""
    x, y = np.meshgrid(np.arange(frame.shape[2], dtype=np.float32), np.arange(frame.shape[1], dtype=np.float32))
    image = np.ascontiguousarray(frame.transpose(1, 2, 0))
    return cv2.remap(image, x + flow[0], y + flow[1], cv2.INTER_CUBIC).transpose(2, 0, 1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> made.Clip:
    return made.pan(tmp_path_factory.mktemp("pan"), velocity=PAN, frames=4, size=(180, 256))


@pytest.mark.parametrize("preset", ["nuke", "blender", "fusion", "normalized"])
def test_vectors_of_each_preset_carry_a_real_frame_onto_its_neighbours(
    preset: str, clip: made.Clip, tmp_path: Path
) -> None:
    pattern = str(tmp_path / "v.%04d.exr")
    job = VectorsJob(clip.pattern, pattern, vectors=preset, frames=str(frame_at(1)), device="cpu")
    run_vectors(job, lambda event: None)
    here = read_exr(Path(pattern % frame_at(1)))
    inside = (slice(None), slice(20, -20), slice(20, -20))
    for flow, other, expected in ((to_next(preset, here), 2, PAN), (to_previous(preset, here), 0, (-PAN[0], -PAN[1]))):
        neighbour = rgb_of(read_exr(clip.files[other]))
        moved = np.abs(warped(neighbour, flow) - rgb_of(here))[inside].mean()
        stayed = np.abs(neighbour - rgb_of(here))[inside].mean()
        assert moved < 0.05 * stayed
        medians = [float(np.median(component[20:-20, 20:-20])) for component in flow]
        assert medians == pytest.approx(expected, abs=0.05)


def test_retimed_vectors_span_the_new_frame_spacing(clip: made.Clip, tmp_path: Path) -> None:
    ran = retime(clip, tmp_path, between=3, vectors="nuke", masks=True)
    for k in range(1, 12):
        planes = read_exr(ran.file(frame_at(k)))
        medians = [float(np.median(planes[name])) for name in ("forward.u", "forward.v", "backward.u", "backward.v")]
        quarter = (PAN[0] / 4, -PAN[1] / 4)
        assert medians == pytest.approx([*quarter, -quarter[0], -quarter[1]], abs=0.05), k


@pytest.mark.parametrize(("speed", "factor"), [("2", 2.0), ("3/2", 1.5), ("-1", -1.0)])
def test_vectors_over_other_spacings_are_composed_and_reversed(
    speed: str, factor: float, clip: made.Clip, tmp_path: Path
) -> None:
    ran = retime(clip, tmp_path, speed=speed, vectors="nuke", frames=str(frame_at(0)))
    planes = read_exr(ran.file(frame_at(0)))
    # Far from where the content leaves the frame.
    middle = (slice(40, -40), slice(40, -40))
    assert np.median(planes["forward.u"][middle]) == pytest.approx(PAN[0] * factor, abs=0.1)
    assert np.median(planes["forward.v"][middle]) == pytest.approx(-PAN[1] * factor, abs=0.1)


def test_the_ends_of_a_sequence_have_no_vectors_and_are_occluded(clip: made.Clip, tmp_path: Path) -> None:
    ran = retime(clip, tmp_path, speed="1", vectors="nuke", masks=True)
    first, last = (read_exr(ran.file(frame_at(k))) for k in (0, 3))
    assert not first["backward.u"].any() and (first["occlusion.backward"] == 1).all()
    assert not last["forward.u"].any() and (last["occlusion.forward"] == 1).all()
    assert np.median(first["occlusion.forward"]) == 0 and np.median(first["confidence.a"]) > 0.9


def test_vectors_to_a_cut_are_zero_and_occluded(tmp_path: Path) -> None:
    clip = made.two_scenes(tmp_path / "plate", frames=6, cut=3)
    cut = f"{frame_at(2)}-{frame_at(3)}"
    ran = retime(clip, tmp_path / "out", speed="1", vectors="nuke", masks=True, frames=cut)
    before, after = (read_exr(ran.file(frame_at(k))) for k in (2, 3))
    assert not before["forward.u"].any() and (before["occlusion.forward"] == 1).all()
    assert not after["backward.u"].any() and (after["occlusion.backward"] == 1).all()
    assert np.median(before["backward.u"]) == pytest.approx(-4.0, abs=0.1)


def test_masks_are_float_in_0_to_1_and_blend_follows_time(clip: made.Clip, tmp_path: Path) -> None:
    ran = retime(clip, tmp_path, between=3, masks=True, frames=f"{frame_at(1)}-{frame_at(3)}")
    for k in range(1, 4):
        planes = read_exr(ran.file(frame_at(k)))
        for name in ("occlusion.forward", "occlusion.backward", "confidence.a", "blend.a"):
            assert planes[name].min() >= 0 and planes[name].max() <= 1
        assert np.median(planes["blend.a"][40:-40, 40:-40]) == pytest.approx(1 - k / 4, abs=0.1)


def test_a_single_part_plate_stays_a_single_part_with_the_blender_preset(clip: made.Clip, tmp_path: Path) -> None:
    more = {"masks": True, "compression": "dwaa:45", "frames": str(frame_at(1))}
    ran = retime(clip, tmp_path, between=1, vectors="blender", **more)
    planes = read_exr(ran.file(frame_at(1)))
    assert {"R", "Vector.X", "Vector.W", "OcclusionForward.V", "Confidence.V"} <= planes.keys()


def test_with_the_blender_preset_the_part_has_no_name(tmp_path: Path) -> None:
    # Blender 4.5 and 5.0 take a named part for a layer of that name: with "ViewLayer.Combined", which 5.0 itself
    # writes, the channel ViewLayer.Combined.R becomes the layer ViewLayer.Combined.ViewLayer, and no node shows it.
    named = {"oiio:subimagename": "ViewLayer.Combined"}
    clip = made.pan(tmp_path / "plate", PAN, frames=2, size=(48, 64), attributes=named)
    names = []
    for preset in ("nuke", "blender"):
        ran = retime(clip, tmp_path / preset, between=1, vectors=preset)
        names.append(read_spec(ran.file(frame_at(1))).getattribute("oiio:subimagename"))
    assert names == ["ViewLayer.Combined", None]
