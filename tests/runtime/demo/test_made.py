"""The made clips of the acceptance tests are what they claim: a test is no better than its truth."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from kairos.demo.cryptomatte import id_bits
from support import made
from support.exr import read_exr, read_spec, rgb_of
from support.layered import DEPTHS, layered


def test_files_hold_the_truth_rounded_to_half(tmp_path: Path) -> None:
    clip = made.pan(tmp_path, frames=2)
    found = rgb_of(read_exr(clip.files[1]))
    assert np.array_equal(found, clip.rgb(1.0).astype(np.float16).astype(np.float32))


def test_a_pan_by_whole_pixels_equals_its_shift(tmp_path: Path) -> None:
    clip = made.pan(tmp_path, velocity=(7.5, 3.25), frames=1)
    # Four frames of (7.5, 3.25) are (30, 13) pixels exactly.
    assert np.allclose(clip.rgb(4.0)[:, 13:, 30:], clip.rgb(0.0)[:, :-13, :-30], atol=1e-5)


@pytest.mark.parametrize("time", [0.0, 0.25, 0.5, 1.7])
def test_a_discs_centroid_is_its_true_place(tmp_path: Path, time: float) -> None:
    clip = made.moving_disc(tmp_path, velocity=(6.3, 2.1), frames=1, start=(60.3, 70.8))
    assert clip.centre is not None
    assert made.centroid(clip.truth(time)["G"], 1.0) == pytest.approx(clip.centre(time), abs=0.02)


def test_a_highlight_is_flat_over_its_width(tmp_path: Path) -> None:
    clip = made.highlight(tmp_path, width=7.0, frames=1)
    assert clip.centre is not None
    row = clip.truth(0.0)["R"][round(clip.centre(0.0)[1])]
    assert int((row == 5000).sum()) >= 7


def test_the_still_plate_is_exact_in_half_and_spans_the_range(tmp_path: Path) -> None:
    clip = made.still_hdr(tmp_path, frames=2)
    frames = [rgb_of(read_exr(file)) for file in clip.files]
    assert np.array_equal(frames[0], clip.rgb(0.5)) and np.array_equal(frames[0], frames[1])
    assert frames[0].min() == -8 and frames[0].max() == 65504


def test_quiet_pixels_never_change_and_are_many(tmp_path: Path) -> None:
    clip = made.still_with_mover(tmp_path)
    assert clip.quiet is not None and clip.quiet.mean() > 0.2
    for time in (0.0, 0.5, 1.25, 3.0):
        assert np.array_equal(clip.rgb(time)[:, clip.quiet], clip.rgb(0.0)[:, clip.quiet])


def test_the_hard_edge_is_black_on_one_side_and_positive_on_the_other(tmp_path: Path) -> None:
    rgb = made.hard_edge(tmp_path, frames=1).rgb(0.5)
    assert rgb.min() == 0 and not rgb[:, :, :72].any() and rgb[:, :, 75:].min() > 0.3


def test_a_nan_plate_holds_nan_in_its_middle_frames_alone(tmp_path: Path) -> None:
    clip = made.nan_plate(tmp_path)
    counts = [int(np.isnan(rgb_of(read_exr(file))).sum()) for file in clip.files]
    assert counts == [0, 28, 28, 0]


def test_two_scenes_share_no_colour(tmp_path: Path) -> None:
    clip = made.two_scenes(tmp_path)
    for index in range(len(clip.files)):
        red, _, blue = clip.rgb(index)
        assert (blue.max() == 0 and red.min() > 0.02) if index < 4 else (red.max() == 0 and blue.min() > 0.02)


@pytest.mark.parametrize("ground", ["texture", "stripes"])
def test_an_objects_file_vectors_lead_to_the_next_frame(tmp_path: Path, ground: str) -> None:
    clip = made.object_over(tmp_path, ground)
    vectors = read_exr(clip.files[0])
    assert clip.centre is not None and clip.motion is not None
    # On the object's middle pixel: to the right and down, so v (up) is negative.
    column, row = (round(value) for value in clip.centre(0.0))
    assert (vectors["forward.u"][row, column], vectors["forward.v"][row, column]) == (9.0, -3.0)
    assert (vectors["backward.u"][row, column], vectors["backward.v"][row, column]) == (-9.0, 3.0)
    assert tuple(clip.motion(0.0, 1.0)[:, row, column]) == (9.0, 3.0)


def test_the_stripes_look_as_if_they_moved_the_other_way(tmp_path: Path) -> None:
    clip = made.object_over(tmp_path, "stripes")
    one, two = clip.rgb(0.0)[0, 140], clip.rgb(1.0)[0, 140]
    # 7.5 px right of a 12 px period looks like 4.5 px left.
    differences = [float(np.abs(np.roll(two, -shift)[20:-20] - one[20:-20]).mean()) for shift in range(-6, 7)]
    assert int(np.argmin(differences)) - 6 in (-5, -4)


def test_a_bars_sides_are_hard(tmp_path: Path) -> None:
    clip = made.bar(tmp_path, frames=2)
    for time in (0.0, 0.5, 1.0):
        profile = clip.truth(time)["G"][50:110].mean(0)
        assert int(((profile > 0.3) & (profile < 0.8)).sum()) <= 2


def test_the_timecode_runs_at_23_976(tmp_path: Path) -> None:
    clip = made.timecoded(tmp_path)
    words = [read_spec(file).getattribute("smpte:TimeCode")[0] for file in clip.files]
    # SMPTE 12M: two decimal digits a byte, hours first.
    assert [f"{word:08x}" for word in words] == ["01000022", "01000023", "01000100", "01000101", "01000102"]
    assert read_spec(clip.files[0]).getattribute("FramesPerSecond") == (24000, 1001)


@pytest.mark.parametrize(
    ("name", "codec", "pixels"), [("a.mov", "prores_ks", "yuv422p10le"), ("a.mp4", "libx264", "yuv420p")]
)
def test_a_movie_has_rate_sound_and_timecode(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    path = made.movie(tmp_path / name, codec=codec, pixels=pixels)
    with av.open(str(path)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert picture.average_rate == Fraction(24000, 1001)
        assert sum(1 for _ in container.decode(picture)) == 24
        container.seek(0)
        heard = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(sound)])
        # One frame of picture is 2002 samples; AAC pads to its blocks of 1024.
        assert abs(len(heard) / int(sound.rate) - 24 * 1001 / 24000) < 0.07
        found = [stream.metadata.get("timecode") for stream in container.streams] + [container.metadata.get("timecode")]
        assert "01:00:00:00" in found


def test_the_layered_clips_identifiers_are_in_its_manifest(tmp_path: Path) -> None:
    clip = layered(tmp_path, frames=2)
    spec = read_spec(clip.files[0])
    manifests = [each.value for each in spec.extra_attribs if each.name.endswith("/manifest")]
    assert len(manifests) == 1
    known = {int(value, 16) for value in json.loads(manifests[0]).values()}
    assert known == {id_bits(name) for name in clip.names}
    planes = read_exr(clip.files[1])
    bits = np.concatenate([planes[f"CryptoObject{layer}.{c}"].ravel() for layer in ("00", "01") for c in "RB"])
    assert set(np.unique(bits.view(np.uint32)).tolist()) - {0} == known


def test_the_layered_clips_planes_are_sound(tmp_path: Path) -> None:
    planes = read_exr(layered(tmp_path, frames=1).files[0])
    assert set(np.unique(planes["Z"]).tolist()) == set(DEPTHS.values())
    length = np.sqrt(sum(planes[f"N.{axis}"].astype(float) ** 2 for axis in "XYZ"))
    assert np.abs(length - 1).max() < 1e-3  # half floats
    covers = sum(planes[f"CryptoObject{layer}.{c}"] for layer in ("00", "01") for c in "GA")
    assert np.abs(covers - 1).max() < 1e-6
    assert set(np.unique(planes["A"]).tolist()) >= {0.25, 1.0}
