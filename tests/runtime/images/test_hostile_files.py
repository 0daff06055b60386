"""Files that are odd, cut short, damaged or no images at all: read whole, or refused in one clear line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest

from kairos.errors import ImageError, KairosError
from kairos.frame import Attribute
from kairos.images import open_shot, read_fingerprint, write_image
from support.exr import read_exr
from support.frames import differences, frame_of, open_one, part_of, ramp, read_back
from support.shared import ROOT, shared_data

REFUSED = {
    "openexr-images_Chromaticities_Rec709_YC.exr": "subsampled",
    "openexr-images_v2_LowResLeftView_Trunks.exr": "deep",
}
"""Files of exr-variety that cannot be read, and the word that says why. (gaffer_deepFloatPoints.exr is a flat file in
spite of its name: its header has no deep type and its version no deep flag.)"""

READER = """
import sys
from pathlib import Path
from kairos.errors import KairosError
from kairos.images import open_shot
for name in sys.argv[1:]:
    try:
        with open_shot(name) as shot:
            print("read", Path(name).name, len(shot.read(0).parts))
    except KairosError as error:
        print("refused", Path(name).name, str(error).replace(chr(10), "<newline>"))
# Not ru_maxrss: Linux hands that on from the process that started this one, the whole test run's peak.
status = Path("/proc/self/status")
print("peak", status.read_text().split("VmHWM:")[1].split()[0] if status.exists() else 0)
"""


def run_reader(files: List[Path], timeout: float) -> Dict[str, str]:
    """What a process of its own says per file, held to 1 GiB where Linux can tell. Fails where it died."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("runtime", "nodes"))}
    done = subprocess.run(
        [sys.executable, "-c", READER, *map(str, files)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, f"the process died with {done.returncode}: {done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    assert int(lines[-1].split()[1]) < 2**20, "kilobytes: over 1 GiB"
    said = {}
    for line in lines[:-1]:
        verdict, name, rest = line.split(" ", 2)
        said[name] = f"{verdict} {rest}"
    return said


def variety() -> List[Path]:
    return sorted(path for path in shared_data("exr-variety").iterdir() if path.is_file())


def test_every_odd_but_sound_file_is_read_as_openimageio_reads_it() -> None:
    files = variety()
    assert len(files) == 24
    for path in files:
        if path.name in REFUSED:
            with pytest.raises(ImageError, match=REFUSED[path.name]) as caught:
                open_one(path)
            assert "\n" not in str(caught.value)
            continue
        frame = read_back(path)
        if path.suffix != ".exr":
            continue
        for index, part in enumerate(frame.parts):
            expected = read_exr(path, index)
            assert list(expected) == list(part.channels), path.name
            for name, plane in zip(part.channels, part.planes):
                assert np.array_equal(expected[name], plane, equal_nan=True), f"{path.name} {name}"


@pytest.mark.parametrize(
    ("name", "data", "display"),
    [
        # Data and display windows of these files, as their names and the OpenEXR image collection's README have them.
        ("openexr-images_DisplayWindow_t05", (0, 0, 400, 300), (30, 20, 340, 260)),
        ("openexr-images_DisplayWindow_t08", (30, 40, 400, 300), (0, 0, 501, 401)),
        ("openexr-images_DisplayWindow_t12", (0, 0, 400, 300), (0, -100, 400, 100)),
        ("oiio-images_grid-overscan", (-250, -250, 1500, 1500), (0, 0, 1000, 1000)),
        ("gaffer_negativeDisplayWindow", (2, -4, 34, 34), (-5, -5, 26, 26)),
    ],
)
def test_windows_are_read_where_they_are(name: str, data: tuple[int, ...], display: tuple[int, ...]) -> None:
    with open_one(shared_data("exr-variety", f"{name}.exr")) as shot:
        header = shot.header(0)
    assert tuple(header.parts[0].window) == data
    assert tuple(header.display) == display


def test_every_damaged_file_is_refused_in_one_line_within_time_and_memory() -> None:
    """25 fuzzed and truncated files, in one process with 1 GiB and ten seconds for each at most."""
    files = sorted(shared_data("damaged-exr").iterdir())
    said = run_reader(files, timeout=60)
    assert len(said) == len(files) == 25
    for name, answer in said.items():
        assert answer.startswith(("read ", "refused ")), name
        assert "<newline>" not in answer
        if answer.startswith("refused"):
            assert name in answer, "the line names the file"


@pytest.mark.parametrize("share", [0.0002, 0.003, 0.01, 0.1, 0.5, 0.9, 0.999, 0.999999])
def test_a_frame_cut_short_is_refused_not_black(tmp_path: Path, share: float) -> None:
    whole = shared_data("beachball", "multipart.0001.exr").read_bytes()
    cut = tmp_path / "cut.0001.exr"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImageError, match=r"cut\.0001\.exr"):
        read_back(cut)
    assert read_fingerprint(cut) == ""


@pytest.mark.parametrize("compression", ["none", "zip", "piz", "dwaa:45", "b44", "pxr24", "rle"])
def test_cut_or_scribbled_files_of_every_compression_never_come_back_silently_whole(
    tmp_path: Path, compression: str
) -> None:
    path = tmp_path / "a.exr"
    write_image(path, frame_of(part_of("R G B", ramp(3, (80, 64)))), compression=compression)
    data = path.read_bytes()
    cut = tmp_path / "cut.exr"
    cut.write_bytes(data[:-40])
    with pytest.raises(ImageError):
        read_back(cut)
    hole = tmp_path / "hole.exr"
    spec = oiio.ImageInput.open(str(path)).spec()
    assert spec.height == 80
    # The chunk offset table begins right after the header; a zeroed first entry is a chunk never written.
    start = data.index(b"screenWindowWidth\0float\0") + len(b"screenWindowWidth\0float\0") + 8
    while data[start] != 0:
        start = data.index(b"\0", data.index(b"\0", start) + 1) + 1
        start += 4 + int.from_bytes(data[start : start + 4], "little")
    start += 1
    assert 0 < int.from_bytes(data[start : start + 8], "little") < len(data), "a chunk's offset"
    hole.write_bytes(data[:start] + bytes(8) + data[start + 8 :])
    try:
        found = read_back(hole)
    except ImageError:
        return
    assert np.array_equal(found.parts[0].planes, read_back(path).parts[0].planes), "rebuilt whole, or refused"


def test_missing_tiles_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "tiled.exr"
    write_image(path, frame_of(part_of("R G B", ramp(3, (128, 128)), tile=(32, 32), compression="zip")))
    data = path.read_bytes()
    (tmp_path / "cut.exr").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError):
        read_back(tmp_path / "cut.exr")


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "a.exr").touch()
    with pytest.raises(ImageError, match="empty"):
        open_one(tmp_path / "a.exr")


@pytest.mark.parametrize("suffix", [".exr", ".png", ".jpg", ".tif", ".dpx"])
def test_text_with_an_images_ending_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"notes{suffix}"
    path.write_text("These are notes, not pixels.\n" * 50)
    with pytest.raises(ImageError, match=f"notes\\{suffix}"):
        open_one(path)


def test_text_in_an_old_code_page_is_read_and_written_on(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    metadata = {"artist": Attribute("string", "Jorg XX"), "shot": Attribute("string", "sh010")}
    write_image(path, frame_of(part_of("R G B", ramp(3), metadata=metadata)))
    path.write_bytes(path.read_bytes().replace(b"Jorg XX", b"J\xf6rg XX"))
    frame = read_back(path)
    write_image(path, frame)
    assert differences(frame, read_back(path)) == []
    part = frame.parts[0]
    assert part.metadata["shot"].value == "sh010"
    assert part.metadata["artist"].value == "J\xf6rg XX"
    assert np.array_equal(part.planes, ramp(3))


def test_an_exr_without_its_ending_is_still_read(tmp_path: Path) -> None:
    write_image(tmp_path / "a.exr", frame_of(part_of("R G B", ramp(3))))
    (tmp_path / "a.exr").rename(tmp_path / "plate")
    assert read_back(tmp_path / "plate").parts[0].channels == ("R", "G", "B")


def test_a_folder_named_like_an_image_is_taken_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.exr").mkdir()
    with pytest.raises(KairosError, match="holds no images"):
        open_one(tmp_path / "x.exr")


def test_a_folder_in_the_place_of_a_frame_is_a_missing_frame(tmp_path: Path) -> None:
    write_image(tmp_path / "a.0001.exr", frame_of(part_of("R", ramp(1))))
    (tmp_path / "a.0002.exr").mkdir()
    write_image(tmp_path / "a.0003.exr", frame_of(part_of("R", ramp(1))))
    with open_shot(str(tmp_path / "a.%04d.exr"), on_missing="hold") as shot:
        assert shot.missing == {1}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_an_unreadable_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    write_image(path, frame_of(part_of("R", ramp(1))))
    path.chmod(0)
    with pytest.raises(ImageError, match="Permission denied"):
        open_one(path)


def test_a_header_that_announces_more_than_the_file_can_hold_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    write_image(path, frame_of(part_of("R", ramp(1, (64, 64)))))
    data = bytearray(path.read_bytes())
    box = data.index(b"dataWindow\0box2i\0") + len(b"dataWindow\0box2i\0") + 4
    data[box + 8 : box + 16] = (60_000 - 1).to_bytes(4, "little") * 2
    path.write_bytes(data)
    with pytest.raises(ImageError, match="announces"):
        open_one(path)
    # A 60000 x 60000 PNG of 100 bytes: the same lie in another format.
    png = tmp_path / "a.png"
    write_image(png, frame_of(part_of("R G B", ramp(3), ("uint8",)), scene_linear=False))
    data = bytearray(png.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    png.write_bytes(data)
    with pytest.raises(ImageError):
        read_back(png)


def test_randomly_damaged_files_never_bring_the_process_down(tmp_path: Path) -> None:
    """120 files with bytes changed at random, most of them in header and offset table where it hurts."""
    random = np.random.default_rng(7)
    made = []
    for index, compression in enumerate(("none", "rle", "zips", "zip", "piz", "pxr24", "b44", "dwaa:45")):
        part = part_of(
            "R G B id", ramp(4, (40, 48)), ("half", "float", "half", "uint"), tile=(16, 16) if index % 2 else None
        )
        path = tmp_path / f"sound{index}.exr"
        write_image(path, frame_of(part), compression=compression)
        data = path.read_bytes()
        for turn in range(15):
            broken = bytearray(data)
            reach = len(data) if turn % 3 == 0 else min(len(data), 700)
            for _ in range(int(random.integers(1, 6))):
                broken[int(random.integers(8, reach))] = int(random.integers(0, 256))
            made.append(tmp_path / f"broken{index}_{turn}.exr")
            made[-1].write_bytes(broken)
    said = run_reader(made, timeout=120)
    assert len(said) == 120
    assert sum(answer.startswith("refused") for answer in said.values()) > 20, "damage is noticed"
