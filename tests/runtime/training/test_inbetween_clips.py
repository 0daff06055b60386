"""Clips that generative inbetweening is tuned on: taken from shots, encoded once, kept."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest
import torch
from torch import Tensor

pytest.importorskip("diffusers")

from kairos.errors import BadRequest, KairosError
from kairos.training.clips import Clip, ClipSettings, prepared, read_clip, split, windows
from support.moving import Made, MadeSource, panned

SETTINGS = ClipSettings(frames=4, stride=2, canvas=(64, 64))


def seen(pictures: Tensor) -> Clip:
    """A clip that remembers its pictures' brightness."""
    bright = pictures.mean((1, 2, 3))
    return Clip(bright.reshape(-1, 1, 1, 1).expand(-1, 4, 8, 8), torch.zeros(2, 4, 8, 8), torch.zeros(2, 1, 4))


def test_windows_follow_one_another_and_skip_frames() -> None:
    frames = panned("a", 16, height=96, width=160)
    found = list(windows(Made(frames), SETTINGS))
    # A clip spans seven frames; the next begins where its own spacing goes on.
    assert [start for start, _ in found] == [0, 8]
    assert all(pictures.shape == (4, 3, 64, 64) for _, pictures in found)
    assert all(float(pictures.min()) >= 0 and float(pictures.max()) <= 1 for _, pictures in found)


def test_no_window_crosses_a_cut() -> None:
    frames = [*panned("one", 5, width=128), *panned("another", 12, width=128)]
    found = list(windows(Made(frames), SETTINGS))
    # The cut lies between frames 4 and 5; of every other frame the first behind it is 6.
    assert [start for start, _ in found] == [6]


def test_clips_are_encoded_once(tmp_path: Path) -> None:
    made: List[int] = []

    def encoder() -> object:
        made.append(1)
        return seen

    def all_of(*sources: MadeSource) -> List[Path]:
        return prepared(sources, SETTINGS, tmp_path, "model", encoder)  # type: ignore[arg-type]

    first, second = MadeSource("first", panned("first", 16)), MadeSource("second", panned("second", 8))
    files = all_of(first, second)
    assert len(files) == 3 and len(made) == 1
    assert all_of(first, second) == files and len(made) == 1
    assert (first.times, second.times) == (1, 1)
    clip = read_clip(files[0])
    assert clip.latents.shape == (4, 4, 8, 8)
    # What was lost is made again, and that alone.
    files[2].unlink()
    assert all_of(first, second) == files and len(made) == 2
    assert (first.times, second.times) == (1, 2)


def test_a_shot_that_is_named_twice_is_learned_from_once(tmp_path: Path) -> None:
    source = MadeSource("first", panned("first", 8))
    once = prepared([source], SETTINGS, tmp_path, "model", lambda: seen)
    # Four clips would leave none to learn from, were the last held back wherever it stands.
    assert prepared([source] * 4, SETTINGS, tmp_path, "model", lambda: seen) == once and len(once) == 1


def test_other_settings_or_another_model_are_other_clips(tmp_path: Path) -> None:
    source = MadeSource("first", panned("first", 16))
    one = prepared([source], SETTINGS, tmp_path, "model", lambda: seen)
    other = prepared([source], SETTINGS, tmp_path, "another", lambda: seen)
    dense = prepared([source], ClipSettings(4, 1, (64, 64)), tmp_path, "model", lambda: seen)
    assert len({each.parent for each in (*one, *other, *dense)}) == 3
    assert len(one) == 2 and len(dense) == 4


def test_shots_that_are_too_short_are_refused(tmp_path: Path) -> None:
    source = MadeSource("short", panned("short", 6))
    with pytest.raises(BadRequest, match="None of 1 shots has 7 frames without a cut"):
        prepared([source], SETTINGS, tmp_path, "model", lambda: seen)


def test_a_shot_that_gives_no_clip_is_named(tmp_path: Path) -> None:
    sources = [MadeSource("short", panned("short", 6)), MadeSource("long", panned("long", 7))]
    for _ in range(2):
        # A second time nothing is looked at any more, and it is said again.
        told: List[str] = []
        assert len(prepared(sources, SETTINGS, tmp_path, "model", lambda: seen, warn=told.append)) == 1
        assert told == ["short is left out: it has no 7 frames without a cut."]


def test_latents_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    source = MadeSource("first", panned("first", 8))

    def broken(pictures: Tensor) -> Clip:
        return Clip(torch.full((4, 4, 8, 8), float("nan")), torch.zeros(2, 4, 8, 8), torch.zeros(2, 1, 4))

    with pytest.raises(KairosError, match="first: frames from 0 on give no finite latents"):
        prepared([source], SETTINGS, tmp_path, "model", lambda: broken)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_clip_that_is_damaged_says_so(tmp_path: Path) -> None:
    (tmp_path / "clip.safetensors").write_bytes(b"no clip")
    with pytest.raises(KairosError, match="cannot be read"):
        read_clip(tmp_path / "clip.safetensors")


@pytest.mark.parametrize(("given", "message"), [({"stride": 0}, "--stride 0"), ({"canvas": (60, 64)}, "64x60")])
def test_settings_that_cannot_be_are_refused(given: dict, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(BadRequest, match=message):
        ClipSettings(**{"frames": 4, **given})


def test_every_tenth_clip_is_held_back() -> None:
    clips = [Path(str(number)) for number in range(25)]
    learned, held = split(clips)
    assert held == [clips[9], clips[19]] and learned == [each for each in clips if each not in held]
    assert split(clips[:5]) == (clips[:4], clips[4:5])
    # Too few to spare any: judged by what is learned from.
    assert split(clips[:3]) == (clips[:3], clips[:3])
