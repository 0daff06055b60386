"""A frame that does not fit into memory is made in tiles, and so are those that follow it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence, Type

import pytest
import torch

from kairos.engines.base import EngineCard, EngineSettings, Pair, Session, ShotView
from kairos.engines.classic.engine import ClassicEngine
from kairos.engines.classic.session import ClassicSession
from kairos.errors import EngineError
from kairos.events import Listener
from kairos.motion.inbetween import Inbetween
from kairos.retime import run
from support import made
from support.exr import read_exr
from support.jobs import frame_at, retime

CPU = "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."


class Hungry(ClassicEngine):
    """``classic``, from its second answer on with room for tiles of up to ``room`` pixels alone."""

    def __init__(self, room: Optional[int], error: BaseException, tiles: bool = True) -> None:
        self.card: EngineCard = replace(ClassicEngine.card, id="hungry", tiles=tiles)
        self.room, self.error = room, error
        self.opened: List[Optional[int]] = []
        self.asked: List[Optional[int]] = []

    def open(self, shot: ShotView, settings: EngineSettings, listener: Listener) -> Session:
        engine = self
        engine.opened.append(settings.tile)

        class Session(ClassicSession):
            def at(self, pair: Pair, times: Sequence[float]) -> Iterator[Inbetween]:
                engine.asked.append(settings.tile)
                fits = settings.tile is not None and engine.room is not None and settings.tile <= engine.room
                if len(engine.asked) > 1 and not fits:
                    raise engine.error
                yield from super().at(pair, times)

        return Session(shot)


@pytest.fixture
def clip(tmp_path: Path) -> made.Clip:
    return made.pan(tmp_path / "plate", velocity=(4.0, 0.0), frames=4, size=(64, 96))


def use(engine: Hungry, monkeypatch: pytest.MonkeyPatch) -> Hungry:
    monkeypatch.setattr(run, "engine_named", lambda name: engine)
    return engine


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(CPU), MemoryError()])
def test_all_frames_are_made_and_it_is_told_once(
    clip: made.Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    plain = retime(clip, tmp_path / "plain", between=1, engine="classic")
    hungry = use(Hungry(512, error), monkeypatch)
    ran = retime(clip, tmp_path / "out", between=1)
    assert len(ran.files()) == 7 and ran.outcome.exit_status == 0
    # The first in-between had room; the second did not, tried 1024, and went on with what worked.
    assert hungry.asked == [None, None, 1024, 512, 512] and hungry.opened == [None, 1024, 512]
    told = [text for text in ran.warnings() if "memory" in text]
    assert told == [
        "hungry ran out of memory on cpu: from here on it works in tiles of 512 pixels. The picture stays the same."
    ]
    for number in (frame_at(1), frame_at(3), frame_at(5)):
        ours, wanted = read_exr(ran.file(number)), read_exr(plain.file(number))
        assert all((ours[name] == wanted[name]).all() for name in "RGB")


def test_frames_made_in_tiles_are_done_when_the_job_goes_on(
    clip: made.Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hungry = use(Hungry(256, torch.OutOfMemoryError("CUDA out of memory.")), monkeypatch)
    ran = retime(clip, tmp_path / "out", between=1)
    ran.file(frame_at(5)).unlink()
    hungry.asked.clear()
    for tile in ("auto", "512"):
        again = retime(clip, tmp_path / "out", between=1, tile=tile)
        assert list(again.outcome.rendered) == ([frame_at(5)] if tile == "auto" else [])


def test_where_the_smallest_does_not_fit_it_says_what_to_do(
    clip: made.Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hungry = use(Hungry(128, torch.OutOfMemoryError("CUDA out of memory.")), monkeypatch)
    with pytest.raises(EngineError, match=r"Out of memory on cpu: CUDA out of memory\.") as caught:
        retime(clip, tmp_path / "out", between=1)
    assert "--proxy 2" in caught.value.remedy and hungry.asked == [None, None, 1024, 512, 256]
    # What was finished before is kept.
    assert len(list((tmp_path / "out").glob("out.*.exr"))) >= 2


@pytest.mark.parametrize("tile, tiles", [("off", True), ("auto", False)])
def test_nothing_else_is_tried_where_tiles_are_not_wanted_or_not_had(
    clip: made.Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile: str, tiles: bool
) -> None:
    hungry = use(Hungry(512, torch.OutOfMemoryError("CUDA out of memory."), tiles), monkeypatch)
    with pytest.raises(EngineError, match="Out of memory"):
        retime(clip, tmp_path / "out", between=1, tile=tile)
    assert hungry.opened == [None]


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_other_errors_are_not_taken_for_it(
    clip: made.Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Type[Exception]
) -> None:
    hungry = use(Hungry(512, kind("the shapes do not fit")), monkeypatch)
    with pytest.raises(kind, match="shapes"):
        retime(clip, tmp_path / "out", between=1)
    assert hungry.opened == [None]


def test_what_one_view_learns_holds_for_all() -> None:
    from kairos.retime.fallback import Fallback
    from support.scenes import MemoryShot, pan

    told: List[str] = []
    hungry = Hungry(512, torch.OutOfMemoryError("CUDA out of memory."))
    fallback = Fallback(hungry, lambda event: None, told.append)
    frames = pan(3, 0)
    views: List[Any] = [MemoryShot([frames(0), frames(1)]) for _ in range(2)]
    left, right = (fallback.open(view, EngineSettings()) for view in views)
    list(left.at(Pair(0, 1), [0.25, 0.5]))
    list(right.at(Pair(0, 1), [0.5]))
    assert hungry.asked == [None, None, 1024, 512, 512] and len(told) == 1
