"""Resolve's scripts against a recording stand-in of Resolve, with the real runtime on real movies and sequences."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, Iterator, List

import av
import numpy as np
import pytest

from kairos_nodes.errors import BadRequest
from support import lua, made
from support.exr import read_exr, read_spec
from support.resolve import PoolItem, Studio, interface, movie_item, own_kairos, stubs
from support.shared import ROOT, shared_data

PLUGIN = ROOT / "plugin" / "resolve"
SCRIPTS = sorted(PLUGIN.glob("scripts/*/*.py"))
PACKAGE = sorted(PLUGIN.glob("kairos_resolve/*.py"))
NTSC = Fraction(24000, 1001)
RECORD = 86424
"""Timeline frame of the clip under test: one second into a timeline that starts at 01:00:00:00 of 24 counted frames."""


@pytest.fixture(scope="module")
def kairos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runtime of this checkout's own, and nothing of the user's."""
    with own_kairos(tmp_path_factory.mktemp("resolve")) as folder:
        yield folder


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Path]:
    """A disc that moves 4 px a frame, at both rates of the acceptance line."""
    folder = tmp_path_factory.mktemp("movies")
    return {
        "23.976": made.movie(folder / "a2398.mov", NTSC, 14),
        "25": made.movie(folder / "a25.mov", Fraction(25), 14),
    }


def run(action: str, given: Dict[str, Any], **settings: object) -> None:
    """Runs a script as Resolve does: with its own objects as globals. Settings come by the environment."""
    from kairos_resolve.main import run as start

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAIROS_SETTINGS", json.dumps({"engine": "classic", "device": "cpu", **settings}))
        assert start(action, given)


def slow(studio: Studio, **settings: object) -> Dict[str, Any]:
    """Runs Kairos Slow Motion; the last request to the timeline."""
    run("slow_motion", {"resolve": studio.resolve}, **settings)
    return dict(studio.world.asked("MediaPool.AppendToTimeline")[-1][0][0])


def disc_positions(path: Path) -> List[float]:
    """Where the disc is in every frame of a movie, in source frames: it moves 4 px a frame from x = 24 on."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="gray16le") for frame in container.decode(video=0)]
    return [(made.centroid(frame.astype(np.float32), float(frame.max()) / 2)[0] - 24) / 4 for frame in frames]


@pytest.mark.parametrize("rate", ["23.976", "25"])
def test_slow_motion_of_a_real_movie_asks_for_the_right_frames_at_the_right_place(
    kairos: Path, movies: Dict[str, Path], rate: str
) -> None:
    studio = Studio(movie_item(movies[rate]), rate, RECORD, 6, 4)
    studio.put(1, RECORD + 9, 20)
    request = slow(studio, speed="0.5", handles=3)
    media = request.pop("mediaPoolItem")
    assert len(studio.world.asked("MediaPool.AppendToTimeline")) == 1
    # 12 frames at half speed, of which 9 fit before the next clip, behind 3 frames of handle; the end is excluded.
    assert request == {"startFrame": 3, "endFrame": 12, "mediaType": 1, "trackIndex": 2, "recordFrame": RECORD}
    result = Path(media.GetClipProperty("File Path"))
    assert result.parent.parent == movies[rate].parent / "kairos"
    assert media.GetClipProperty("FPS") == rate
    found = disc_positions(result)
    wanted = [4 + (index - 3) / 2 for index in range(3 + 12 + 3)]
    assert len(found) == len(wanted)
    # Half a pixel is an eighth of a source frame.
    assert max(abs(a - b) for a, b in zip(found, wanted)) < 0.125
    with av.open(str(result)) as container:
        assert container.streams.video[0].average_rate == (NTSC if rate == "23.976" else 25)


def test_a_second_run_renders_and_imports_nothing_again(kairos: Path, movies: Dict[str, Path]) -> None:
    studio = Studio(movie_item(movies["25"]), "25", RECORD, 4, 2)
    slow(studio, speed="0.5", handles=0)
    made_at = Path(studio.pool.root._model.folders[0]._model.clips[0].GetClipProperty("File Path")).stat().st_mtime_ns
    request = slow(studio, speed="0.5", handles=0)
    assert len(studio.world.asked("MediaPool.ImportMedia")) == 1
    path = Path(request["mediaPoolItem"].GetClipProperty("File Path"))
    assert path.stat().st_mtime_ns == made_at
    # The first result lies on V2, so the second goes onto a new track.
    assert [one[0][0]["trackIndex"] for one in studio.world.asked("MediaPool.AppendToTimeline")] == [2, 3]


def test_a_movie_of_25_fps_in_a_timeline_of_23_976_has_one_frame_per_timeline_frame(
    kairos: Path, movies: Dict[str, Path]
) -> None:
    studio = Studio(movie_item(movies["25"]), "23.976", RECORD, 6, 3)
    request = slow(studio, speed="0.5", handles=0, length="whole")
    assert (request["startFrame"], request["endFrame"], request["recordFrame"]) == (0, 12, RECORD)
    media = request["mediaPoolItem"]
    assert media.GetClipProperty("FPS") == "23.976"
    step = 0.5 * 25 * 1001 / 24000
    found = disc_positions(Path(media.GetClipProperty("File Path")))
    assert max(abs(time - (3 + index * step)) for index, time in enumerate(found)) < 0.125


def test_an_exr_sequence_comes_back_as_one_numbered_from_0(kairos: Path, tmp_path: Path) -> None:
    clip = made.pan(tmp_path, frames=4, size=(48, 64))
    first = int(clip.files[0].stem.rpartition(".")[2])
    name = clip.files[0].name.replace(f"{first:04d}", f"[{first:04d}-{first + 3:04d}]")
    # Resolve counts from the file's first frame here; by file number in a test below.
    studio = Studio(PoolItem(str(tmp_path / name), "24", 4, first), "24", RECORD, 3, 1)
    request = slow(studio, speed="0.5", handles=4, place="track")
    (imported,) = studio.world.asked("MediaPool.ImportMedia")
    # From source frame 1 on, 2 output frames before it; the third source frame's successor is the file's last.
    assert imported[0][0]["StartIndex"] == 0 and imported[0][0]["EndIndex"] == 6
    assert (request["startFrame"], request["endFrame"]) == (2, 7)
    files = sorted(Path(imported[0][0]["FilePath"]).parent.glob("*.exr"))
    assert [int(file.stem.rpartition(".")[2]) for file in files] == list(range(7))


@pytest.mark.slow
def test_a_retimed_clip_gets_true_frames_at_the_speed_that_the_timeline_says(
    kairos: Path, movies: Dict[str, Path]
) -> None:
    studio = Studio(movie_item(movies["23.976"]), "23.976", RECORD, 8, 5)
    studio.item.source_end = 7
    studio.line.otio = otio(studio.item.name, 24, 8, 5, {"OTIO_SCHEMA": "LinearTimeWarp.1", "time_scalar": 0.25})
    request = slow(studio, timing="timeline", handles=2)
    assert (request["startFrame"], request["endFrame"], request["recordFrame"]) == (2, 10, RECORD)
    found = disc_positions(Path(request["mediaPoolItem"].GetClipProperty("File Path")))
    assert max(abs(time - (5 + (index - 2) / 4)) for index, time in enumerate(found)) < 0.125


def test_camera_footage_is_slowed_from_the_middle_of_its_file(kairos: Path) -> None:
    source = shared_data("car-turn", "car-turn.mp4")
    studio = Studio(movie_item(source), "25", RECORD, 2, 40)
    request = slow(studio, speed="0.5", handles=0, length="whole", folder="cache", scale="0.25")
    assert (request["startFrame"], request["endFrame"]) == (0, 4)
    result = Path(request["mediaPoolItem"].GetClipProperty("File Path"))
    assert result.is_relative_to(kairos / "cache")
    with av.open(str(result)) as found, av.open(str(source)) as plate:
        ours = [frame.to_ndarray(format="rgb24").astype(np.float64) for frame in found.decode(video=0)]
        theirs = [frame.to_ndarray(format="rgb24").astype(np.float64) for frame in plate.decode(video=0)]

    def decibels(a: Any, b: Any) -> float:
        return float(10 * np.log10(255**2 / np.mean((a - b) ** 2)))

    assert len(ours) == 4
    # Source frames are copied: what ProRes costs remains. Between two frames lies what is nearer to each than they are.
    assert min(decibels(ours[2 * index], theirs[40 + index]) for index in range(2)) > 40
    far = decibels(theirs[40], theirs[41])
    assert min(decibels(ours[1], theirs[40]), decibels(ours[1], theirs[41])) > far + 1


def test_as_a_take_it_is_as_long_as_the_clip(kairos: Path, movies: Dict[str, Path]) -> None:
    studio = Studio(movie_item(movies["25"]), "25", RECORD, 4, 2)
    run("slow_motion", {"resolve": studio.resolve}, speed="0.5", handles=0, place="take")
    ((_, first, end),) = studio.item.takes
    assert (first, end, studio.item.chosen) == (0, 4, 2)
    assert studio.world.asked("MediaPool.AppendToTimeline") == []


def test_a_version_that_counts_the_end_frame_gets_the_same_length(kairos: Path, movies: Dict[str, Path]) -> None:
    studio = Studio(movie_item(movies["25"]), "25", RECORD, 4, 2)
    studio.line.end_counts = True
    slow(studio, speed="0.5", handles=0, length="whole")
    (placed,) = studio.line.tracks[1]
    assert (placed.GetStart(False), placed.GetDuration(False)) == (RECORD, 8)


def test_cancel_in_the_progress_window_ends_the_job_and_leaves_the_timeline_alone(
    kairos: Path, movies: Dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kairos_resolve import main, work

    class Pressed(work.ProgressWindow):
        """Somebody presses Cancel at the first frame."""

        cancelled = False

        def show(self, done: int, total: int, text: str = "") -> None:
            self.cancelled = done > 0

    monkeypatch.setattr(work, "ProgressWindow", Pressed)
    settings = {"engine": "classic", "device": "cpu", "speed": "1/40", "format": "exr", "folder": "cache"}
    monkeypatch.setenv("KAIROS_SETTINGS", json.dumps(settings))
    studio = Studio(movie_item(movies["25"]), "25", RECORD, 6, 2)
    assert not main.run("slow_motion", {"resolve": studio.resolve})
    assert "Kairos: Cancelled." in capsys.readouterr().out
    assert studio.world.asked("MediaPool.ImportMedia") == studio.world.asked("MediaPool.AppendToTimeline") == []
    kept = list((kairos / "cache" / "results").glob("*/a25_kairos.*.exr"))
    assert 0 < len(kept) < 240


def test_vectors_come_with_a_composition_that_reads_them(kairos: Path, movies: Dict[str, Path], tmp_path: Path) -> None:
    studio = Studio(movie_item(movies["25"]), "25", RECORD, 3, 2)
    run("vectors", {"resolve": studio.resolve})
    (text,) = studio.item.compositions
    found = lua.parse(text)
    tools = found["Tools"]
    assert found["RenderRange"] == [0, 2]
    clip = tools["KairosVectors"]["Clips"][0]
    files = sorted(Path(clip["Filename"]).parent.glob("*.exr"))
    assert [file.name[-8:] for file in files] == ["0000.exr", "0001.exr", "0002.exr"]
    inputs = tools["KairosVectors"]["Inputs"]
    assert inputs["Clip1.OpenEXRFormat.XVelName"]["Value"][1] == "Vector.x"
    blur = tools["KairosBlur"]["Inputs"]
    assert (blur["Input"]["SourceOp"], blur["Vectors"]["SourceOp"]) == ("MediaIn1", "KairosVectors")
    assert tools["MediaOut1"]["Inputs"]["Input"]["SourceOp"] == "KairosBlur"
    setting = next(Path(clip["Filename"]).parent.glob("*.setting")).read_text(encoding="utf-8")
    plate = lua.parse(setting)["Tools"]["KairosPlate"]["Clips"][0]
    assert (plate["Filename"], plate["TrimIn"], plate["TrimOut"]) == (str(movies["25"]), 2, 4)
    assert lua.compiles(text, tmp_path) and lua.compiles(setting, tmp_path)
    # The disc moves 4 px to the right: the vectors say so, in pixels, at its middle.
    planes = read_exr(files[1])
    x = 24 + 4 * 3
    assert planes["Vector.x"][48, x] == pytest.approx(4, abs=0.5)
    assert planes["BackVector.x"][48, x] == pytest.approx(-4, abs=0.5)
    # The movie's timecode starts at 01:00:00:00: the first file is that of its third frame.
    assert [read_spec(file).getattribute("smpte:TimeCode")[0] for file in files] == [0x01000002, 0x01000003, 0x01000004]


def test_errors_are_lines_on_the_console_in_plain_words(
    kairos: Path, movies: Dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kairos_resolve.main import run as start

    monkeypatch.setenv("KAIROS_ASK", "0")
    studio = Studio(movie_item(movies["25"]), "25", RECORD, 4, 2)
    studio.line.current = None
    assert not start("slow_motion", {"resolve": studio.resolve})
    assert not start("slow_motion", {})
    assert not start("time_stretcher", {"fusion": None})
    studio.line.current = studio.line.tracks[0][0]
    studio.item.source = None
    assert not start("vectors", {"resolve": studio.resolve})
    still = PoolItem("/plates/still.exr", "25", 1)
    studio.item.source = studio.world.make("MediaPoolItem", still)
    studio.item.source_start, studio.item.source_end = 0, 1
    assert not start("slow_motion", {"resolve": studio.resolve})
    studio.item.source = 5
    monkeypatch.setenv("HOME", str(kairos))
    assert not start("vectors", {"resolve": studio.resolve})
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[0] == "Kairos: There is no video clip at the playhead. Put the playhead on the clip."
    assert lines[1].startswith("Kairos: This script needs DaVinci Resolve.")
    assert lines[2].startswith("Kairos: No composition is open.")
    assert "has no file of its own" in lines[3]
    assert "is a single frame" in lines[4]
    assert "something unexpected went wrong" in lines[5] and "resolve.log" in lines[5]
    assert "Traceback" in (kairos / ".local" / "share" / "kairos" / "resolve.log").read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_find_kairos_by_the_installers_record_without_knowing_where_they_lie(
    kairos: Path, script: Path, tmp_path: Path
) -> None:
    record = tmp_path / "home.json"
    record.write_text(json.dumps({"home": str(ROOT)}))
    # As Resolve runs a script: its text, with Resolve's objects as globals and no __file__.
    program = f"exec(compile(open({str(script)!r}).read(), 'script', 'exec'), {{'__name__': '__main__'}})"
    for home, wanted in ((record, "Kairos: "), (tmp_path / "none.json", "Kairos was not found")):
        done = subprocess.run(
            [sys.executable, "-S", "-E", "-c", program],
            env={**os.environ, "KAIROS_HOME_FILE": str(home), "KAIROS_ASK": "0"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith(wanted) and done.stderr == ""


def test_scripts_find_kairos_copied_beside_them(kairos: Path, tmp_path: Path) -> None:
    shutil.copytree(PLUGIN / "scripts", tmp_path / "Scripts")
    shutil.copytree(PLUGIN / "kairos_resolve", tmp_path / "Scripts" / "kairos" / "kairos_resolve")
    shutil.copytree(ROOT / "nodes" / "kairos_nodes", tmp_path / "Scripts" / "kairos" / "kairos_nodes")
    script = tmp_path / "Scripts" / "Edit" / "Kairos Slow Motion.py"
    told = f"fusion = type('Fusion', (), {{'MapPath': lambda self, name: {str(tmp_path / 'Scripts')!r}}})()"
    unnamed = f"{told}\nexec(compile(open({str(script)!r}).read(), 'script', 'exec'), {{'fusion': fusion}})"
    named = f"exec(compile(open({str(script)!r}).read(), {str(script)!r}, 'exec'), {{}})"
    for arguments in ([str(script)], ["-c", named], ["-c", unnamed]):
        done = subprocess.run(
            [sys.executable, "-S", "-E", *arguments],
            env={**os.environ, "KAIROS_HOME_FILE": str(tmp_path / "none.json"), "KAIROS_ASK": "0"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith("Kairos: This script needs DaVinci Resolve.") and done.stderr == ""


def test_scripts_differ_only_in_what_they_are_for() -> None:
    texts = [path.read_text(encoding="utf-8").splitlines() for path in SCRIPTS]
    assert len(texts) == 3 and [path.parent.name for path in SCRIPTS] == ["Edit", "Edit", "Tool"]
    kept = {"\n".join(line for line in text[1:] if not line.startswith("ACTION")) for text in texts}
    assert len(kept) == 1


@pytest.mark.parametrize("path", [*SCRIPTS, *PACKAGE], ids=lambda path: path.name)
def test_the_plugin_parses_as_python_3_9_and_imports_only_the_nodes(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    names = [one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    # fusionscript is imported for type checking alone.
    ours = {"kairos_nodes", "kairos_resolve", "fusionscript"} | set(sys.stdlib_module_names)
    assert {name.partition(".")[0] for name in names} <= ours
    assert importlib.util.find_spec("fusionscript") is None


def test_the_stand_in_refuses_what_resolve_has_not(movies: Dict[str, Path]) -> None:
    studio = Studio(movie_item(movies["25"]), "25", RECORD, 4, 2)
    timeline = studio.resolve.GetProjectManager().GetCurrentProject().GetCurrentTimeline()
    with pytest.raises(AttributeError):
        timeline.GetCurrentVideoItems()
    with pytest.raises(AssertionError):
        timeline.GetSetting()
    assert len(interface(stubs())["TimelineItem"]) > 70


def otio(name: str, gap: int, duration: int, start: int, *effects: Dict[str, Any]) -> Dict[str, Any]:
    """A timeline of one clip behind a gap, as Resolve exports it; media that starts at timecode 01:00:00:00."""

    def time(value: float) -> Dict[str, Any]:
        return {"OTIO_SCHEMA": "RationalTime.1", "rate": 23.976, "value": value}

    def span(begin: float, length: float) -> Dict[str, Any]:
        return {"OTIO_SCHEMA": "TimeRange.1", "start_time": time(begin), "duration": time(length)}

    media = {"OTIO_SCHEMA": "ExternalReference.1", "available_range": span(86400.0, 14.0), "target_url": name}
    clip = {
        "OTIO_SCHEMA": "Clip.2",
        "name": name,
        "source_range": span(86400.0 + start, float(duration)),
        "effects": list(effects),
        "media_references": {"DEFAULT_MEDIA": media},
        "active_media_reference_key": "DEFAULT_MEDIA",
    }
    children = [{"OTIO_SCHEMA": "Gap.1", "source_range": span(0.0, float(gap))}, clip]
    track = {"OTIO_SCHEMA": "Track.1", "kind": "Video", "children": children}
    return {"OTIO_SCHEMA": "Timeline.1", "tracks": {"OTIO_SCHEMA": "Stack.1", "children": [track]}}


def fcpxml(name: str, record: int, duration: int, start: str, points: str) -> str:
    """A timeline at 23.976 that starts at 01:00:00:00, with one clip above a gap; its media starts at 00:10:00:00."""
    frame = Fraction(1001, 24000)
    return f"""<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE fcpxml><fcpxml version="1.10">
<resources><asset id="r1" name="{name}" start="{14400 * frame}s" duration="14014/24000s"/></resources>
<library><event><project><sequence tcStart="{86400 * frame}s"><spine>
<gap offset="{86400 * frame}s" start="3600s" duration="100s">
<asset-clip ref="r1" lane="1" name="{name}" offset="{3600 + record * frame}s" start="{start}"
 duration="{duration * frame}s"><timeMap>{points}</timeMap></asset-clip>
</gap></spine></sequence></project></event></library></fcpxml>"""


def test_a_speed_curve_of_the_timeline_is_followed(
    kairos: Path, movies: Dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    studio = Studio(movie_item(movies["23.976"]), "23.976", RECORD, 9, 4)
    studio.item.source_end = 10
    studio.line.start = 86400
    studio.line.otio = otio(studio.item.name, 24, 9, 4, {"OTIO_SCHEMA": "TimeEffect.1", "effect_name": "Curve"})
    frame = Fraction(1001, 24000)
    # Half speed for four frames from source frame 4 on, then full speed; the clip's own time begins at 100 s.
    keys = ((0, 4), (4, 6), (8, 10))
    points = "".join(
        f'<timept time="{100 + at * frame}s" value="{(14400 + source) * frame}s" interp="smooth2" inTime="1/24s"/>'
        for at, source in keys
    )
    studio.line.fcpxml = fcpxml(studio.item.name, 24, 9, "100s", points)
    request = slow(studio, timing="timeline")
    assert (request["startFrame"], request["endFrame"], request["recordFrame"]) == (0, 9, RECORD)
    found = disc_positions(Path(request["mediaPoolItem"].GetClipProperty("File Path")))
    wanted = [4, 4.5, 5, 5.5, 6, 7, 8, 9, 10]
    assert max(abs(a - b) for a, b in zip(found, wanted)) < 0.125 and len(found) == 9
    assert "it changes at once here" in capsys.readouterr().out


def test_a_speed_curve_that_no_export_describes_is_refused(kairos: Path, movies: Dict[str, Path]) -> None:
    from kairos_resolve.exports import as_timeline_plays
    from kairos_resolve.reading import here, placed

    studio = Studio(movie_item(movies["23.976"]), "23.976", RECORD, 8, 5)
    where = here(studio.resolve)
    clip = placed(where.item, where.rate)
    studio.line.otio = otio(studio.item.name, 24, 8, 5, {"OTIO_SCHEMA": "TimeEffect.1", "effect_name": "Retime Curve"})
    with pytest.raises(BadRequest, match="speed curve"):
        as_timeline_plays(where, clip, "", 0, print)
    studio.line.fcpxml = fcpxml(
        "another.mov", 24, 8, "0s", '<timept time="0s" value="0s"/><timept time="1s" value="1s"/>'
    )
    with pytest.raises(BadRequest, match="speed curve"):
        as_timeline_plays(where, clip, "", 0, print)
    studio.line.otio, studio.line.fcpxml = None, ""
    with pytest.raises(BadRequest, match="did not export"):
        as_timeline_plays(where, clip, "", 0, print)
    studio.line.otio = otio(studio.item.name, 24, 8, 5, {"OTIO_SCHEMA": "FreezeFrame.1", "time_scalar": 0})
    with pytest.raises(BadRequest, match="freeze frame"):
        as_timeline_plays(where, clip, "", 0, print)


@pytest.mark.parametrize(
    "text",
    ["", "<a/>", "<fcpxml><sequence><spine><clip><timeMap/></clip></spine></sequence></fcpxml>", "<!ENTITY x 'y'><a/>"],
)
def test_a_damaged_fcpxml_is_told(text: str) -> None:
    from kairos_nodes.fcpxml_read import read_curves

    with pytest.raises(BadRequest, match="FCPXML"):
        read_curves(text)
