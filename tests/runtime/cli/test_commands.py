"""The command line: what it prints, and how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kairos.cli.report import Bar
from kairos.errors import FrameError, ImageError
from kairos.events import Event
from kairos.images import open_shot
from kairos.inbetween import run_inbetween
from kairos_nodes.jobs import InbetweenJob
from support import made
from support.exr import write_exr
from support.jobs import environment, kairos, kairos_here
from support.shared import shared_data

REFUSED = {"openexr-images_Chromaticities_Rec709_YC", "openexr-images_v2_LowResLeftView_Trunks"}
"""A chroma-subsampled and a deep file. (gaffer_deepFloatPoints is flat, whatever its name says.)"""

GIB = 2**30


def data(folder: str) -> list[Path]:
    """Files of a shared folder; empty where there is no shared data (a test of its own skips then)."""
    root = Path(__file__).resolve().parents[4] / "shared" / "data" / folder
    return sorted(root.iterdir()) if root.is_dir() else []


def test_the_shared_files_are_there() -> None:
    assert len(list((shared_data() / "damaged-exr").iterdir())) == 25
    assert len(list((shared_data() / "exr-variety").iterdir())) == 24


@pytest.mark.parametrize("file", data("exr-variety"), ids=lambda file: file.stem)
def test_every_kind_of_file_goes_through_a_whole_job_or_is_refused_in_one_line(file: Path, tmp_path: Path) -> None:
    job = InbetweenJob(str(file), str(file), str(tmp_path / "out.%04d.exr"), 1, device="cpu")
    if file.stem in REFUSED:
        with pytest.raises(ImageError, match=re.escape(file.name)) as refused:
            run_inbetween(job, lambda event: None)
        assert "\n" not in str(refused.value) and refused.value.remedy
        return
    run_inbetween(job, lambda event: None)
    source, between = (open_shot(str(name)).read(0) for name in (file, sorted(tmp_path.glob("*.exr"))[1]))
    assert between.display == source.display
    for ours, theirs in zip(between.parts, source.parts):
        assert (ours.channels, ours.window) == (theirs.channels, theirs.window)
        if source.scene_linear:
            assert np.array_equal(ours.planes, theirs.planes, equal_nan=True), "between a frame and itself is the frame"


@pytest.mark.parametrize(
    ("planes", "size", "said"),
    [
        ("R G B", (24, 40), r"a\.exr has the display window 48x32\+0\+0, .*b\.exr has 40x24\+0\+0"),
        ("R G B Z", (32, 48), r"a\.exr and .*b\.exr have different layers or channels"),
        ("R G", (32, 48), r"a\.exr and .*b\.exr have different layers or channels"),
    ],
)
def test_key_frames_that_do_not_fit_are_called_by_their_names(
    tmp_path: Path, planes: str, size: tuple[int, int], said: str
) -> None:
    """They come from two takes: neither has a frame number that the other's would follow."""
    keys = []
    for name, names, shape in (("a", "R G B", (32, 48)), ("b", planes, size)):
        keys.append(write_exr(tmp_path / f"{name}.exr", {each: np.zeros(shape, np.float32) for each in names.split()}))
    job = InbetweenJob(str(keys[0]), str(keys[1]), str(tmp_path / "out.%04d.exr"), 1, device="cpu")
    with pytest.raises(FrameError, match=said) as refused:
        run_inbetween(job, lambda event: None)
    assert "key frame" in refused.value.remedy and "--range" not in refused.value.remedy


def test_paths_are_shown_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    """Square brackets are markup to the library that prints; in the names of shots they are letters."""
    bar = Bar("inbetween")
    told = {"done": 1, "total": 2, "rate": 1.0, "eta": 1.0, "stage": "generate", "step": 1, "steps": 2}
    bar(Event("progress", {**told, "preview": "/cache/[bold]/[/x]/preview.png"}))
    bar(Event("warning", {"message": "/plates/[red]a.exr is odd.", "remedy": ""}))
    bar.close()
    shown = capfd.readouterr().err
    assert "/cache/[bold]/[/x]/preview.png" in shown and "/plates/[red]a.exr is odd." in shown


READ = """
import sys
from kairos.errors import KairosError
from kairos.images import open_shot
status = 0
try:
    with open_shot(sys.argv[1]) as shot:
        shot.read(0)
except KairosError as error:
    print(error)
    status = error.exit_status
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
sys.exit(status)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("file", data("damaged-exr"), ids=lambda file: file.name[-24:])
def test_damaged_files_are_read_whole_or_end_in_one_clear_line_quickly_and_small(file: Path) -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", READ, str(file)], env=environment(), capture_output=True, text=True, timeout=60
    )
    *lines, peak = done.stdout.splitlines()
    assert done.returncode in (0, 1, 2) and "Traceback" not in done.stderr, (done.returncode, done.stderr)
    assert len(lines) == (1 if done.returncode else 0), done.stdout
    assert all(file.name in line for line in lines)
    assert time.monotonic() - started < 10
    assert int(peak) * 1024 < GIB


def test_a_damaged_file_ends_the_command_with_one_line(tmp_path: Path) -> None:
    file = shared_data() / "damaged-exr" / "oom_exr"
    done = kairos("inbetween", str(file), str(file), str(tmp_path / "out.%04d.exr"), "--count", "1")
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "oom_exr" in done.stderr, done.stderr


def test_json_lines_tell_the_whole_story(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=3)
    done = kairos("retime", clip.pattern, str(tmp_path / "o.%04d.exr"), "--between", "1", "--json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "planned" and kinds[-1] == "done" and kinds.count("frame_done") == 5
    assert events[0]["frames"] == 5 and events[-1]["missing"] == []


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["retime", "nothing.%04d.exr", "out.%04d.exr", "--speed", "0.5"], 1, "nothing"),
        (["retime", "{plate}", "{out}"], 2, "--speed"),
        (["retime", "{plate}", "{out}", "--speed", "0"], 2, "--speed"),
        (["retime", "{plate}", "{out}", "--speed", "fast"], 2, "--speed"),
        (["retime", "{plate}", "{out}", "--speed", "2", "--between", "1"], 2, "exclude"),
        (["retime", "{plate}", "{out}", "--speed", "1", "--engine", "kronos"], 2, "kronos"),
        (["retime", "{plate}", "{out}", "--speed", "1", "--frames", "5-6"], 2, "1001-1002"),
        (["retime", "{plate}", "{out}", "--to-fps", "60"], 2, "--fps"),
        (["retime", "{plate}", "{out}", "--speed", "1", "--device", "cuda"], 1, "CUDA"),
        (["retime", "{plate}", "{out}", "--speed", "1", "--channels", "roto"], 2, "roto"),
        (["retime", "{plate}", "{out}", "--speed", "1", "--colorspace", "Kodachrome"], 2, "Kodachrome"),
        (["wobble"], 2, "wobble"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_requests_end_with_one_line_that_names_the_trouble(
    arguments: list[str], status: int, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = made.pan(tmp_path / "plate", frames=2, size=(48, 64))
    places = {"plate": clip.pattern, "out": str(tmp_path / "out.%04d.exr")}
    done = kairos_here(capfd, *(argument.format(**places) for argument in arguments))
    assert done.returncode == status, (done.returncode, done.stderr)
    assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not list(tmp_path.glob("out.*"))


def test_a_process_ends_with_the_status_and_the_line_of_its_command(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["retime", "in.%04d.exr", "out.%04d.exr", "--speed", "fast"]
    done, here = kairos(*arguments), kairos_here(capfd, *arguments)
    assert done.returncode == here.returncode == 2
    assert (done.stdout, done.stderr) == (here.stdout, here.stderr) and not done.stdout


def test_info_shows_layers_windows_rate_and_range(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = made.timecoded(tmp_path)
    found = json.loads(kairos_here(capfd, "info", clip.pattern, "--json").stdout)
    text = json.dumps(found)
    assert "24000/1001" in text and "01:00:00:22" in text and "1001" in text


def test_the_manifest_and_the_reference_match_the_definitions(capfd: pytest.CaptureFixture[str]) -> None:
    done = kairos_here(capfd, "manifest", "--check")
    assert done.returncode == 0, done.stderr


def test_engines_says_what_can_run_here(capfd: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(kairos_here(capfd, "engines", "--json").stdout)
    assert [row["why_not"] for row in rows if row["id"] == "classic"] == [""]


def test_doctor_runs_everywhere(capfd: pytest.CaptureFixture[str]) -> None:
    done = kairos_here(capfd, "doctor")
    assert done.returncode == 0 and "engine" in done.stdout
