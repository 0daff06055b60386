"""What ``kairos info`` tells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kairos.errors import KairosError
from kairos.images import write_image
from kairos.images.inspect import describe, inspect
from support.frames import FILM, frame_of, part_of, ramp
from support.shared import shared_data


def test_a_stereo_plate_is_told_whole() -> None:
    found = json.loads(json.dumps(inspect(str(shared_data("beachball") / "multipart.%04d.exr"))))
    assert found["kind"] == "sequence"
    assert found["format"] == "openexr"
    assert found["frames"] == {"first": 1, "last": 3, "count": 3, "missing": []}
    assert found["views"] == ["right", "left"]
    assert found["display_window"] == {"x": 0, "y": 0, "width": 2048, "height": 1556}
    assert len(found["parts"]) == 10
    assert {part["compression"] for part in found["parts"]} == {"zips"}
    forward = next(layer for layer in found["layers"] if layer["name"] == "forward" and layer["view"] == "left")
    assert forward["policy"] == "vector"
    assert forward["channels"] == ["forward.u", "forward.v"]
    assert forward["types"] == ["half"]


def test_a_movie_is_told_whole() -> None:
    found = inspect(str(shared_data("car-turn", "car-turn.mp4")))
    assert found["kind"] == "movie"
    assert found["rate"] == {"exact": "25", "fps": 25.0}
    assert found["frames"]["count"] == 81
    assert found["codec"] == "h264 High"
    assert not found["scene_linear"]


def test_gaps_rate_and_timecode_are_reported_not_refused(tmp_path: Path) -> None:
    for number in (1001, 1002, 1005):
        frame = frame_of(part_of("R G B", ramp(3)), rate=FILM, timecode="01:00:00:00")
        write_image(tmp_path / f"a.{number}.exr", frame, compression="dwaa:45")
    found = inspect(str(tmp_path / "a.%04d.exr"))
    assert found["frames"]["missing"] == [1003, 1004]
    assert found["rate"] == {"exact": "24000/1001", "fps": 23.976}
    assert found["timecode"] == "01:00:00:00"
    assert found["parts"][0]["compression"] == "dwaa:45"
    text = describe(found)
    for word in ("1001-1005", "1003-1004", "24000/1001", "01:00:00:00", "dwaa:45", "rgba", "blend"):
        assert word in text


def test_the_text_of_every_readable_file_is_clean() -> None:
    for path in sorted(shared_data("exr-variety").iterdir()):
        try:
            text = describe(inspect(str(path)))
        except KairosError:
            continue
        assert "None" not in text, path.name
        assert all(len(line) == len(line.rstrip()) for line in text.splitlines())


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.exr").write_bytes(np.zeros(10, np.uint8).tobytes())
    with pytest.raises(KairosError, match=r"a\.exr"):
        inspect(str(tmp_path / "a.exr"))
