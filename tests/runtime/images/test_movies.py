"""Movies in and out: colour, rate, time code, sound and exact frames."""

from __future__ import annotations

import random
import threading
from fractions import Fraction
from pathlib import Path
from typing import List, Optional

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from kairos.errors import BadRequest, FrameError, ImageError
from kairos.frame import Attribute, Frame, Planes, Window
from kairos.images import open_movie, open_shot, read_fingerprint
from kairos.images.movie_read import movie_facts
from support.frames import FILM, frame_of, part_of
from support.shared import shared_data

HEIGHT, WIDTH = 128, 256
PATCHES = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1), (1, 1, 1), (0.5, 0.5, 0.5))
PATCH = WIDTH // len(PATCHES)
STRAIGHT = {"oiio:UnassociatedAlpha": Attribute("int", 1)}


def test_card(number: int = 0, alpha: bool = False) -> Frame:
    """A grey ramp, a row of primaries and secondaries, and a grey bar whose place counts the frames."""
    planes = np.zeros((4 if alpha else 3, HEIGHT, WIDTH), np.float32)
    planes[:3, :56] = np.linspace(0, 1, WIDTH, dtype=np.float32)
    for index, patch in enumerate(PATCHES):
        planes[:3, 64:104, index * PATCH : (index + 1) * PATCH] = np.array(patch, np.float32)[:, None, None]
    planes[:3, 112:, number * 8 : number * 8 + 8] = 0.75
    if alpha:
        planes[3] = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None]
    part = part_of("R G B A" if alpha else "R G B", planes, ("uint10",), metadata=STRAIGHT if alpha else {})
    return frame_of(part, number=number, scene_linear=False, colorspace="Rec.1886 Rec.709 - Display")


test_card.__test__ = False  # type: ignore[attr-defined]


def write_movie(path: Path, frames: int = 12, alpha: bool = False, **options: object) -> List[str]:
    settings = {"rate": Fraction(24), "size": (WIDTH, HEIGHT), **options}
    with open_movie(path, **settings) as writer:  # type: ignore[arg-type]
        for number in range(frames):
            writer.write(test_card(number, alpha))
    return writer.warnings


def flat_error(read: Planes, expected: Planes) -> float:
    """The largest error in the ramp and in the middle of the patches, in codes of 10 bits."""
    ramp = np.abs(read - expected)[:, 4:52]
    patches = np.abs(read - expected)[:, 68:100].reshape(len(read), 32, len(PATCHES), PATCH)[..., 8:-8]
    return float(max(ramp.max(), patches.max()) * 1023)


@pytest.mark.parametrize(
    ("name", "codec", "alpha", "bits", "tolerance"),
    [
        # A step of 10-bit video levels is 1023 / 876 codes in luma and 1.86 times 1023 / 896 in blue difference: 1.7 is
        # half of the two together. ProRes HQ and DNxHR HQX add next to nothing here, H.264 at its setting a few codes.
        ("a.mov", None, False, 10, 1.8),
        ("a.mov", None, True, 12, 1.8),
        ("a.mov", "dnxhr", False, 10, 1.8),
        ("a.mxf", None, False, 10, 1.8),
        ("a.mp4", None, False, 10, 8.0),
        ("a.mkv", None, False, 10, 8.0),
    ],
)
def test_grey_ramps_and_saturated_colours_return_without_a_shift(
    tmp_path: Path, name: str, codec: Optional[str], alpha: bool, bits: int, tolerance: float
) -> None:
    path = tmp_path / name
    assert write_movie(path, 3, alpha, codec=codec) == []
    with open_shot(str(path)) as shot:
        assert set(shot.header(0).parts[0].depths) == {f"uint{bits}"}
        read = shot.read(1).parts[0].planes
        assert not shot.scene_linear
    expected = test_card(1, alpha).parts[0].planes
    assert read.shape == expected.shape
    assert flat_error(read, expected) <= tolerance
    drift = np.abs((read - expected)[:3, 4:52].mean())
    assert drift * 1023 < 0.3, "a shift of range or matrix would move the mean"


def test_the_colour_tags_say_bt709_video_levels(tmp_path: Path) -> None:
    for name in ("a.mov", "a.mp4", "a.mxf"):
        write_movie(tmp_path / name, 2, colorspace="Rec.1886 Rec.709 - Display")
        assert movie_facts(tmp_path / name).tags == (1, 1, 1, 1), name


def test_ffmpegs_own_conversion_agrees_with_ours(tmp_path: Path) -> None:
    """A movie whose samples swscale made, read here; and one made here, read by swscale."""
    card = test_card().parts[0].planes
    codes = np.rint(card * 255).astype(np.uint8)
    theirs = tmp_path / "theirs.mkv"
    with av.open(str(theirs), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p10le"
        context = stream.codec_context
        context.color_range, context.colorspace = 1, 1
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.moveaxis(codes, 0, 2)), format="rgb24")
        frame = frame.reformat(format="yuv444p10le", dst_colorspace="itu709", src_color_range=2, dst_color_range=1)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_shot(str(theirs)) as shot:
        read = shot.read(0).parts[0].planes
    # Their rounding to 10-bit codes and back through 8 bits: within one 8-bit code.
    assert np.abs(read - codes / np.float32(255)).max() < 1.5 / 255
    write_movie(tmp_path / "ours.mov", 1)
    with av.open(str(tmp_path / "ours.mov")) as container:
        frame = next(container.decode(video=0))
        careful = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
        seen = frame.reformat(
            format="rgb24", src_colorspace="itu709", dst_color_range=2, interpolation=careful
        ).to_ndarray()
    assert np.abs(np.moveaxis(seen, 2, 0)[:, 4:52].astype(int) - codes[:, 4:52].astype(int)).max() <= 1


def test_headroom_over_white_and_under_black_is_kept(tmp_path: Path) -> None:
    planes = np.full((3, HEIGHT, WIDTH), 1.05, np.float32)
    planes[:, :, : WIDTH // 2] = -0.03
    frame = frame_of(part_of("R G B", planes, ("uint10",)), scene_linear=False)
    with open_movie(tmp_path / "a.mov", rate=Fraction(24), size=(WIDTH, HEIGHT)) as writer:
        writer.write(frame)
    with open_shot(str(tmp_path / "a.mov")) as shot:
        assert np.abs(shot.read(0).parts[0].planes - planes)[:, :, 8 : WIDTH // 2 - 8].max() * 1023 < 1.8
        assert np.abs(shot.read(0).parts[0].planes - planes)[:, :, WIDTH // 2 + 8 :].max() * 1023 < 1.8


@pytest.mark.parametrize(
    "rate", [FILM, Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(120)]
)
@pytest.mark.parametrize("name", ["a.mov", "a.mp4", "a.mkv"])
def test_rates_are_exact(tmp_path: Path, name: str, rate: Fraction) -> None:
    write_movie(tmp_path / name, 5, rate=rate)
    with open_shot(str(tmp_path / name)) as shot:
        assert shot.rate == rate
        assert len(shot) == 5


@pytest.mark.parametrize("name", ["a.mov", "a.mp4", "a.mkv", "a.mxf"])
def test_time_code_counts_on_from_the_first_frame(tmp_path: Path, name: str) -> None:
    write_movie(tmp_path / name, 6, timecode="00:59:59:22", rate=FILM)
    with open_shot(str(tmp_path / name)) as shot:
        assert [shot.header(position).timecode for position in range(4)] == [
            "00:59:59:22",
            "00:59:59:23",
            "01:00:00:00",
            "01:00:00:01",
        ]


def test_drop_frame_time_code_skips_as_it_should(tmp_path: Path) -> None:
    write_movie(tmp_path / "a.mov", 4, timecode="00:00:59;28", rate=Fraction(30000, 1001))
    with open_shot(str(tmp_path / "a.mov")) as shot:
        # SMPTE 12M: the first two numbers of each minute but every tenth are skipped.
        assert [shot.header(position).timecode for position in (1, 2)] == ["00:00:59;29", "00:01:00;02"]


@pytest.mark.parametrize("name", ["a.mov", "a.mp4", "a.mkv", "a.mxf"])
def test_the_fingerprint_is_in_every_container(tmp_path: Path, name: str) -> None:
    write_movie(tmp_path / name, 2, fingerprint="abc" * 20)
    assert read_fingerprint(tmp_path / name) == "abc" * 20


@pytest.mark.parametrize("name", ["a.mov", "a.mp4"])
def test_frames_are_counted_exactly_and_come_back_in_any_order(tmp_path: Path, name: str) -> None:
    write_movie(tmp_path / name, 30)

    def place(planes: Planes) -> int:
        return int(np.argmax(planes[1, 116:124].mean(0).reshape(-1, 8).mean(1)))

    order = list(range(30))
    random.Random(3).shuffle(order)
    with open_shot(str(tmp_path / name)) as shot:
        assert len(shot) == 30
        assert [place(shot.read(number).parts[0].planes) for number in order] == order
        assert [place(shot.read(number).parts[0].planes) for number in reversed(range(30))] == list(reversed(range(30)))


def test_a_long_gop_movie_is_the_same_read_in_order_or_not() -> None:
    """car-turn is H.264 with B-frames and 81 frames (MANIFEST.md)."""
    path = shared_data("car-turn", "car-turn.mp4")
    with av.open(str(path)) as container:
        luma = [frame.to_ndarray()[: frame.height] for frame in container.decode(video=0)]
    with open_shot(str(path)) as shot:
        assert len(shot) == len(luma) == 81
        assert shot.rate == 25
        ordered = [shot.read(number).parts[0].planes for number in range(0, 81, 4)]
        # The whole is nearest to its own frame's luma, not to a neighbour's.
        for index in (1, 9, 18):
            grey = np.tensordot((0.299, 0.587, 0.114), ordered[index], 1) * 219 + 16
            errors = [float(np.abs(grey - frame).mean()) for frame in luma[index * 4 - 1 : index * 4 + 2]]
            assert int(np.argmin(errors)) == 1
            assert errors[1] < 1
        order = list(range(21))
        random.Random(5).shuffle(order)
        assert all(np.array_equal(shot.read(4 * index).parts[0].planes, ordered[index]) for index in order)
        wrong = []

        def work(first: int) -> None:
            wrong.extend(
                index
                for index in range(first, 21, 3)
                if not np.array_equal(shot.read(4 * index).parts[0].planes, ordered[index])
            )

        threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_a_range_of_a_movie_counts_from_0() -> None:
    with open_shot(str(shared_data("car-turn", "car-turn.mp4")), frame_range=(40, 56)) as shot:
        assert shot.numbers == tuple(range(40, 57))
        assert shot.read(0).number == 40
        assert shot.identity(0).endswith("#40")
        assert shot.movie
    with pytest.raises(FrameError, match="0-80"):
        open_shot(str(shared_data("car-turn", "car-turn.mp4")), frame_range=(100, 120))


def make_sound(path: Path, codec: str = "aac") -> List[bytes]:
    """Two seconds of picture and of a tone; answers with the sound's packets."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=24)
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream(codec, rate=48000)
        sound.layout = "stereo"
        for number in range(48):
            frame = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), 5 * number, np.uint8), format="rgb24")
            frame.pts = number
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        tone = (np.sin(np.arange(96_000) / 20) * 0.5).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, 0
        resampler = av.AudioResampler(format=sound.format, layout="stereo", rate=48_000)
        for piece in resampler.resample(frame):
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
    return sound_packets(path)


def sound_packets(path: Path) -> List[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size] if container.streams.audio else []


@pytest.mark.parametrize("name", ["out.mov", "out.mkv", "out.mxf"])
def test_uncompressed_sound_is_copied_sample_for_sample(tmp_path: Path, name: str) -> None:
    before = b"".join(make_sound(tmp_path / "in.mov", "pcm_s16le"))
    assert write_movie(tmp_path / name, 48, audio_from=tmp_path / "in.mov") == []
    after = b"".join(sound_packets(tmp_path / name))
    assert len(after) == len(before)
    assert after == before


@pytest.mark.parametrize("name", ["out.mov", "out.mp4", "out.mkv"])
def test_sound_is_copied_byte_for_byte(tmp_path: Path, name: str) -> None:
    packets = make_sound(tmp_path / "in.mov")
    with open_shot(str(tmp_path / "in.mov")) as shot:
        size = (WIDTH, HEIGHT)
        with open_movie(tmp_path / name, rate=shot.rate, size=size, like=shot, audio_from=shot.path(0)) as writer:
            for position in range(len(shot)):
                writer.write(shot.read(position))
    assert sound_packets(tmp_path / name) == packets
    assert writer.warnings == []


def test_sound_ends_with_the_picture_and_may_begin_later(tmp_path: Path) -> None:
    make_sound(tmp_path / "in.mov")
    with open_movie(
        tmp_path / "out.mov",
        rate=Fraction(24),
        size=(WIDTH, HEIGHT),
        audio_from=tmp_path / "in.mov",
        audio_start=Fraction(1, 2),
    ) as writer:
        for number in range(12):
            writer.write(test_card(number))
    with av.open(str(tmp_path / "out.mov")) as container:
        stream = container.streams.audio[0]
        # Half a second of picture; a packet of AAC lasts 1024 samples of 48000.
        assert float(stream.duration * stream.time_base) == pytest.approx(0.5, abs=2 * 1024 / 48_000)


def test_sound_that_does_not_fit_the_container_is_left_out_with_a_warning(tmp_path: Path) -> None:
    assert make_sound(tmp_path / "in.mov")
    warnings = write_movie(tmp_path / "out.mxf", 2, audio_from=tmp_path / "in.mov")
    assert sound_packets(tmp_path / "out.mxf") == []
    assert any("aac" in warning for warning in warnings)


def test_tags_are_taken_over_from_the_source(tmp_path: Path) -> None:
    with open_shot(str(shared_data("car-turn", "car-turn.mp4"))) as shot:
        with open_movie(tmp_path / "a.mov", rate=shot.rate, size=(640, 360), like=shot) as writer:
            writer.write(shot.read(0))
        before = shot.read(0).parts[0].planes
    with open_shot(str(tmp_path / "a.mov")) as copy:
        after = copy.read(0).parts[0].planes
    # The untagged small source is BT.601 for every player, and so must the copy be.
    assert movie_facts(tmp_path / "a.mov").tags[3] == 6
    assert np.abs(after - before).mean() < 0.004


@pytest.mark.parametrize("size", [(259, 127), (257, 130), (258, 129)])
@pytest.mark.parametrize(("name", "codec"), [("a.mov", None), ("a.mp4", None), ("a.mov", "dnxhr")])
def test_odd_sizes_are_kept(tmp_path: Path, name: str, codec: Optional[str], size: tuple[int, int]) -> None:
    planes = np.full((3, size[1], size[0]), 0.5, np.float32)
    with open_movie(tmp_path / name, rate=Fraction(24), size=size, codec=codec) as writer:
        writer.write(frame_of(part_of("R G B", planes, ("uint8",)), scene_linear=False))
    with open_shot(str(tmp_path / name)) as shot:
        assert shot.header(0).display[2:] == size
        assert np.abs(shot.read(0).parts[0].planes - 0.5).max() < 0.005


def test_a_movie_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    writer = open_movie(path, rate=Fraction(24), size=(WIDTH, HEIGHT))
    writer.write(test_card())
    assert not path.exists()
    writer.abort()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError), open_movie(path, rate=Fraction(24), size=(WIDTH, HEIGHT)) as writer:
        writer.write(test_card())
        raise RuntimeError("the job failed")
    assert list(tmp_path.iterdir()) == []
    write_movie(path, 2)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mov"]


def test_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="256x128"):
        write_movie(tmp_path / "a.mov", 1, size=(64, 64))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("a.avi", {}, "avi"),
        ("a.mp4", {"codec": "prores"}, "prores"),
        ("a.mov", {"codec": "cinepak"}, "cinepak"),
        ("a.mov", {"rate": Fraction(0)}, "rate"),
    ],
)
def test_impossible_movies_are_refused_by_name(
    tmp_path: Path, name: str, options: dict[str, object], word: str
) -> None:
    with pytest.raises(BadRequest, match=word):
        write_movie(tmp_path / name, 1, **options)
    assert list(tmp_path.iterdir()) == []


def test_broken_movies_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mov").write_text("no movie")
    (tmp_path / "b.mov").touch()
    for name in ("a.mov", "b.mov", "c.mov"):
        with pytest.raises(ImageError, match=name):
            open_shot(str(tmp_path / name))
    whole = shared_data("car-turn", "car-turn.mp4").read_bytes()
    (tmp_path / "d.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"d\.mp4"), open_shot(str(tmp_path / "d.mp4")) as shot:
        for position in range(81):
            shot.read(position)


def test_a_cropped_frame_fills_the_movies_picture(tmp_path: Path) -> None:
    part = part_of("R G B", np.ones((3, 64, 64), np.float32), ("half",), origin=(64, 32))
    with open_movie(tmp_path / "a.mov", rate=Fraction(24), size=(WIDTH, HEIGHT)) as writer:
        writer.write(frame_of(part, display=Window(0, 0, WIDTH, HEIGHT), scene_linear=False))
    with open_shot(str(tmp_path / "a.mov")) as shot:
        read = shot.read(0).parts[0].planes
    assert read[:, 40:88, 72:120].min() > 0.99
    assert abs(float(read[:, :24].max())) < 0.01
