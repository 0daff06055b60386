"""The engine classic on made scenes with exact truth."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.bench.clips import read_flo, read_rgb
from kairos.bench.metrics import endpoint_error
from kairos.bench.quality import EncodedShot
from kairos.engines.base import EngineSettings, Pair
from kairos.engines.classic.path import half_acceleration
from kairos.engines.registry import engine
from kairos.motion.compose import compose
from kairos.motion.inbetween import Inbetween
from kairos_nodes.layers import Policy
from support.scenes import HEIGHT, WIDTH, MemoryShot, cover, grid, inbetweens, mse, pan, plate, session, texture
from support.shared import shared_data

TIMES = [0.1, 0.25, 0.5, 0.9]


def bits(planes: Tensor) -> Tensor:
    return planes.contiguous().view(torch.int32)


def made(shot: MemoryShot, answer: Inbetween, pair: Pair) -> Tensor:
    return compose(shot.frames[pair.first], shot.frames[pair.second], answer, Policy.BLEND)


def wide_range() -> Tensor:
    """Noise from 2^-6 to 65504 on the right, from -8 to 8 on the left."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.exp2(torch.rand(3, HEIGHT, WIDTH, generator=generator) * 22 - 6)
    pixels[:, :, :60] = torch.rand(3, HEIGHT, 60, generator=generator) * 16 - 8
    pixels[0, 5, 5], pixels[1, 6, 6], pixels[2, 7, 7] = 65504.0, -8.0, -0.0
    return pixels


def median(flow: Tensor) -> Tuple[float, float]:
    x, y = flow.flatten(1).median(1).values.tolist()
    return x, y


@pytest.mark.parametrize(("gain", "lift"), [(1.0, 0.0), (1e-3, 0.0), (40.0, 0.0), (1.0, 5.0)])
def test_a_pan_is_measured_to_a_twentieth_of_a_pixel_at_any_exposure(gain: float, lift: float) -> None:
    scene = pan(7.5, 3.25)
    shot = MemoryShot([scene(0) * gain + lift, scene(1) * gain + lift])
    start, end = inbetweens(shot, [0.0, 1.0])
    assert median(start.flow_to_1) == pytest.approx((7.5, 3.25), abs=0.05)
    assert median(end.flow_to_0) == pytest.approx((-7.5, -3.25), abs=0.05)
    assert not start.flow_to_0.any() and not end.flow_to_1.any()
    assert (start.blend == 1).all() and (end.blend == 0).all()


def test_true_flow_is_met_within_a_quarter_of_a_pixel() -> None:
    folder = shared_data("middlebury-RubberWhale")
    shot = EncodedShot([read_rgb(folder / "frame10.png"), read_rgb(folder / "frame11.png")])
    (answer,) = engine("classic").open(shot, EngineSettings(), lambda event: None).at(Pair(0, 1), [0.0])
    assert endpoint_error(answer.flow_to_1.numpy(), read_flo(folder / "flow_gt.flo")) <= 0.25


def test_a_still_plate_of_any_range_comes_back_bit_identical() -> None:
    still = wide_range()
    shot = MemoryShot([still, still.clone(), still.clone(), still.clone()])
    for pair in (Pair(0, 1), Pair(1, 2, before=0, after=3)):
        for answer in inbetweens(shot, TIMES, pair):
            assert torch.equal(bits(made(shot, answer, pair)), bits(still))


Mover = Tuple[Callable[[float], Tensor], Callable[[int, int], Tensor]]


def mover(ground: Tensor, speed: float) -> Mover:
    """A textured box of 16 by 14 px that moves over a ground, and where it comes near between two frames."""
    looks = texture(50)
    columns, rows = grid()

    def frame(time: float) -> Tensor:
        there = cover((40 + speed * time, 60.3 + 1.3 * time), (8, 7))
        thing = looks(columns - speed * time, rows - 1.3 * time) * 3
        return plate(*(ground[c].numpy() * (1 - there) + thing * there for c in range(3)))

    def near(first: int, second: int) -> Tensor:
        across = (columns > 22 + speed * first) & (columns < 58 + speed * second)
        down = (rows > 43.3 + 1.3 * first) & (rows < 77.3 + 1.3 * second)
        return torch.from_numpy(across & down)

    return frame, near


GROUNDS: Dict[str, Callable[[], Tensor]] = {
    "noise": wide_range,
    "texture": lambda: pan(0, 0, 7)(0),
    "flat": lambda: torch.full((3, HEIGHT, WIDTH), 0.2),
}


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("speed", [2.0, 6.5, 20.0])
def test_what_a_moving_object_never_nears_is_bit_identical(ground: str, speed: float) -> None:
    frame, near = mover(GROUNDS[ground](), speed)
    shot = MemoryShot([frame(time) for time in range(4)])
    for pair in (Pair(0, 1), Pair(1, 2, before=0, after=3)):
        quiet = ~near(pair.first, pair.second)
        assert int(quiet.sum()) > HEIGHT * WIDTH // 2
        for answer in inbetweens(shot, [0.25, 0.5], pair):
            out = made(shot, answer, pair)
            assert torch.equal(bits(out[:, quiet]), bits(shot.frames[pair.first][:, quiet]))
            # And the object did move: it stands still in no source.
            assert not torch.equal(out, shot.frames[pair.first])


@pytest.mark.parametrize("ground", ["texture", "flat"])
@pytest.mark.parametrize(("speed", "half"), [(6.5, 3.5), (6.5, 6.0), (3.3, 3.5), (13.0, 8.0)])
def test_a_highlight_keeps_its_peak_energy_and_place(ground: str, speed: float, half: float) -> None:
    under = GROUNDS[ground]()

    def frame(time: float) -> Tensor:
        there = cover((60 + speed * time, 60), (half, half))
        return plate(*(under[c].numpy() * (1 - there) + 5000 * there for c in range(3)))

    def energy(pixels: Tensor) -> float:
        return float((pixels.double() - under).sum())

    def centroid(pixels: Tensor) -> float:
        light = (pixels.double() - under)[0]
        return float((light * torch.arange(WIDTH)).sum() / light.sum())

    shot = MemoryShot([frame(time) for time in range(4)])
    for pair in (Pair(0, 1), Pair(1, 2, before=0, after=3)):
        for answer in inbetweens(shot, [0.25, 0.5], pair):
            out, truth = made(shot, answer, pair), frame(pair.first + answer.time)
            assert float(out.max()) == pytest.approx(5000, rel=0.02)
            assert energy(out) == pytest.approx(energy(truth), rel=0.02)
            assert centroid(out) == pytest.approx(centroid(truth), abs=0.1)


class Layered:
    """A textured object over a ground that moves differently, with its matte and its true motion."""

    def __init__(self, ground: Tuple[float, float], thing: Tuple[float, float], half: Tuple[float, float]) -> None:
        self._ground, self._thing, self._half = ground, thing, half

    def _cover(self, time: float) -> np.ndarray:
        x, y = self._thing
        return cover((80 + x * (time - 0.5), 60 + y * (time - 0.5)), self._half)

    def frame(self, time: float) -> Tensor:
        columns, rows = grid()
        ground, thing = (
            texture(seed)(columns - x * time, rows - y * time)
            for seed, (x, y) in ((20, self._ground), (29, self._thing))
        )
        there = self._cover(time)
        return plate(ground * (1 - there) + 1.5 * thing * there)

    def matte(self, time: float) -> Tensor:
        return torch.from_numpy(self._cover(time)[None].astype(np.float32))

    def motion(self, source: int, target: int) -> Tensor:
        there = self._cover(source) > 0.5
        planes = [np.where(there, thing, ground) for thing, ground in zip(self._thing, self._ground)]
        return torch.from_numpy(np.stack(planes).astype(np.float32)) * (target - source)

    def error(
        self,
        mattes: Optional[Sequence[Tensor]] = None,
        motion: Optional[Callable[[int, int], Optional[Tensor]]] = None,
    ) -> float:
        """Mean squared error half-way, away from the frame's edges."""
        shot = MemoryShot([self.frame(0), self.frame(1)], mattes, motion)
        (answer,) = inbetweens(shot, [0.5])
        inner = (slice(None), slice(10, -10), slice(16, -16))
        return mse(made(shot, answer, Pair(0, 1))[inner], self.frame(0.5)[inner])


LAYERED = {
    "crossing": Layered((-9.0, 2.0), (14.0, -3.0), (16, 14)),
    "thin and fast": Layered((0.0, 0.0), (22.0, 4.0), (6, 18)),
    "pole": Layered((3.3, 0.0), (-17.0, 6.0), (5, 30)),
}


@pytest.mark.parametrize("name", LAYERED)
def test_a_matte_halves_the_error_of_an_object_over_other_motion(name: str) -> None:
    scene = LAYERED[name]
    assert scene.error(mattes=[scene.matte(0), scene.matte(1)]) < 0.5 * scene.error()


@pytest.mark.parametrize("name", LAYERED)
def test_given_vectors_improve_on_the_estimate(name: str) -> None:
    scene = LAYERED[name]
    estimated = scene.error()
    assert scene.error(motion=scene.motion) < 0.5 * estimated
    forward_alone = scene.error(motion=lambda a, b: scene.motion(a, b) if a < b else None)
    assert forward_alone < 0.9 * estimated


def accelerated(time: float) -> Tensor:
    """A pan at 10 px per frame that speeds up by 6 px per frame squared."""
    columns, rows = grid()
    return plate(*(texture(60 + channel)(columns - 10 * time - 3 * time * time, rows) for channel in range(3)))


def test_neighbours_tell_of_acceleration() -> None:
    shot = MemoryShot([accelerated(time) for time in (-1, 0, 1, 2)])
    straight, curved = (
        mse(made(shot, inbetweens(shot, [0.5], pair)[0], pair)[:, 8:-8, 24:-24], accelerated(0.5)[:, 8:-8, 24:-24])
        for pair in (Pair(1, 2), Pair(1, 2, before=0, after=3))
    )
    # Half-way the parabola lies 6 / 8 px off the straight path.
    assert curved < 0.1 * straight


def test_uneven_neighbours_are_placed_at_their_own_times() -> None:
    shot = MemoryShot([accelerated(time) for time in (-2, 0, 1, 3)])
    uneven = Pair(1, 2, before=0, after=3, before_time=-2.0, after_time=3.0)
    found = mse(
        made(shot, inbetweens(shot, [0.5], uneven)[0], uneven)[:, 8:-8, 40:-40], accelerated(0.5)[:, 8:-8, 40:-40]
    )
    taken_as_even = Pair(1, 2, before=0, after=3)
    wrong = mse(
        made(shot, inbetweens(shot, [0.5], taken_as_even)[0], taken_as_even)[:, 8:-8, 40:-40],
        accelerated(0.5)[:, 8:-8, 40:-40],
    )
    assert found < 0.1 * wrong


def test_half_the_acceleration_is_the_parabolas_coefficient() -> None:
    # x = 5 t + 3 t^2: motion to t = 1 is 8, to t = -2 it is 2.
    found = half_acceleration(torch.full((2, 1, 1), 8.0), torch.full((2, 1, 1), 2.0), 2.0)
    assert torch.allclose(found, torch.full((2, 1, 1), 3.0))


def test_a_broken_pixel_does_not_spread() -> None:
    scene = pan(6.3, 1.7)
    hurt = [scene(0), scene(1)]
    hurt[0] = hurt[0].clone()
    hurt[0][1, 60, 80] = torch.nan
    shot = MemoryShot(hurt)
    for answer in inbetweens(shot, TIMES):
        for name in ("flow_to_0", "flow_to_1", "blend", "confidence"):
            assert getattr(answer, name).isfinite().all()
        assert int((~made(shot, answer, Pair(0, 1)).isfinite()).sum()) <= 1


def test_unlike_frames_are_blended_and_nothing_is_claimed() -> None:
    first, second = pan(0, 0, 80)(0), pan(0, 0, 90)(0)
    (answer,) = inbetweens(MemoryShot([first, second]), [0.5])
    assert float(answer.confidence.mean()) < 0.4
    assert float((answer.blend - 0.5).abs().mean()) < 0.25


def answers(found: Inbetween) -> List[Tensor]:
    names = ("flow_to_0", "flow_to_1", "blend", "occlusion_0", "occlusion_1", "confidence")
    return [getattr(found, name) for name in names]


def test_the_order_of_asking_changes_nothing() -> None:
    frame, _ = mover(pan(0, 0, 7)(0), 6.5)
    shot = MemoryShot([frame(time) for time in range(7)])
    pairs = [Pair(i, i + 1, i - 1 if i else None, i + 2 if i < 5 else None) for i in range(6)]
    one = session(shot)
    forward = {pair.first: answers(next(one.at(pair, [0.5]))) for pair in pairs}
    other = session(shot)
    for pair in [*pairs[::-1], pairs[3]]:
        list(other.at(pair, [0.9, 0.1]))
        found = answers(next(other.at(pair, [0.5])))
        assert all(torch.equal(a, b) for a, b in zip(found, forward[pair.first]))


def test_the_number_of_threads_changes_nothing() -> None:
    frame, _ = mover(pan(0, 0, 7)(0), 6.5)
    shot = MemoryShot([frame(time) for time in range(4)])
    pair = Pair(1, 2, before=0, after=3)
    torch_threads, cv_threads = torch.get_num_threads(), cv2.getNumThreads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            cv2.setNumThreads(count)
            found.append(answers(inbetweens(shot, [0.3], pair)[0]))
    finally:
        torch.set_num_threads(torch_threads)
        cv2.setNumThreads(cv_threads)
    assert all(torch.equal(a, b) for each in found[1:] for a, b in zip(each, found[0]))


def test_a_long_shot_is_not_kept_in_memory() -> None:
    scene = pan(2.0, 0.5)
    shot = MemoryShot([scene(time) for time in range(9)])
    running = session(shot)
    for first in range(8):
        list(running.at(Pair(first, first + 1), [0.5]))
    assert len(running._motions) <= 4  # type: ignore[attr-defined]
