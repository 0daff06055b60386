"""What a scene shows: drawn from its own random numbers, as a picture would be composed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np
import torch

from kairos.training.scenes.fields import colour
from kairos.training.scenes.layer import ADDITIVE, TRANSPARENT, Layer
from kairos.training.scenes.motion import courses
from kairos.training.scenes.moves import draw_paths
from kairos.training.scenes.objects import background, film, person, ridge, thing
from kairos.training.scenes.surfaces import Look
from kairos.training.scenes.textures import Bank

Generator = np.random.Generator


@dataclass(frozen=True)
class Finish:
    """What happens to a picture after its layers are put together.

    Attributes:
        shutter: how long it is open, in intervals; instants: how many it is averaged over, 1 for none.
        grain: deviation of the noise in the encoded picture; soft: a film's short correlation.
        gain: relative brightness at time 1 less that at time 0; flicker: amplitude of a faster change, its phase.
    """

    shutter: float
    instants: int
    grain: float
    soft: bool
    gain: float
    flicker: Tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """One scene, ready to be rendered.

    Attributes:
        layers: from far to near; the first is the background.
        time: of the in-between.
        speed: largest motion in pixels over the interval that was asked for.
    """

    layers: Tuple[Layer, ...]
    finish: Finish
    time: float
    speed: float


def draw_scene(
    rng: Generator, bank: Bank, height: int, width: int, reach: float, device: torch.device, even: bool = False
) -> Scene:
    """The scene of a generator of random numbers.

    Args:
        reach: largest motion over the interval, pixels.
        even: nothing is faster or slower, and the camera does not shake; all else is drawn the same.
    """
    time = 0.5 if rng.uniform() < 0.4 else float(rng.uniform(0.1, 0.9))
    still, speed = draw_speed(rng, reach)
    look = Look(
        rng.uniform(), rng.uniform(0.05, 0.6), rng.uniform(0.25, 0.65),
        colour(rng, rng.uniform(0.45, 0.75), rng.uniform(0.0, 0.4), rng.uniform(0.4, 0.85)),
        rng.uniform(0.1, 0.5) if rng.uniform() < 0.4 else 0.0,
        rng.uniform(0.0, 1.0),
        rng.uniform(1.5, 6.0) if rng.uniform() < 0.3 else 0.0,
    )  # fmt: skip
    stage = (rng, bank, look, height, width)
    drafts = [background(*stage, device)]
    number = 1
    if rng.uniform() < 0.3:
        for _ in range(int(rng.integers(1, 4))):
            drafts.append(ridge(*stage, number - 1, device))
            number += 1
    count = int(rng.choice(np.arange(1, 9), p=[0.16, 0.22, 0.2, 0.14, 0.1, 0.07, 0.06, 0.05]))
    for depth in np.sort(rng.uniform(0.25, 1.0, count))[::-1].tolist():
        found = (
            person(*stage, depth, number, device)
            if rng.uniform() < 0.1
            else thing(*stage, depth, count, number, device)
        )
        for draft in found:
            draft.follows += len(drafts) if draft.follows >= 0 else 0
            draft.parent += len(drafts) if draft.parent >= 0 else 0
        drafts += found
        number += 1
    for kind, odds in ((TRANSPARENT, 0.10), (ADDITIVE, 0.08)):
        if rng.uniform() < odds:
            drafts.append(film(*stage, kind, number, device))
            number += 1
    paths = draw_paths(rng, drafts, height, width, still)
    if even:
        paths = paths.evened()
    paths = paths.at_speed(speed, height, width)
    layers = tuple(
        Layer(d.kind, d.number, d.surface, d.shape, d.softness, d.opacity, course)
        for d, course in zip(drafts, courses(paths))
    )
    return Scene(layers, _finish(rng, speed), time, speed)


def draw_speed(rng: Generator, reach: float) -> Tuple[str, float]:
    """Whether something is held still, and the largest motion: sub-pixel to 4, to 20, to the reach."""
    draw, place = rng.uniform(), rng.uniform()
    edges = (0.3, min(4.0, reach), min(20.0, reach), reach)
    band = int(np.searchsorted([0.25, 0.55], draw))
    speed = float(np.exp(np.log(edges[band]) + place * np.log(edges[band + 1] / edges[band])))
    chance = rng.uniform()
    if chance < 0.02:
        return "all", 0.0
    return ("others", speed) if chance < 0.04 else ("", speed)


def _finish(rng: Generator, speed: float) -> Finish:
    shutter, instants = 0.0, 1
    if rng.uniform() < 0.25:
        instants = 5
        # Samples further than two pixels apart would show as steps.
        shutter = min(rng.uniform(0.1, 0.6), 2.0 * (instants - 1) / max(speed, 1e-3))
        if shutter * speed < 0.7:
            instants = 1
    grain = float(np.exp(rng.uniform(np.log(0.003), np.log(0.03)))) if rng.uniform() < 0.4 else 0.0
    soft = bool(rng.uniform() < 0.5)
    gain, flicker = 0.0, (0.0, 0.0)
    if rng.uniform() < 0.1:
        gain, flicker = rng.normal(0.0, 0.06), (rng.normal(0.0, 0.02), rng.uniform(0, 6.2832))
    return Finish(shutter, instants, grain, soft, gain, flicker)
