"""Times between generated pictures: those themselves, retimed, or generated once more; and the motion of all."""

from __future__ import annotations

from typing import Callable, Iterator, List, Tuple

import pytest
import torch
from torch import Tensor

from kairos.engines.base import EngineSettings, Pair, TellsMotion
from kairos.engines.inbetween.motion import Mover
from kairos.engines.inbetween.session import InbetweenSession
from kairos.engines.inbetween.span import Span, weight_of_first
from kairos.engines.registry import engine
from kairos.errors import BadRequest
from kairos.motion.inbetween import Inbetween
from support.scenes import MemoryShot
from support.siren import scene, silent

SIZE = (64, 96)
SPEED = (6.0, 2.0)
"""Pixels between two neighbouring pictures."""

COUNT = 5
INSIDE = (slice(16, -16), slice(32, -32))


class Moving:
    """A pan, as a plate places generated pictures: exact, with exact motion to both ends."""

    def __init__(
        self, at: Callable[[float], Tensor], start: float = 0.0, step: float = 1.0, count: int = COUNT
    ) -> None:
        self._at, self._start, self._step, self._count = at, start, step, count
        self.asked: List[int] = []

    def __len__(self) -> int:
        return self._count

    def at(self, index: int) -> Inbetween:
        self.asked.append(index)
        time = index / (self._count - 1)
        pan = torch.tensor(SPEED)[:, None, None].expand(2, *SIZE) * self._step * (self._count - 1)
        none = torch.zeros(1, *SIZE)
        image = self._at(self._start + index * self._step)
        return Inbetween(time, -time * pan, (1 - time) * pan, none + 1 - time, none, none, none + 1, image=image)

    def bare(self, index: int) -> Inbetween:
        return self.at(index)

    def finished(self, picture: Tensor, time: float) -> Tensor:
        return picture


@pytest.fixture(scope="module")
def pan() -> Callable[[float], Tensor]:
    return scene(*SIZE, SPEED)


@pytest.fixture(scope="module")
def mover() -> Mover:
    return Mover(engine("classic"), EngineSettings())


def error(found: Tensor, wanted: Tuple[float, float]) -> float:
    """Mean distance in pixels, away from the borders."""
    apart = found - torch.tensor(wanted)[:, None, None]
    return float(apart[(slice(None), *INSIDE)].square().sum(0).sqrt().mean())


def test_a_time_of_a_generated_picture_shows_that_picture(pan: Callable[[float], Tensor], mover: Mover) -> None:
    pictures = Moving(pan)
    answer = Span(pictures, mover).at(3 / 4)
    assert answer.time == 3 / 4 and answer.image is not None and torch.equal(answer.image, pan(3.0))
    assert pictures.asked == [3]
    # 1/24 is no binary fraction.
    fine = Moving(pan, count=25)
    for index in range(1, 24):
        assert Span(fine, mover).at(index / 24).time == index / 24
    assert fine.asked == list(range(1, 24))


def test_another_time_is_made_between_its_neighbours_with_motion_to_both_keys(
    pan: Callable[[float], Tensor], mover: Mover
) -> None:
    answer = Span(Moving(pan), mover).at(0.4)
    assert answer.image is not None
    moment = 0.4 * (COUNT - 1)
    apart = (answer.image - pan(moment))[(slice(None), *INSIDE)].abs().mean()
    still = (pan(1.0) - pan(moment))[(slice(None), *INSIDE)].abs().mean()
    assert apart < still / 5
    assert error(answer.flow_to_0, (-moment * SPEED[0], -moment * SPEED[1])) < 0.3
    assert error(answer.flow_to_1, ((4 - moment) * SPEED[0], (4 - moment) * SPEED[1])) < 0.3
    assert float(answer.occlusion_0[(slice(None), *INSIDE)].mean()) < 0.1
    assert float((answer.blend - 0.6)[(slice(None), *INSIDE)].abs().mean()) < 0.05


def test_keys_are_generated_between_neighbours_once_for_all_times_between_them(
    pan: Callable[[float], Tensor], mover: Mover
) -> None:
    asked: List[Tuple[Tensor, Tensor]] = []

    def deeper(first: Tensor, second: Tensor) -> Moving:
        asked.append((first, second))
        return Moving(pan, start=1.0, step=1 / 4)

    span = Span(Moving(pan), mover, deeper)
    answers = [span.at(time) for time in (5 / 16, 6 / 16, 7 / 16)]
    assert len(asked) == 1 and torch.equal(asked[0][0], pan(1.0)) and torch.equal(asked[0][1], pan(2.0))
    for answer, moment in zip(answers, (1.25, 1.5, 1.75)):
        assert answer.image is not None and torch.equal(answer.image, pan(moment))
        assert error(answer.flow_to_0, (-moment * SPEED[0], -moment * SPEED[1])) < 0.01
        assert error(answer.flow_to_1, ((4 - moment) * SPEED[0], (4 - moment) * SPEED[1])) < 0.01
    # Finer still it is retimed, and not generated a third time.
    assert span.at(0.35).image is not None and len(asked) == 1


class HidesOne:
    """Stands in for a mover: what lies between two pictures is seen in one of them alone."""

    def __init__(self, hides_first: bool) -> None:
        self._hides_first = hides_first

    def between(self, first: Tensor, second: Tensor) -> HidesOne:
        return self

    def at(self, pair: Pair, times: List[float]) -> Iterator[Inbetween]:
        way = torch.tensor(SPEED)[:, None, None].expand(2, *SIZE)
        one, none = torch.ones(1, *SIZE), torch.zeros(1, *SIZE)
        hidden = (one, none) if self._hides_first else (none, one)
        # Motion to the picture in which it is hidden is a guess, and a bad one.
        there = [way * share + 3.0 * each for share, each in zip((-times[0], 1 - times[0]), hidden)]
        yield Inbetween(times[0], there[0], there[1], one / 2, hidden[0], hidden[1], one)


@pytest.mark.parametrize("hides_first", [True, False])
def test_motion_goes_by_way_of_the_neighbour_that_shows_it(pan: Callable[[float], Tensor], hides_first: bool) -> None:
    answer = Span(Moving(pan), HidesOne(hides_first)).at(0.4)  # type: ignore[arg-type]
    moment = 0.4 * (COUNT - 1)
    assert error(answer.flow_to_0, (-moment * SPEED[0], -moment * SPEED[1])) < 0.01
    assert error(answer.flow_to_1, ((4 - moment) * SPEED[0], (4 - moment) * SPEED[1])) < 0.01
    assert float(answer.occlusion_0[(slice(None), *INSIDE)].max()) == 0


def test_a_source_that_shows_nothing_weighs_nothing() -> None:
    hidden0, hidden1 = torch.tensor([[[0.0, 1.0, 0.0, 1.0]]]), torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    found = weight_of_first(0.25, hidden0, hidden1).flatten().tolist()
    assert found == pytest.approx([0.75, 0.0, 1.0, 0.75])


def test_motion_between_generated_times_is_found_in_their_own_pictures(
    pan: Callable[[float], Tensor], mover: Mover
) -> None:
    """The pictures in between swing out and come back: no curve through both keys, which are almost the same, has
    their motion.
    """

    def swinging(moment: float) -> Tensor:
        return pan(0.5 if moment == COUNT - 1 else 2.0 * min(moment, COUNT - 1 - moment))

    shot = MemoryShot([swinging(0.0), swinging(COUNT - 1.0)])
    session = InbetweenSession(
        shot, mover.between(shot.proxy(0), shot.proxy(1)), mover, lambda first, second: Span(Moving(swinging), mover)
    )
    assert isinstance(session, TellsMotion)
    pair = Pair(0, 1)
    there, back = session.motion(pair, 1 / 4, 2 / 4), session.motion(pair, 2 / 4, 1 / 4)
    assert there is not None and error(there, (2 * SPEED[0], 2 * SPEED[1])) < 0.3
    assert back is not None and error(back, (-2 * SPEED[0], -2 * SPEED[1])) < 0.3
    away = session.motion(pair, 2 / 4, 3 / 4)
    assert away is not None and error(away, (-2 * SPEED[0], -2 * SPEED[1])) < 0.3
    assert session.motion(pair, 0.0, 1.0) is None


def test_at_the_frames_own_times_nothing_is_generated(pan: Callable[[float], Tensor], mover: Mover) -> None:
    shot = MemoryShot([pan(0.0), pan(1.0)])

    def never(first: Tensor, second: Tensor) -> Span:
        raise AssertionError("generated")

    session = InbetweenSession(shot, engine("classic").open(shot, EngineSettings(), silent), mover, never)
    start, end = session.at(Pair(0, 1), [0.0, 1.0])
    assert float(start.flow_to_0.abs().max()) == 0 and error(start.flow_to_1, SPEED) < 0.2
    assert float(end.flow_to_1.abs().max()) == 0 and start.image is None
    with pytest.raises(AssertionError, match="generated"):
        list(session.at(Pair(0, 1), [0.5]))


@pytest.mark.parametrize("id", ["siren", "film", "inbetween"])
def test_motion_comes_from_an_engine_that_finds_motion_between_two_pictures(id: str) -> None:
    with pytest.raises(BadRequest, match=rf"motion from {id}.*engine=swift or classic"):
        Mover(engine(id), EngineSettings())
