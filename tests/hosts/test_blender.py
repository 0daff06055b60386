"""Kairos in real Blender: a rendered shot retimed in the compositor, vectors that Vector Blur takes, a start that never
breaks."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Dict

import numpy as np
import OpenImageIO
import pytest

from kairos_installer.lock import locked
from support.blender import VERSIONS, installed_blender

MIDDLE = 3
CUBE_IS_NEARER_THAN = 13.0
"""Metres: the camera is 14 above the ground, the cube's top about 11."""


@pytest.fixture(scope="module", params=sorted(VERSIONS))
def shot(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Any]:
    """What the compositor of one Blender made: made once for all test processes."""
    version = request.param
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"blender-{version}"
    folder.mkdir(exist_ok=True)
    facts = folder / "facts.json"
    with locked(folder / "lock", lambda line: None):
        if not facts.exists():
            facts.write_text(json.dumps(_make(version, folder)))
    return {"folder": folder, "version": version, **json.loads(facts.read_text())}


def _make(version: str, folder: Path) -> Dict[str, Any]:
    begun = time.monotonic()
    blender = installed_blender(version, folder)
    try:
        made = blender.run("scene.py", folder=folder)
        rendered = time.monotonic()
        made.update(blender.run("compositor.py", folder=folder, **made))
    finally:
        blender.end()
    print(f"Blender {version}: scene {rendered - begun:.0f} s, nodes {time.monotonic() - rendered:.0f} s")
    return made


def channels(path: Path, *names: str) -> Any:
    """(H, W, C) float."""
    image = OpenImageIO.ImageInput.open(str(path))
    assert image is not None, path
    for part in range(99):
        assert image.seek_subimage(part, 0), f"{path} has no {names}"
        found = list(image.spec().channelnames)
        if set(names) <= set(found):
            pixels = image.read_image(part, 0, 0, image.spec().nchannels, "float")
            return pixels[..., [found.index(name) for name in names]]
    raise AssertionError(path)


def beauty(path: Path) -> Any:
    """Colour of a multilayer render or result."""
    return channels(path, *(f"ViewLayer.Combined.{letter}" for letter in "RGB"))


def composited(shot: Dict[str, Any], name: str, frame: int) -> Any:
    """Colour of what the compositor rendered."""
    return channels(shot["folder"] / f"{name}.{frame:04d}.exr", "R", "G", "B")


def psnr(one: Any, two: Any) -> float:
    """Decibels, of pictures as a screen shows them: clipped to 0..1, gamma 2.2."""
    seen = [np.clip(picture, 0, 1) ** (1 / 2.2) for picture in (one, two)]
    return float(-10 * np.log10(max(np.mean((seen[0] - seen[1]) ** 2), 1e-12)))


def neighbours(shot: Dict[str, Any], frame: int) -> Any:
    """The blend of the source frames around an output frame, weighted by time."""
    before, quarter = shot["first"] + (frame - shot["first"]) // 4, (frame - shot["first"]) % 4
    one, two = (beauty(shot["folder"] / f"plate.{number:04d}.exr") for number in (before, before + 1))
    return one + (two - one) * quarter / 4


@pytest.mark.slow
def test_in_betweens_are_3_db_nearer_to_true_subframes_than_a_blend(shot: Dict[str, Any]) -> None:
    ours, blends = [], []
    for frame in shot["truths"]:
        truth = beauty(shot["folder"] / f"truth.{frame:04d}.exr")
        ours.append(psnr(composited(shot, "retimed", frame), truth))
        blends.append(psnr(neighbours(shot, frame), truth))
    print(f"{shot['version']}: {np.mean(ours):.2f} dB, blend {np.mean(blends):.2f} dB, worst {min(ours):.2f} dB")
    assert np.mean(ours) >= np.mean(blends) + 3
    assert min(np.subtract(ours, blends)) >= 3


@pytest.mark.slow
def test_the_compositor_shows_the_result_bit_for_bit_at_the_right_frame(shot: Dict[str, Any]) -> None:
    result = Path(shot["retimed"]["folder"])
    assert (shot["retimed"]["first"], shot["retimed"]["last"]) == (1, 21)
    for frame in (shot["first"], *shot["truths"]):
        assert np.array_equal(composited(shot, "retimed", frame), beauty(result / f"result.{frame:04d}.exr"))
    # After its end the last frame stands still.
    assert np.array_equal(composited(shot, "retimed", 26), beauty(result / "result.0021.exr"))
    # A source frame that falls on an output frame is the render itself, values over 1 and all.
    first = composited(shot, "retimed", shot["first"])
    assert np.array_equal(first, beauty(shot["folder"] / "plate.0001.exr"))
    assert first.max() > 1


@pytest.mark.slow
def test_start_puts_the_result_where_it_says_on_the_timeline(shot: Dict[str, Any]) -> None:
    assert shot["late"] == [40, 41]
    # Blender's Image node shows nothing before a sequence's first frame.
    assert not composited(shot, "late", 39).any()
    for frame, source in ((40, 2), (41, 3)):
        assert np.array_equal(composited(shot, "late", frame), beauty(shot["folder"] / f"plate.{source:04d}.exr"))


@pytest.mark.slow
def test_a_preview_is_the_same_frame_as_the_render(shot: Dict[str, Any]) -> None:
    frame = shot["truths"][0]
    assert shot["preview"] == [frame, frame]
    assert np.array_equal(composited(shot, "preview", frame), composited(shot, "retimed", frame))


@pytest.mark.slow
def test_depth_and_confidence_come_out_of_their_sockets(shot: Dict[str, Any]) -> None:
    frame = shot["truths"][0]
    result = Path(shot["retimed"]["folder"]) / f"result.{frame:04d}.exr"
    for name, channel in (("depth", "ViewLayer.Depth.Z"), ("confidence", "Confidence.V")):
        assert np.array_equal(composited(shot, name, frame)[..., 0], channels(result, channel)[..., 0])


@pytest.mark.slow
def test_vectors_agree_with_the_renderers_own(shot: Dict[str, Any]) -> None:
    errors: Dict[str, list[Any]] = {"object": [], "background": []}
    speeds = []
    for frame in range(shot["first"] + 1, shot["last"]):
        ours = channels(Path(shot["vectors"]) / f"result.{frame:04d}.exr", *(f"Vector.{one}" for one in "XYZW"))
        plate = shot["folder"] / f"plate.{frame:04d}.exr"
        true = channels(plate, *(f"ViewLayer.Vector.{one}" for one in "XYZW"))
        cube = channels(plate, "ViewLayer.Depth.Z")[..., 0] < CUBE_IS_NEARER_THAN
        error = np.hypot(ours - true, np.roll(ours - true, -1, axis=2))[..., [0, 2]]
        errors["object"].append(error[cube].ravel())
        errors["background"].append(error[~cube].ravel())
        speeds.append(np.hypot(true[..., 0], true[..., 1])[cube])
    medians = {name: float(np.median(np.concatenate(each))) for name, each in errors.items()}
    print(
        f"{shot['version']}: median end-point error {medians}, cube {np.median(np.concatenate(speeds)):.1f} px a frame"
    )
    assert medians["object"] < 1
    assert medians["background"] < 0.5


@pytest.mark.slow
def test_vector_blur_takes_our_vectors_as_its_own(shot: Dict[str, Any]) -> None:
    plain, blender, ours = (
        composited(shot, name, MIDDLE) for name in ("plain", "blurred_by_blender", "blurred_by_kairos")
    )
    print(
        f"{shot['version']}: blur by ours against by Blender's {psnr(ours, blender):.2f} dB, against unblurred "
        f"{psnr(ours, plain):.2f} dB"
    )
    assert psnr(ours, plain) < psnr(ours, blender) - 3
    assert psnr(ours, blender) >= 30


@pytest.mark.slow
def test_the_renders_vector_pass_is_offered_and_leads_the_motion(shot: Dict[str, Any]) -> None:
    assert shot["vectors_in"] == "ViewLayer.Vector:blender"
    frame = shot["truths"][1]
    truth = beauty(shot["folder"] / f"truth.{frame:04d}.exr")
    ours, blend = psnr(composited(shot, "led", frame), truth), psnr(neighbours(shot, frame), truth)
    print(f"{shot['version']}: by the Vector pass {ours:.2f} dB, blend {blend:.2f} dB")
    assert ours >= blend + 3
    assert not np.array_equal(composited(shot, "led", frame), composited(shot, "retimed", frame))


@pytest.mark.slow
def test_scrubbing_makes_the_frame_under_a_resting_playhead_and_never_waits(shot: Dict[str, Any]) -> None:
    assert not shot["scrubbed_early"]
    assert shot["scrubbed"] == [shot["truths"][2], shot["truths"][2]]
    # A twelfth of a second is two frames of a film: nobody sees it.
    assert shot["scrub_blocks"] < 1 / 12


@pytest.mark.slow
def test_a_cancelled_render_leaves_the_node_as_it_was(shot: Dict[str, Any]) -> None:
    assert shot["cancelled"] == ["CANCELLED"]
    assert shot["kept"]


@pytest.mark.slow
def test_a_kept_plate_stays_when_the_scenes_output_path_changes(shot: Dict[str, Any]) -> None:
    assert shot["plate_kept"]


@pytest.mark.slow
def test_a_saved_file_still_shows_its_result(shot: Dict[str, Any]) -> None:
    frame = shot["truths"][0]
    assert np.array_equal(composited(shot, "reopened", frame), composited(shot, "retimed", frame))
