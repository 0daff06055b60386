"""The bench of adaptation."""

from __future__ import annotations

from pathlib import Path

import pytest

from kairos.bench.adapt import NAMES, Row, measure, render
from kairos.bench.clips import CLIPS, split
from kairos.engines.swift.network import Swift
from kairos.errors import BadRequest
from kairos.training.adapt import Adapted, AdaptSettings, Gain
from kairos.training.triplets import LEAST_FRAMES
from support.shared import shared_data


def row(kept: bool, odd_after: float) -> Row:
    held = (Gain(2, 30.0, 30.5), Gain(4, 31.0, 31.3))
    result = Adapted(Swift(), kept, "because", held, 1.0, (1, 3), 100, 60.0)
    return Row("clip", result, [28.0, 29.0], [28.0, odd_after])


def test_what_is_not_kept_gains_nothing() -> None:
    assert row(True, 29.5).held_gain == pytest.approx(0.4)
    assert row(False, 29.0).held_gain == 0.0


def test_the_table_ends_with_the_mean_gains() -> None:
    text = render([row(True, 29.5), row(False, 29.0)])
    assert "held-back frames +0.200 dB, odd frames +0.125 dB" in text
    assert " yes " in text and " no " in text


def test_every_clip_of_the_bench_has_even_frames_enough() -> None:
    known = {clip.name: clip for clip in CLIPS}
    for name in NAMES:
        kept, _ = split(known[name].load(shared_data()))
        assert len(kept) >= LEAST_FRAMES, name


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="nowhere"):
        measure(tmp_path / "nowhere", AdaptSettings())
