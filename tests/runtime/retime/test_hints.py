"""What the artist knows about the motion makes the result better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kairos.errors import BadRequest
from support import made
from support.exr import read_exr, rgb_of
from support.jobs import frame_at, retime


def error(clip: made.Clip, directory: Path, **settings: Any) -> float:
    """Root mean square error of the three in-betweens half-way against the truth."""
    ran = retime(clip, directory, between=1, **settings)
    errors = [rgb_of(read_exr(ran.file(frame_at(2 * k + 1)))) - clip.rgb(k + 0.5) for k in range(3)]
    return float(np.sqrt(np.mean(np.square(errors))))


def test_a_matte_keeps_object_and_ground_apart(tmp_path: Path) -> None:
    clip = made.object_over(tmp_path / "plate", "texture", object_velocity=(16.0, 6.0), ground_velocity=(-10.0, -4.0))
    without = error(clip, tmp_path / "without")
    assert error(clip, tmp_path / "layer", matte="matte.a") < 0.9 * without


def test_a_matte_may_be_a_sequence_of_its_own(tmp_path: Path) -> None:
    clip = made.object_over(tmp_path / "plate", ground="texture", frames=4)
    matte = made.write_clip(tmp_path / "matte", "roto", 4, lambda time: {"A": clip.truth(time)["matte.a"]})
    inside = error(clip, tmp_path / "inside", matte="matte.a")
    assert error(clip, tmp_path / "own", matte=matte.pattern) == pytest.approx(inside, rel=1e-3)


def test_the_renderers_vectors_are_followed_where_matching_fails(tmp_path: Path) -> None:
    clip = made.object_over(tmp_path / "plate", "stripes", object_velocity=(-9.0, 3.0))
    without = error(clip, tmp_path / "without")
    assert error(clip, tmp_path / "with", vectors_in="forward:nuke") < 0.5 * without


def test_a_layer_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    clip = made.object_over(tmp_path / "plate", frames=2)
    for settings in ({"matte": "roto"}, {"vectors_in": "velocity"}):
        with pytest.raises(BadRequest, match="forward"):
            retime(clip, tmp_path / "out", between=1, **settings)
