"""Slow motion in the sequencer of real Blenders, 4.5 and 5.0, through the real runtime.

One Blender of each version, with the extension installed, plays ``in_blender/sequencer.py``; the tests are claims about
what came of it.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, Iterator, List

import av
import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio  # noqa: N813 - the name everybody uses
import pytest

from support.blender import VERSIONS, installed_blender
from support.exr import write_exr

FRAMES, FIRST, WIDTH, HEIGHT = 12, 1001, 64, 48
MOVIE_LEVELS = 2
"""8-bit levels by which two decoders may differ in the same 4:4:4 frame: each rounds its matrix once."""


@dataclass
class Played:
    """What one Blender did."""

    facts: Dict[str, Any]
    pictures: Dict[str, npt.NDArray[Any]]
    version: str

    def __getitem__(self, scene: str) -> Any:
        found = self.facts[scene]
        assert "raised" not in found, found.get("raised")
        return found


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A square that moves 3 px a frame, as PNG, as scene-linear EXR up to 4, and as movies; and a second of sound."""
    folder = tmp_path_factory.mktemp("media")
    for index in range(FRAMES):
        write(folder / f"sh.{FIRST + index}.png", frame(index), "uint8")
        linear = (frame(index) / 255 * 4).astype(np.float32)
        write(folder / f"lin.{FIRST + index}.exr", linear, "half")
        for ending, kind in ((".tif", "uint16"), (".dpx", "uint16"), (".jpg", "uint8"), (".hdr", "float")):
            write(folder / f"other.{FIRST + index}{ending}", frame(index).astype(np.float32) / 255, kind)
        write_exr(folder / f"many.{FIRST + index}.exr", layered(linear))
    for name, rate in (("m24.mp4", 24), ("m48.mp4", 48)):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream("libx264", rate=rate, options={"crf": "0", "preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
            for index in range(FRAMES):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(index), format="rgb24")))
            container.mux(stream.encode())
    with wave.open(str(folder / "tone.wav"), "w") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    return folder


@pytest.fixture(scope="module", params=sorted(VERSIONS))
def played(request: pytest.FixtureRequest, media: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """What a Blender of each version did."""
    folder = tmp_path_factory.mktemp("sequencer")
    blender = installed_blender(request.param, folder)
    try:
        facts = blender.run("sequencer.py", folder=folder, media=media)
    finally:
        blender.end()
    with np.load(folder / "pictures.npz") as pictures:
        yield Played(facts, dict(pictures), request.param)


def frame(index: int) -> npt.NDArray[np.uint8]:
    """(H, W, 3) of a frame; red tells its index, 8 levels each."""
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:] = [index * 8, 128, 64]
    pixels[10:26, 4 + 3 * index : 20 + 3 * index] = [index * 8, 220, 200]
    return pixels


def write(path: Path, pixels: npt.NDArray[Any], kind: str) -> None:
    output = oiio.ImageOutput.create(str(path))
    output.open(str(path), oiio.ImageSpec(WIDTH, HEIGHT, 3, kind))
    output.write_image(pixels)
    output.close()


def layered(linear: npt.NDArray[np.float32]) -> Dict[str, npt.NDArray[np.float32]]:
    """Planes as a multilayer render of Blender's has them: the picture, and depth and vectors beside it."""
    found = {f"ViewLayer.Combined.{name}": linear[..., index] for index, name in enumerate("RGB")}
    found["ViewLayer.Combined.A"] = np.ones((HEIGHT, WIDTH), np.float32)
    others = ("ViewLayer.Depth.Z", *(f"ViewLayer.Vector.{name}" for name in "XYZW"))
    return {**found, **{name: np.zeros((HEIGHT, WIDTH), np.float32) for name in others}}


def times_shown(pictures: npt.NDArray[Any]) -> List[float]:
    """Source index that each picture shows, by the red of its corner."""
    return [float(one[2, 2, 0]) / 8 for one in pictures]


@pytest.mark.slow
def apart(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Largest difference of two lots of pictures."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max())


def test_the_extension_begins(played: Played) -> None:
    assert played.facts["version"].startswith(played.version)
    assert "sequencer" not in played.facts["troubles"]


def test_a_strip_slowed_to_a_quarter_plays_the_right_frames(played: Played) -> None:
    """Every fourth frame is the source's own, bit for bit; those between are the runtime's files, bit for bit."""
    shown = played.pictures["stacked"]
    assert len(shown) == 4 * FRAMES
    assert apart(shown[::4], played.pictures["stacked_source"]) == 0
    assert apart(shown, played.pictures["stacked_files"]) == 0
    expected = [min(k / 4, FRAMES - 1) for k in range(4 * FRAMES)]
    assert times_shown(shown) == pytest.approx(expected, abs=1 / 8), "to one 8-bit level"


def test_the_square_moves_between_the_frames(played: Played) -> None:
    """Its centre at half an interval lies half a step on: a blend of two frames would leave it at both."""
    middle = played.pictures["stacked"][4 * 5 + 2].astype(float)
    row = np.abs(middle[..., 1] - 128).max(axis=0) > 46
    columns = np.flatnonzero(row)
    # 64 columns; source frame 5 has the square's middle at 26.5, frame 6 at 29.5.
    assert columns.mean() == pytest.approx(28, abs=0.6)
    assert len(columns) == pytest.approx(16, abs=1.5)


def test_stacking_leaves_the_strip_and_goes_above_it(played: Played) -> None:
    assert played["stacked"]["status"] == ["FINISHED"]
    assert played["stacked"]["strips"] == [["sh", "IMAGE", 1, 10, 22, False], ["sh 25 %", "IMAGE", 2, 10, 58, False]]


def test_a_trimmed_strip_plays_its_part_and_its_handle(played: Played) -> None:
    assert [Fraction(time) for time in played["trimmed"]["times"]] == [1004 + Fraction(k, 4) for k in range(20)]
    assert apart(played.pictures["trimmed"][::4], played.pictures["trimmed_source"]) == 0


def test_a_negative_speed_plays_backwards(played: Played) -> None:
    assert played["backwards"]["times"][:3] == ["1012", "1011.5", "1011"]


def test_scene_linear_values_over_one_survive(played: Played) -> None:
    shown, source = played.pictures["float"], played.pictures["float_source"]
    assert apart(shown[::2], source) == 0
    assert source.max() > 3.4 and shown[1::2].max() > 3.4


def test_a_multilayer_render_is_slowed_by_its_picture_alone(played: Played) -> None:
    assert apart(played.pictures["layered"][::2], played.pictures["layered_source"]) == 0
    assert played.pictures["layered"].max() > 3.4
    header = oiio.ImageInput.open(played["layered"]["file"]).spec()
    assert {name.rpartition(".")[0] for name in header.channelnames} == {"ViewLayer.Combined"}


@pytest.mark.parametrize(
    ("source", "written"), [(".tif", ".tif"), (".dpx", ".dpx"), (".jpg", ".png"), (".hdr", ".exr")]
)
def test_other_files_look_as_they_did(played: Played, source: str, written: str) -> None:
    """Bit for bit: the frames hold the source's codes, and Blender reads them in the source's colour space."""
    before, after = played.pictures[f"encoded_{source}"]
    assert played["encoded"][source] == written
    assert apart(after, before) == 0
    assert apart(before[0], before[2]) > 0.1, "and the frames are not all the same"


def test_a_movie_looks_as_it_did(played: Played) -> None:
    assert apart(played.pictures["movie"], played.pictures["movie_source"]) <= MOVIE_LEVELS


def test_replacing_hands_over_looks_effects_and_animation(played: Played) -> None:
    found = played["replaced"]
    assert [one[0] for one in found["strips"]] == ["cross", "sh 50 %", "sh.001"], "the old strip is gone"
    assert found["strips"][1] == ["sh 50 %", "IMAGE", 1, 10, 34, False]
    assert found["cross"] == "sh 50 %"
    assert found["look"] == [7.0, 0.25, 3, "ADD"]
    assert found["more"] == [0.5, True, "COLOR_03", 12.0]
    assert found["colorspace"] == "Linear Rec.709"
    assert found["points"] == [[0, 0], [0.5, 0.7], [1, 1]]


def test_a_fade_keeps_to_its_pictures(played: Played) -> None:
    """Keys at frames 10 and 16 of a strip from 10 on; at half speed those pictures lie at 10 and 22."""
    ((path, keys),) = played["replaced"]["curves"]
    assert path == 'sequence_editor.strips_all["sh 50 %"].blend_alpha'
    assert keys == [[10, 0], [22, 1]]


def test_a_longer_strip_goes_where_there_is_room(played: Played) -> None:
    assert ["sh 50 %", "IMAGE", 3, 10, 34, False] in played["crowded"]["strips"]


def test_a_speed_effect_is_taken_over(played: Played) -> None:
    found = played["multiplied"]
    assert found["strips"] == [["sh 50 %", "IMAGE", 1, 10, 22, False]], "strip and effect are replaced"
    assert [Fraction(time) - 1001 for time in found["times"]] == [Fraction(k, 2) for k in range(12)]
    assert found["opacity"] == 0.75


def test_an_animated_speed_effect_means_the_same_times_as_in_blender(played: Played) -> None:
    """Blender's own blend of two frames shows each time to an eighth: 8 levels of red a frame."""
    read = [float(Fraction(time)) - 1001 for time in played["ramped"]["times"]]
    assert read == pytest.approx(times_shown(played.pictures["ramped_blender"]), abs=1 / 8)
    assert read[-1] == pytest.approx(8.5, abs=1e-3), "0.5 rising to 1 over 11 frames"


@pytest.mark.parametrize("control", ["STRETCH", "MULTIPLY", "FRAME_NUMBER", "LENGTH"])
def test_every_speed_control_means_the_same_times_as_in_blender(played: Played, control: str) -> None:
    read = [float(Fraction(time)) for time in played["controls"][control]]
    assert read == pytest.approx(times_shown(played.pictures[f"control_{control}"]), abs=1 / 8)


@pytest.mark.parametrize("kind", ["images", "movie"])
def test_retiming_keys_mean_the_same_frames_as_in_blender(played: Played, kind: str) -> None:
    """Blender 5.0 shows the frame begun, 4.5 the nearest one; a movie's red may be a level off."""
    left, right, read = played["keys"][kind]
    shown = np.rint(times_shown(played.pictures[f"keys_{kind}"]))
    assert len(read) == right - left == len(shown)
    exact = np.array([float(Fraction(time)) for time in read])
    begun = np.floor(exact + 0.5) if played.version == "4.5" else np.floor(exact + 1e-6)
    assert np.array_equal(shown, begun)
    assert len(set(np.round(np.diff(exact), 4))) > 3, "two speeds and the transition between"


def test_a_strip_with_keys_is_replaced_at_its_own_place(played: Played) -> None:
    left, right, _ = played["keys"]["movie"]
    ((_, kind, channel, start, end, _),) = played["keys"]["strips"]
    assert (kind, channel, start, end) == ("IMAGE", 1, left, right)


def test_sound_stays_or_is_muted_on_request(played: Played) -> None:
    """The strip's own sound, cut alike; other sound is never touched."""
    assert played["sound"]["muted"] == [[False, False], [True, False]]


def test_a_movie_of_another_rate_is_slowed_from_its_own_pace(played: Played) -> None:
    """48 frames per second at half speed in a timeline of 24: every source frame once."""
    if played.version == "5.0":
        pytest.skip("Blender 5.0 crashes when a movie is added at its own rate without a window")
    end, _, new = played["own_rate"]["at_half"]
    assert end == 16 and new[3:5] == [10, 22]
    assert played["own_rate"]["times"] == [str(number) for number in range(12)]


def test_a_strip_in_a_meta_strip_is_slowed_inside_it(played: Played) -> None:
    assert played["meta"]["inside"] == ["sh", "sh 50 %"]


def test_a_preview_shows_the_frame_under_the_playhead(played: Played) -> None:
    first, second, outside, whole = played["preview"]["steps"]
    assert ["Kairos preview", "IMAGE", 2, 15, 16, False] in first["strips"]
    assert [one[3] for one in second["strips"] if one[0] == "Kairos preview"] == [16], "one preview at a time"
    assert "playhead is at frame 400" in outside["error"]
    assert [one[0] for one in whole["strips"]] == ["sh", "sh 25 %"], "the whole strip replaces the preview"
    assert apart(played.pictures["preview"], played.pictures["preview_whole"]) == 0


def test_a_cancelled_job_leaves_the_timeline_as_it_was(played: Played) -> None:
    assert played["cancelled"] == {"status": ["CANCELLED"], "error": "", "strips": [["sh", "IMAGE", 1, 10, 22, False]]}


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("none", "Click on an image sequence or movie"),
        ("gap", "frame 1004 is not in the strip; sh.1003.png is followed by sh.1099.png"),
        ("lost", "lost.0001.png. Render or restore it"),
        ("movie", "none.mp4 is missing. Bring it back"),
        ("colour", "Click on an image sequence or movie"),
        ("still", "single picture"),
        ("no timing", "neither a Speed effect nor retiming keys"),
        ("zero", "Speed 0 %"),
    ],
)
def test_a_refusal_says_what_to_do(played: Played, case: str, words: str) -> None:
    found = played["refused"][case]
    assert found["status"] == ["REFUSED"] and words in found["error"]
    assert not any("%" in one[0] for one in found["strips"]), "nothing was added"
