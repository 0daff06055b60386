"""The command line: what it prints, and how it ends."""

from __future__ import annotations

import json
import resource
import subprocess
import time
from pathlib import Path

import pytest
from support import made
from support.jobs import command, environment, kairos
from support.shared import shared_data

REFUSED = {"openexr-images_Chromaticities_Rec709_YC", "openexr-images_v2_LowResLeftView_Trunks", "gaffer_deepFloatPoints"}
"""Chroma-subsampled and deep files: refused with one clear line."""

GIB = 2**30


def data(folder: str) -> list[Path]:
    """Files of a shared folder; empty where there is no shared data (a test of its own skips then)."""
    root = Path(__file__).resolve().parents[4] / "shared" / "data" / folder
    return sorted(root.iterdir()) if root.is_dir() else []


def test_the_shared_files_are_there() -> None:
    assert len(list((shared_data() / "damaged-exr").iterdir())) == 25
    assert len(list((shared_data() / "exr-variety").iterdir())) == 24


@pytest.mark.parametrize("file", data("exr-variety"), ids=lambda file: file.stem)
def test_every_kind_of_exr_is_read_or_refused_in_one_line(file: Path) -> None:
    done = kairos("info", str(file))
    assert "Traceback" not in done.stderr
    if file.stem in REFUSED:
        assert done.returncode in (1, 2)
        assert len(done.stderr.strip().splitlines()) == 1 and file.name in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert "display window" in done.stdout.lower()


def limited() -> None:
    """1 GiB of address space would refuse torch's libraries; peak memory is checked after the run instead."""
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))


@pytest.mark.parametrize("file", data("damaged-exr"), ids=lambda file: file.name[-24:])
def test_damaged_files_end_in_one_clear_line_quickly_and_small(file: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out.exr")
    started = time.monotonic()
    process = subprocess.Popen(
        command("inbetween", str(file), str(file), out.replace(".exr", ".%04d.exr"), "--count", "1", "--device", "cpu"),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limited,
    )  # fmt: skip
    _, errors = process.communicate(timeout=60)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode in (0, 1, 2), (process.returncode, errors)
    assert "Traceback" not in errors
    if process.returncode:
        assert len([line for line in errors.splitlines() if line.startswith("kairos:")]) == 1, errors
    assert time.monotonic() - started < 10
    assert usage.ru_maxrss * 1024 < GIB


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
        (["retime", "nothing.%04d.exr", "out.%04d.exr", "--speed", "0.5"], 2, "nothing"),
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
    arguments: list[str], status: int, words: str, tmp_path: Path
) -> None:
    clip = made.pan(tmp_path / "plate", frames=2)
    places = {"plate": clip.pattern, "out": str(tmp_path / "out.%04d.exr")}
    done = kairos(*(argument.format(**places) for argument in arguments))
    assert done.returncode == status, (done.returncode, done.stderr)
    assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not list(tmp_path.glob("out.*"))


def test_info_shows_layers_windows_rate_and_range(tmp_path: Path) -> None:
    clip = made.timecoded(tmp_path)
    found = json.loads(kairos("info", clip.pattern, "--json").stdout)
    text = json.dumps(found)
    assert "24000/1001" in text and "01:00:00:22" in text and "1001" in text


def test_the_manifest_and_the_reference_match_the_definitions() -> None:
    done = kairos("manifest", "--check")
    assert done.returncode == 0, done.stderr


def test_engines_says_what_can_run_here() -> None:
    rows = json.loads(kairos("engines", "--json").stdout)
    assert [row["why_not"] for row in rows if row["id"] == "classic"] == [""]


def test_doctor_runs_everywhere() -> None:
    done = kairos("doctor")
    assert done.returncode == 0 and "engine" in done.stdout
