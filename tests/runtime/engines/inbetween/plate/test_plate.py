"""Generated pictures on the plate: detail, highlights and colours of the keys where they correspond, and nowhere else.

Stand-ins for what a network generates are made from a known truth: out of focus, cut to 0..1, noisy, with colours that
drift most in the middle (``support.generated``).
"""

from __future__ import annotations

from typing import List

import pytest
import torch
from torch import Tensor

from kairos.engines.base import EngineSettings
from kairos.engines.classic.motion import Found, Look, estimate_classic
from kairos.engines.inbetween.correspond import estimates
from kairos.engines.inbetween.motion import Mover
from kairos.engines.inbetween.plate import Placed, Plate, PlateSettings
from kairos.engines.inbetween.span import Span
from kairos.engines.registry import engine
from kairos.errors import BadRequest, Cancelled
from kairos.motion.inbetween import Inbetween
from support.generated import HOLE, LAMP, Faults, Scene, generated, light_of, psnr

CANVAS, COUNT, MIDDLE = (128, 256), 5, 2


def placed(scene: Scene, settings: PlateSettings, count: int = COUNT) -> Placed:
    plate = Plate(scene.encoded(0), scene.encoded(1), settings)
    return plate.place(generated(plate, scene, count), estimate_classic)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(visitor=True)


@pytest.fixture(scope="module")
def answers(scene: Scene) -> Placed:
    return placed(scene, PlateSettings(canvas=CANVAS))


@pytest.fixture(scope="module")
def middle(answers: Placed) -> Inbetween:
    return answers.at(MIDDLE)


def shown_back(plate: Plate, picture: Tensor) -> Tensor:
    """A picture of the network's (3, h, w), on the plate: (3, H, W) encoded, enlarged, and nothing else done to it."""
    return plate.canvas.back(plate.look.encode(picture))


def test_every_stage_comes_nearer_to_the_truth(scene: Scene, answers: Placed, middle: Inbetween) -> None:
    truth, plate = scene.encoded(0.5), Plate(scene.encoded(0), scene.encoded(1), PlateSettings(canvas=CANVAS))
    enlarged = psnr(shown_back(plate, generated(plate, scene, COUNT)[MIDDLE]), truth)
    coloured = psnr(shown_back(plate, answers.corrected(MIDDLE)), truth)
    assert middle.image is not None
    detailed = psnr(middle.image, truth)
    # Measured: 25.05, 26.31 and 33.22 dB.
    assert coloured > enlarged + 1.0
    assert detailed > coloured + 5.0


def test_ends_are_the_keys_bit_for_bit(scene: Scene, answers: Placed) -> None:
    first, last = answers.at(0), answers.at(COUNT - 1)
    assert first.image is not None and torch.equal(first.image, scene.encoded(0))
    assert last.image is not None and torch.equal(last.image, scene.encoded(1))
    assert (first.time, last.time) == (0.0, 1.0)
    assert not first.flow_to_0.any() and not last.flow_to_1.any()
    assert first.blend.min() == 1 and last.blend.max() == 0


def lamp_and_hole(scene: Scene, time: float, picture: Tensor) -> List[Tensor]:
    """Scene-linear pixels well within both."""
    side, linear, parts = scene.size[0] // 12, light_of(picture), []
    for left, top in (scene.lamp_at(time), scene.hole_at(time)):
        parts.append(linear[:, top + 4 : top + side - 4, left + 4 : left + side - 4])
    return parts


@pytest.mark.parametrize("index", [1, 2, 3])
def test_highlights_and_negatives_come_back_from_the_keys(scene: Scene, answers: Placed, index: int) -> None:
    time, image = index / (COUNT - 1), answers.at(index).image
    assert image is not None
    plain = answers.corrected(index)
    assert plain.min() >= -0.2 and plain.max() <= 1.2
    lamp, hole = lamp_and_hole(scene, time, image)
    assert lamp.median() == pytest.approx(LAMP, rel=1e-3) and lamp.mean() > 0.9 * LAMP
    assert hole.median() == pytest.approx(HOLE, rel=1e-3)


def test_the_stand_in_itself_has_no_such_values(scene: Scene) -> None:
    plate = Plate(scene.encoded(0), scene.encoded(1), PlateSettings(canvas=CANVAS))
    lamp, hole = lamp_and_hole(scene, 0.5, shown_back(plate, generated(plate, scene, 3)[1]))
    assert lamp.max() < 0.9 * LAMP and hole.min() >= 0


def test_nothing_is_pasted_over_what_neither_key_shows(scene: Scene, middle: Inbetween, answers: Placed) -> None:
    visitor = scene.visitor_at(0.5)
    assert visitor.sum() > 2000
    assert middle.confidence[0][visitor].mean() < 0.02
    assert middle.occlusion_0[0][visitor].mean() > 0.98 and middle.occlusion_1[0][visitor].mean() > 0.98
    assert middle.confidence[0][~visitor].mean() > 0.85
    plate = Plate(scene.encoded(0), scene.encoded(1), PlateSettings(canvas=CANVAS))
    coloured, truth = shown_back(plate, answers.corrected(MIDDLE)), scene.encoded(0.5)
    assert middle.image is not None
    assert psnr(middle.image, truth, visitor) > psnr(coloured, truth, visitor) - 0.2


def test_motion_is_that_of_the_scene(scene: Scene, middle: Inbetween) -> None:
    """A pixel of the ground moved to either key shows the same there."""
    height, width = scene.size
    # Half way the ground is half turned and half panned, whatever the pace: 0.06 of the width in all, turned by 0.06.
    y, x = torch.meshgrid(torch.arange(height) + 0.0, torch.arange(width) + 0.0, indexing="ij")
    pan = scene.far * width * 0.5
    centre = abs(x - width * 0.3) + abs(y - height * 0.5) < 40
    dx, dy = x - width / 2, y - height / 2
    turn = torch.tensor(0.03)
    ground = dx * turn.cos() - dy * turn.sin() + pan, dx * turn.sin() + dy * turn.cos() + 0.3 * pan
    expected = torch.stack([ground[0] - dx, ground[1] - dy])
    error = (middle.flow_to_0 - expected).square().sum(0).sqrt()[centre]
    assert error.median() < 0.5


def test_light_that_changes_between_the_keys_is_kept() -> None:
    scene = Scene(size=(135, 240), light=1.25, lamp=False)
    image = placed(scene, PlateSettings(canvas=(64, 128)), 3).at(1).image
    truth, plain = scene.encoded(0.5), Scene(size=(135, 240), lamp=False).encoded(0.5)
    assert image is not None
    # 1.25 times the light is 0.028 in the encoding; of that most is there, and so is the detail.
    assert (image - plain).mean() > 0.6 * (truth - plain).mean()
    assert psnr(image, truth) > 26.5


@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_other_fits_do_as_well(fit: str) -> None:
    scene = Scene(size=(135, 240))
    settings = PlateSettings(canvas=(128, 128), fit=fit)
    answer = placed(scene, settings, 3).at(1)
    truth = scene.encoded(0.5)
    dissolve = torch.lerp(scene.encoded(0), scene.encoded(1), 0.5)
    assert answer.image is not None and answer.image.shape == truth.shape
    assert psnr(answer.image, truth) > psnr(dissolve, truth) + 3


def test_outside_a_crop_the_keys_are_dissolved_along_the_motion() -> None:
    scene = Scene(size=(135, 240), far=0.04)
    answer = placed(scene, PlateSettings(canvas=(128, 128), fit="crop"), 3).at(1)
    truth, dissolve = scene.encoded(0.5), torch.lerp(scene.encoded(0), scene.encoded(1), 0.5)
    outside = torch.zeros(135, 240, dtype=torch.bool)
    outside[:, :45], outside[:, -45:] = True, True
    assert answer.image is not None
    assert psnr(answer.image, truth, outside) > psnr(dissolve, truth, outside) + 1


def test_grain_apart_is_on_every_picture_and_not_pasted() -> None:
    scene = Scene(size=(135, 240), lamp=False)
    keys = [scene.encoded(time) for time in (0, 1)]
    flat = [torch.full_like(key, 0.4) + 0.1 * (torch.arange(240) / 240) for key in keys]
    noise = [0.01 * torch.randn(3, 135, 240, generator=torch.Generator().manual_seed(seed)) for seed in (101, 102)]
    plate = Plate(flat[0] + noise[0], flat[1] + noise[1], PlateSettings(canvas=(64, 128), grain=True))
    assert all((shown - shown.mean()).abs().mean() < 0.2 for shown in plate.shown())
    still = plate.place([plate.shown()[0], plate.shown()[0], plate.shown()[1]], estimate_classic).at(1).image
    assert still is not None
    grain = still - flat[0]
    assert grain.std() == pytest.approx(0.01, rel=0.2)
    for one in noise:
        assert abs(float((grain * one).mean() / (grain.std() * one.std()))) < 0.1


def grainy(level: float = 0.4, seed: int = 0) -> Placed:
    """Three pictures of a wedge between two keys that are the same but for their grain, 0.01 strong, and a little
    light.
    """
    wedge = level + 0.1 * (torch.arange(240) / 240).expand(3, 135, 240)
    noise = [0.01 * torch.randn(3, 135, 240, generator=torch.Generator().manual_seed(each)) for each in (101, 102)]
    plate = Plate(wedge + noise[0], wedge + noise[1] + 0.01, PlateSettings(canvas=(64, 128), grain=True, seed=seed))
    return plate.place([plate.shown()[0], plate.shown()[0], plate.shown()[1]], estimate_classic)


def fine(picture: Tensor) -> Tensor:
    """What is finer than nine pixels, away from the borders."""
    return (picture - torch.nn.functional.avg_pool2d(picture[None], 9, 1, 4)[0])[:, 8:-8, 8:-8]


@pytest.mark.parametrize("time", [0.2, 0.5, 0.7, 0.75, 0.9])
def test_grain_is_as_strong_at_times_between_generated_pictures(time: float) -> None:
    """Grain that is mixed of two pictures' would be weaker by 0.7, and every second frame of a job would be softer."""
    span = Span(grainy(), Mover(engine("classic"), EngineSettings()))
    image = span.at(time).image
    assert image is not None and float(fine(image).std()) == pytest.approx(0.0099, rel=0.06)


def test_grain_is_another_for_every_time_and_between_other_keys() -> None:
    first, second = grainy(), grainy(level=0.42, seed=2**63 - 1)
    grains = [fine(image) for image in (first.at(1).image, second.at(1).image) if image is not None]
    picture = first.bare(1).image
    assert picture is not None
    grains += [first.finished(picture, time) - picture for time in (0.25, 0.75)]
    flat = torch.stack([(each[:, :100, :200] / each.std()).flatten() for each in grains])
    alike = flat @ flat.T / flat.shape[1] - torch.eye(4)
    assert alike.triu(1).abs().max() < 0.05
    assert torch.equal(first.finished(picture, 0.25) - picture, grains[2])


def test_display_referred_keys_are_shown_as_they_are_with_grain_kept_apart_too() -> None:
    """Both ends of the range are full: what is left without the grain runs over them here and there."""
    keys = []
    for seed in (1, 2):
        noise = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(seed))
        keys.append((torch.linspace(-0.1, 1.1, 64) + 0.02 * noise).clamp(0, 1))
    plain, apart = (Plate(*keys, PlateSettings(canvas=(64, 64), grain=grain)) for grain in (False, True))
    assert min(float(key.min()) for key in apart.clean) < 0
    assert apart.look == plain.look and not apart.look.log
    assert (apart.shown()[0] - plain.shown()[0]).abs().mean() < 0.02


def test_answers_do_not_hang_on_what_was_asked_before(answers: Placed, middle: Inbetween) -> None:
    again = answers.at(MIDDLE)
    assert middle.image is not None and again.image is not None
    assert torch.equal(again.image, middle.image) and torch.equal(again.flow_to_1, middle.flow_to_1)


class Counting:
    """An estimator that finds nothing, and counts."""

    def __init__(self, stop: int = 1 << 30) -> None:
        self.told: List[tuple[int, int]] = []
        self._stop = stop

    def __call__(self, first: Look, second: Look) -> Found:
        none = torch.zeros(2, *first.proxy.shape[-2:])
        return Found(none, none)

    def tell(self, done: int, every: int) -> None:
        self.told.append((done, every))
        if done == self._stop:
            raise Cancelled("Stopped.", "Start again.")


def test_progress_is_told_after_every_estimate_and_may_cancel() -> None:
    scene = Scene(size=(64, 64), lamp=False)
    plate = Plate(scene.encoded(0), scene.encoded(1), PlateSettings(canvas=(64, 64)))
    pictures = torch.stack(generated(plate, scene, 4, Faults(noise=0.0)))
    counting = Counting()
    plate.place([pictures[:3], pictures[3:]], counting, counting.tell)
    assert counting.told == [(done, estimates(4)) for done in range(1, estimates(4) + 1)]
    stopped = Counting(stop=3)
    with pytest.raises(Cancelled):
        plate.place(pictures, stopped, stopped.tell)
    assert len(stopped.told) == 3


def test_what_cannot_be_is_refused() -> None:
    key = torch.zeros(3, 64, 64)
    with pytest.raises(BadRequest, match="multiples of 64"):
        PlateSettings(canvas=(60, 100))
    with pytest.raises(ValueError, match="no two pictures"):
        Plate(key, key[:, 1:])
    plate = Plate(key, key, PlateSettings(canvas=(64, 64)))
    with pytest.raises(ValueError, match="both ends"):
        plate.place([key], estimate_classic)
    with pytest.raises(ValueError, match="not of the canvas"):
        plate.place([key[:, 1:], key[:, 1:]], estimate_classic)
    with pytest.raises(IndexError):
        plate.place([key, key], estimate_classic).at(2)
