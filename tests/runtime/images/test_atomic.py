"""Files are there whole or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from kairos.errors import ImageError
from kairos.images import atomic, clean_leftovers, read_fingerprint, write_image
from support.frames import frame_of, part_of, ramp, read_back
from support.shared import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("runtime", "nodes", "tests"))}


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
        check=False,
    )


FILL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from kairos.errors import ImageError
from kairos.images import write_image
from support.frames import frame_of, part_of
limit = int(sys.argv[2])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
noise = np.random.default_rng(0).random((3, 400, 400), np.float32)
try:
    for number in range(100):
        path = Path(sys.argv[1].format(number))
        depth = "half" if path.suffix == ".exr" else "uint8"
        write_image(path, frame_of(part_of("R G B", noise, (depth,))), fingerprint="f" * 64)
except ImageError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX file limits")
@pytest.mark.parametrize(
    "suffix", [".exr", ".png", ".tif", ".dpx"]
)  # JPEG is made in memory, which the limit bounds too
def test_a_write_that_the_system_stops_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    """A limit of 50 kB on every file stands for the full disk: noise of 400 x 400 does not fit."""
    done = run(FILL, str(tmp_path / ("a.{:04d}" + suffix)), "50000")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("Disk full writing", str(tmp_path))), done.stdout
    assert "a.0000" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.fixture()
def small_disk(tmp_path: Path) -> Path:
    """A disk of 4 MiB; skipped where this user may not mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    tool = shutil.which("mount")
    if (
        tool is None
        or subprocess.run([tool, "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False).returncode
    ):
        pytest.skip("mounting a small disk is not allowed here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("suffix", [".exr", ".png", ".jpg", ".tif", ".dpx"])
def test_a_full_disk_says_so_keeps_finished_frames_and_leaves_no_half_file(small_disk: Path, suffix: str) -> None:
    done = run(FILL, str(small_disk / ("a.{:04d}" + suffix)), "0")
    assert "Disk full writing" in done.stdout, done.stdout + done.stderr
    assert "finished frames are kept" in done.stdout
    files = sorted(small_disk.iterdir())
    assert files, "some frames fitted"
    assert all(path.name.startswith("a.") for path in files), files
    assert all(read_fingerprint(path) == "f" * 64 for path in files), "every file is whole"


LOOP = """
import sys
from pathlib import Path
import numpy as np
from kairos.images import write_image
from support.frames import frame_of, part_of
noise = np.random.default_rng(0).random((4, 300, 300), np.float32)
print("ready", flush=True)
for number in range(10_000):
    write_image(Path(sys.argv[1]) / f"a.{number % 5:04d}.exr", frame_of(part_of("R G B A", noise)), fingerprint="whole")
"""


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_kill_9_at_any_moment_leaves_whole_files_and_leftovers_that_are_cleaned(tmp_path: Path) -> None:
    seen_leftovers = 0
    for turn in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", LOOP, str(tmp_path)], stdout=subprocess.PIPE, env=ENVIRONMENT, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.11 + 0.037 * turn)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        files = list(tmp_path.iterdir())
        temporaries = [path for path in files if atomic.is_temporary(path)]
        assert all(read_fingerprint(path) == "whole" for path in files if path not in temporaries)
        assert all(read_fingerprint(path) == "" for path in temporaries)
        assert clean_leftovers(tmp_path / "a.%04d.exr") == len(temporaries)
        seen_leftovers += len(temporaries)
    assert seen_leftovers, "no kill hit a file in the making: the test proves nothing"
    assert not any(atomic.is_temporary(path) for path in tmp_path.iterdir())


def test_leftovers_of_the_living_and_of_other_machines_stay(tmp_path: Path) -> None:
    with atomic.written_whole(tmp_path / "a.0001.exr") as mine:
        mine.write_bytes(b"still being written")
        other = tmp_path / mine.name.replace(f"~{os.getpid()}~", "~999999999~").replace(
            ".kairos~", ".kairos~other-host-"
        )
        other.write_bytes(b"written elsewhere")
        (tmp_path / ".kairos~notes.txt").write_text("somebody's own file")
        assert clean_leftovers(tmp_path) == 0
        assert mine.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([".kairos~notes.txt", other.name, "a.0001.exr"])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell when a process began")
def test_a_process_number_given_out_again_does_not_protect_leftovers(tmp_path: Path) -> None:
    with atomic.written_whole(tmp_path / "a.exr") as mine:
        mine.write_bytes(b"x")
        host, process = mine.name.split("~")[1:3]
    reused = tmp_path / f".kairos~{host}~{process}~12345~0badf00d~frame.exr"
    reused.write_bytes(b"x")
    assert clean_leftovers(tmp_path) == 1
    assert not reused.exists()


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "a.exr"
    write_image(target, frame_of(part_of("R", ramp(1))))
    before = target.read_bytes()
    with pytest.raises(RuntimeError), atomic.written_whole(target) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError("the encoder gave up")
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.exr"]


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    write_image(tmp_path / "new" / "deep" / "a.exr", frame_of(part_of("R", ramp(1))))
    assert read_back(tmp_path / "new" / "deep" / "a.exr").parts[0].channels == ("R",)


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ImageError, match=r"a\.exr cannot be written"):
        write_image(tmp_path / "file" / "a.exr", frame_of(part_of("R", ramp(1))))


def test_threads_may_write_and_read_side_by_side(tmp_path: Path) -> None:
    planes = [ramp(4, (200, 300), seed=seed) for seed in range(8)]
    wrong = []

    def work(index: int) -> None:
        path = tmp_path / f"a.{index:04d}.exr"
        for _ in range(3):
            write_image(path, frame_of(part_of("R G B A", planes[index])))
            if not np.array_equal(read_back(path).parts[0].planes, planes[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
