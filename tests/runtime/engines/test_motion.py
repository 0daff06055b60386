"""``--motion gimm``: something else tells the paths between two frames, and engines move their pixels along them."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Tuple

import pytest
import torch
from torch import Tensor

from kairos.engines.adapters.matted import MattedSession
from kairos.engines.adapters.session import NetworkSession, Way
from kairos.engines.base import Pair, Session
from kairos.engines.classic.course import beyond
from kairos.engines.classic.motion import Found, Look
from kairos.engines.classic.session import ClassicSession
from kairos.engines.gimm.motion import GimmMotion
from kairos.engines.published import Found as Answer
from kairos.engines.published import Padding
from kairos.engines.swift.loading import SHIPPED as SWIFT
from kairos.engines.swift.loading import load_network as load_swift
from kairos.engines.swift.session import SwiftSession
from kairos.motion.compose import compose
from kairos_nodes.layers import Policy
from support.implicit import silent
from support.scenes import HEIGHT, WIDTH, MemoryShot, cover, grid, plate, texture

CPU = torch.device("cpu")

SPEED, BEND = (8.0, 0.0), (0.0, 16.0)
"""Pixels per interval, and its square: whole pixels at every quarter of the way."""
INNER = (..., slice(12, -12), slice(16, -16))


class Curve:
    """In GIMM's place: it knows how everything moves, on a grid of ``cell`` pixels."""

    def __init__(self, cell: float = 1.0) -> None:
        self._cell = cell
        self.heard: List[Tuple[Tensor, Tensor, Optional[Tensor], Optional[Tensor]]] = []
        self.arrived: List[Optional[Tensor]] = []

    def know(
        self, flow_01: Tensor, flow_10: Tensor, before: Optional[Tensor] = None, after: Optional[Tensor] = None
    ) -> Tensor:
        self.heard.append((flow_01, flow_10, before, after))
        return flow_01

    def at(self, known: Tensor, time: float, arrived: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        self.arrived.append(arrived)
        velocity, bend = (vector(told).expand_as(known) / self._cell for told in (SPEED, BEND))
        away = bend * (time * (1 - time))
        return -velocity * time - away, velocity * (1 - time) - away


class OwnBend(Curve):
    """Everything moves as the flows have it, and upright to its own way."""

    def at(self, known: Tensor, time: float, arrived: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        away = torch.stack([-known[1], known[0]]) * (time * (1 - time))
        return -known * time - away, known * (1 - time) - away


def vector(told: Tuple[float, float]) -> Tensor:
    return torch.tensor(told)[:, None, None]


def picture(x: float, y: float) -> Tensor:
    columns, rows = grid()
    return plate(*(texture(seed)(columns - x, rows - y) for seed in (1, 2, 3)))


def at_time(time: float) -> Tensor:
    """What the curve shows at a time."""
    return picture(*(speed * time + bend * time * (1 - time) for speed, bend in zip(SPEED, BEND)))


def shot_of(positions: Tuple[float, ...] = (0.0, 1.0), **settings: Any) -> MemoryShot:
    """Frames at those parts of the pair's way."""
    return MemoryShot([picture(SPEED[0] * part, SPEED[1] * part) for part in positions], **settings)


def steps(*positions: Tuple[float, float]) -> Callable[[Look, Look], Found]:
    """Finds how far everything moves between frames that show it at these places."""

    def estimate(first: Look, second: Look) -> Found:
        assert first.position is not None and second.position is not None
        (x0, y0), (x1, y1) = positions[first.position], positions[second.position]
        there = vector((x1 - x0, y1 - y0)).expand(2, *first.proxy.shape[-2:]).contiguous()
        return Found(there, -there)

    return estimate


class Network:
    """A published network's place: everything moves by a speed, straight on."""

    padding = Padding(1)
    any_time, scales, tile = True, False, None

    def __init__(self, speed: Tuple[float, float] = SPEED) -> None:
        self._speed, self.pairs = vector(speed), 0

    def look(self, frame: Tensor) -> Tensor:
        return frame

    def prepare(self, first: Tensor, second: Tensor, scale: float = 1.0) -> Tensor:
        self.pairs += 1
        return first

    def at(self, state: Tensor, time: Any) -> Answer:
        flow = self._speed.expand(1, 2, *state.shape[-2:])
        return Answer(-flow * time, flow * (1 - time), state, torch.full_like(state[:, :1], 1 - time))


def classic(shot: MemoryShot, mover: Any) -> Session:
    return ClassicSession(shot, steps((0.0, 0.0), SPEED), mover)


def published(shot: MemoryShot, mover: Any) -> Session:
    return MattedSession(shot, Network(), Way(mover=mover))


# Along the path.


@pytest.mark.parametrize("session_of", [classic, published])
@pytest.mark.parametrize("time", [0.25, 0.5, 0.75])
def test_pixels_move_exactly_along_a_known_curve(session_of: Callable[..., Session], time: float) -> None:
    shot = shot_of()
    (answer,) = session_of(shot, Curve()).at(Pair(0, 1), [time])
    moved = compose(shot.frames[0], shot.frames[1], answer, Policy.BLEND)
    # Whole pixels: nothing is resampled, and both sources say the same.
    torch.testing.assert_close(moved[INNER], at_time(time)[INNER], atol=1e-5, rtol=0)
    assert float(answer.confidence[INNER].min()) > 0.9
    assert float(torch.maximum(answer.occlusion_0, answer.occlusion_1)[INNER].max()) < 0.05
    (straight,) = session_of(shot, None).at(Pair(0, 1), [time])
    assert float((compose(*shot.frames, straight, Policy.BLEND) - at_time(time))[INNER].abs().mean()) > 1e-2


@pytest.mark.parametrize("time", [0.25, 0.5, 0.75])
def test_swift_decides_along_the_curve_told_on_half_its_grid(time: float) -> None:
    shot, mover = shot_of(), Curve(cell=2)
    session = SwiftSession(shot, load_swift(SWIFT, CPU), torch.float32, True, 1.0, mover=mover)
    told = session.told(Pair(0, 1), time)
    away = vector(BEND) * (time * (1 - time))
    for flow, part in ((told.to_0, -time), (told.to_1, 1 - time)):
        wanted = (vector(SPEED) * part - away).expand_as(flow)
        torch.testing.assert_close(flow[INNER], wanted[INNER], atol=1e-4, rtol=0)
    assert mover.heard[0][0].shape[-2:] == (HEIGHT // 2, WIDTH // 2)
    (answer,) = session.at(Pair(0, 1), [time])
    moved = compose(shot.frames[0], shot.frames[1], answer, Policy.BLEND)
    (straight,) = SwiftSession(shot, load_swift(SWIFT, CPU), torch.float32, True, 1.0).at(Pair(0, 1), [time])
    errors = [
        float((each - at_time(time))[INNER].abs().mean())
        for each in (moved, compose(*shot.frames, straight, Policy.BLEND))
    ]
    assert errors[0] < 0.1 * errors[1], errors


@pytest.mark.parametrize("session_of", [classic, published])
def test_at_the_sources_times_the_vectors_stay_as_they_are(session_of: Callable[..., Session]) -> None:
    mover = Curve()
    for ours, own in zip(*(session_of(shot_of(), each).at(Pair(0, 1), [0.0, 1.0]) for each in (mover, None))):
        assert torch.equal(ours.flow_to_0, own.flow_to_0) and torch.equal(ours.flow_to_1, own.flow_to_1)
        assert torch.equal(ours.confidence, own.confidence) and torch.equal(ours.blend, own.blend)
    assert not mover.arrived


@pytest.mark.parametrize("session_of", [classic, published])
def test_the_mover_is_asked_once_for_a_pair_and_told_what_arrives_at_each_time(
    session_of: Callable[..., Session],
) -> None:
    mover = Curve()
    session = session_of(shot_of(), mover)
    for time in (0.25, 0.5, 0.5, 0.75):
        list(session.at(Pair(0, 1), [time]))
    assert len(mover.heard) == 1 and len(mover.arrived) == 4
    for arrived in mover.arrived:
        assert arrived is not None
        torch.testing.assert_close(arrived[INNER], vector(SPEED).expand_as(arrived)[INNER], atol=1e-4, rtol=0)


@pytest.mark.parametrize("session_of", [classic, published])
def test_ground_that_both_frames_share_stays(session_of: Callable[..., Session]) -> None:
    columns, rows = grid()
    ground, thing = texture(1)(columns, rows), [cover((60 + 8 * time, 60.0), (14, 14)) for time in (0, 1)]
    shot = MemoryShot([plate(ground * (1 - share) + 0.9 * share) for share in thing])
    own: Any = (
        session_of
        if session_of is classic
        else lambda shot, mover: NetworkSession(shot, Network((0.0, 0.0)), Way(mover=mover))
    )
    (answer,) = own(shot, Curve()).at(Pair(0, 1), [0.5])
    far = (..., slice(0, None), slice(110, None))
    assert not answer.flow_to_0[far].any() and not answer.flow_to_1[far].any()
    assert torch.equal(compose(*shot.frames, answer, Policy.BLEND)[far], shot.frames[0][far])


# Two frames and four.


def test_two_frames_are_told_as_if_there_were_no_others() -> None:
    mover = GimmMotion(silent())
    # Even acceleration: s + (s^2 - s) / 4.
    places = (-0.5, 0.0, 1.0, 2.5)
    shot, estimate = shot_of(places), steps(*((part * SPEED[0], 0.0) for part in places))
    (alone,) = ClassicSession(shot, estimate, mover).at(Pair(1, 2), [0.25])
    flow = vector(SPEED).expand(2, HEIGHT, WIDTH)
    told = mover.at(mover.know(flow, -flow), 0.25, flow)
    torch.testing.assert_close(alone.flow_to_0[INNER], told[0][INNER], atol=1e-5, rtol=0)
    torch.testing.assert_close(alone.flow_to_1[INNER], told[1][INNER], atol=1e-5, rtol=0)
    (four,) = ClassicSession(shot, estimate, mover).at(Pair(1, 2, 0, 3), [0.25])
    # Slower at first: 8 / 4 * 0.25 * 0.75 pixels behind the even way.
    assert float((four.flow_to_0 - alone.flow_to_0)[0][INNER].mean()) == pytest.approx(0.375, abs=0.01)


@pytest.mark.parametrize("pair", [Pair(1, 2), Pair(1, 2, 0), Pair(1, 2, None, 3), Pair(1, 2, 0, 3)])
def test_the_mover_hears_of_the_neighbours_that_the_pair_has(pair: Pair) -> None:
    places = (-1.5, 0.0, 1.0, 2.5)
    shot = shot_of(places)
    mover = Curve()
    list(ClassicSession(shot, steps(*((8.0 * part, 0.0) for part in places)), mover).at(pair, [0.5]))
    ((_, _, before, after),) = mover.heard
    for found, position, wanted in ((before, pair.before, -12.0), (after, pair.after, 12.0)):
        assert (found is None) == (position is None)
        if found is not None:
            torch.testing.assert_close(found[0], torch.full_like(found[0], wanted), atol=1e-4, rtol=0)


def test_networks_are_asked_for_the_way_to_the_neighbours_too() -> None:
    places = (-1.0, 0.0, 1.0, 2.0)
    mover, network = Curve(), Network()
    session = NetworkSession(shot_of(places), network, Way(mover=mover))
    list(session.at(Pair(1, 2, 0, 3), [0.25, 0.5, 0.75]))
    ((there, back, before, after),) = mover.heard
    assert before is not None and after is not None
    for flow, wanted in ((there, 8.0), (back, -8.0), (before, -8.0), (after, 8.0)):
        torch.testing.assert_close(flow[0][INNER], torch.full_like(flow[0][INNER], wanted), atol=1e-4, rtol=0)
    assert network.pairs == 3
    list(session.at(Pair(2, 3, 1), [0.25, 0.5]))
    assert network.pairs == 3, "what the pairs share is kept"


def test_a_neighbour_that_is_further_away_tells_the_same_acceleration() -> None:
    # x(s) = 8 s + 2 s^2: at -2 it is -8, at -1 it is -6, at 1 it is 10.
    onward, backward = (torch.full((2, 4, 4), told) for told in (10.0, -8.0))
    found = beyond(onward, backward, 2.0, torch.ones(1, 4, 4))
    assert found is not None
    torch.testing.assert_close(found, torch.full_like(found, -6.0))


def test_what_is_not_trusted_accelerates_as_what_is_around_it() -> None:
    onward, backward = torch.full((2, 8, 8), 10.0), torch.full((2, 8, 8), -6.0)
    trust = torch.ones(1, 8, 8)
    onward[:, 3, 3], backward[:, 5, 5], trust[:, 3, 3], trust[:, 5, 5] = 90.0, torch.nan, 0.1, 0.0
    found = beyond(onward, backward, 1.0, trust)
    assert found is not None
    # Half the acceleration is 2 everywhere.
    torch.testing.assert_close(found + onward, torch.full_like(found, 4.0))
    assert beyond(onward, backward, 1.0, trust * 0) is None


# Layers and given vectors.


def test_every_layer_of_a_matte_goes_its_own_way() -> None:
    share = [plate(cover((60 + 16 * time, 60.0), (20.5, 20.5)))[:1] for time in (0, 1)]
    columns, rows = grid()
    frames = [
        plate(texture(3)(columns, rows + 8 * time)) * (1 - share[time])
        + plate(1.5 * texture(4)(columns - 16 * time, rows)) * share[time]
        for time in (0, 1)
    ]
    shot = MemoryShot(frames, share)

    def estimate(first: Look, second: Look) -> Found:
        # The foreground is looked at last; what it hides is told by what surrounds it.
        calls.append(1)
        flow = vector((0.0, -8.0) if len(calls) == 1 else (16.0, 0.0)).expand(2, HEIGHT, WIDTH).contiguous()
        return Found(flow, -flow)

    calls: List[int] = []
    mover = OwnBend()
    (answer,) = ClassicSession(shot, estimate, mover).at(Pair(0, 1), [0.5])
    assert len(mover.heard) == 2
    # Half-way the foreground is 8 pixels on, and a quarter of 16 pixels below its straight way.
    inside = torch.from_numpy(cover((68.0, 64.0), (20.5, 20.5)) > 0.5)
    wanted = torch.where(inside, vector((16.0, 0.0)) / 2 - vector((0.0, 4.0)), vector((0.0, -8.0)) / 2 - vector((2, 0)))
    off = (answer.flow_to_1 - wanted).abs().amax(0)
    assert float(off[INNER].max()) < 1e-3


def test_given_vectors_are_carried_along_the_curve_too() -> None:
    flow = vector(SPEED).expand(2, HEIGHT, WIDTH)
    shot = shot_of(motion=lambda source, target: flow * (target - source))
    for session in (ClassicSession(shot, mover=Curve()), NetworkSession(shot, Network((0.0, 3.0)), Way(mover=Curve()))):
        (answer,) = session.at(Pair(0, 1), [0.5])
        moved = compose(*shot.frames, answer, Policy.BLEND)
        torch.testing.assert_close(moved[INNER], at_time(0.5)[INNER], atol=1e-5, rtol=0)
