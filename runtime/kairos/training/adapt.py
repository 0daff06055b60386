"""``kairos adapt``: the weights of ``swift``, fitted to one shot.

Frames two apart predict the one between them. Half of these triplets are learned from, the other half is held back and
decides whether the fitted weights are any better. What is fitted is the meeting network: how sure either frame is of a
pixel in *this* shot, with its grain, its blur and its way of moving. The motion itself stays, so that all it needs is
looked at once. (Fitted along with it, the motion's last step learned its few triplets by heart and helped no other
frame.) Made scenes are mixed in, more than half: so that what the shot does not show is not forgotten, and against
learning by heart. Of what was learned as much is taken over as serves the held-back frames best: all, a half, a
quarter, or nothing.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.base import Pair, ShotView
from kairos.engines.plain_shot import PlainFrames
from kairos.engines.swift.ensemble import TURNS
from kairos.engines.swift.layers import MULTIPLE
from kairos.engines.swift.meeting import Told, decided
from kairos.engines.swift.network import Decision, Meeting, Swift
from kairos.engines.swift.scale import automatic_scale
from kairos.engines.swift.session import SwiftSession
from kairos.errors import BadRequest, Cancelled
from kairos.events import Event, Listener
from kairos.motion.compose import compose
from kairos.motion.encode import Codec
from kairos.motion.inbetween import Inbetween
from kairos.training.ema import Ema
from kairos.training.losses import laplacian
from kairos.training.scenes import Scenes
from kairos.training.schedule import Clock, rate
from kairos.training.triplets import usable
from kairos.training.windows import Example, picture_of, window
from kairos_nodes.layers import Policy

HALF_WAY = 0.5

NOISE = 0.05
"""Gain under which two measurements of the same weights count as equal, dB."""
NOISE_OF_ONE = 0.15
"""The same where a single triplet decides."""
WORST = 0.3
"""No held-back frame may lose more than this, dB."""

_WINDOW = 256
_WINDOWS = 64
"""Of all triplets together, about: half a gigabyte."""
_SCENE_SIZE, _SCENE_SEED = 256, 20_071
_SHARE = 0.6
"""Part of what is learned from that made scenes are."""

PARTS = (1.0, 0.5, 0.25)
"""Of the change from the weights as they were, tried on the held-back frames."""

_BATCH = 2
_WARM_UP = 20
_DECAY = 0.98
_WEIGHT_DECAY = 1e-4
_PICTURE, _DETAIL, _COVERED = 8.0, 4.0, 0.2
_TOLD = 10
"""Steps between progress events."""

_LEAST_ERROR = 1e-8
"""Mean square error under which a frame counts as perfect: 80 dB."""


@dataclass(frozen=True)
class AdaptSettings:
    """How the weights are fitted.

    Attributes:
        minutes: time spent fitting; looking at the shot before and judging after come on top.
        steps: length in steps instead, repeatable on the CPU.
        lr: peak learning rate of AdamW, let down along a cosine.
        seed: of windows and of their order.
        scenes: made scenes that are mixed in.

    Raises:
        BadRequest: an impossible value.
    """

    minutes: float = 1.5
    steps: Optional[int] = None
    lr: float = 1e-4
    seed: int = 0
    scenes: int = 12

    def __post_init__(self) -> None:
        for name, value in (("minutes", self.minutes), ("lr", self.lr)):
            if not 0 < value < math.inf:
                raise BadRequest(f"--{name} {value} fits nothing.", "Give a number above 0.")
        if self.steps is not None and self.steps < 1:
            raise BadRequest(f"--steps {self.steps} fits nothing.", "Give 1 or more.")


@dataclass(frozen=True)
class Gain:
    """A held-back frame, by position in the shot: PSNR of its proxy rebuilt with the weights before and after, dB."""

    position: int
    before: float
    after: float

    @property
    def difference(self) -> float:
        """dB gained."""
        return self.after - self.before


@dataclass(frozen=True)
class Adapted:
    """What came of it.

    Attributes:
        network: fitted; to be used where ``kept``.
        kept: better than before by the held-back frames.
        why: in one line, for people.
        held: the held-back frames.
        part: how much of what was learned is in the network, one of :data:`PARTS`.
        fitted: positions of the frames that were learned from.
        steps, seconds: spent fitting.
    """

    network: Swift
    kept: bool
    why: str
    held: Tuple[Gain, ...]
    part: float
    fitted: Tuple[int, ...]
    steps: int
    seconds: float

    @property
    def before(self) -> float:
        """Mean PSNR of the held-back frames with the weights as they were, dB."""
        return float(np.mean([each.before for each in self.held]))

    @property
    def after(self) -> float:
        """The same with the fitted weights, dB."""
        return float(np.mean([each.after for each in self.held]))


def adapt(
    shot: ShotView,
    network: Swift,
    settings: AdaptSettings,
    listener: Listener,
    cancelled: Callable[[], bool] = lambda: False,
) -> Adapted:
    """Fits a network to a shot; the network itself stays as it is.

    Args:
        shot: proxies, as a job sees them.
        network: in evaluation mode, on the shot's device.
        settings: how long, how fast.
        listener: told of progress (``stage`` is ``look``, ``fit``, ``judge`` or ``done``).
        cancelled: asked between steps.

    Raises:
        BadRequest: too few frames, too few of them between cuts, or frames too small.
        Cancelled: ``cancelled`` said so.
    """
    run = _Run(shot, network, settings, listener, cancelled)
    triplets = usable(shot, lambda done, total: run.tell("look", done, total))
    fit, held = triplets[0::2], triplets[1::2]
    learned = run.fit(run.examples(fit))
    variants = [mixed(network, learned, part) for part in PARTS]
    tried = run.judge(variants, held)
    # One that may be kept comes before one that may not, then the greater gain counts.
    best = max(range(len(PARTS)), key=lambda index: (verdict(tried[index])[0], _mean_gain(tried[index])))
    gains = tried[best]
    kept, why = verdict(gains)
    run.tell("done", len(held), len(held), score=float(np.mean([gain.after for gain in gains])))
    frames = tuple(pair.first + 1 for pair in fit)
    return Adapted(variants[best], kept, why, tuple(gains), PARTS[best], frames, run.steps, run.clock.elapsed)


def mixed(base: Swift, learned: Swift, part: float) -> Swift:
    """A network with a part of the way from one's weights to the other's behind it."""
    network, ends = copy.deepcopy(learned), base.state_dict()
    network.load_state_dict({name: torch.lerp(ends[name], end, part) for name, end in learned.state_dict().items()})
    return network


def _mean_gain(gains: Sequence[Gain]) -> float:
    mean = float(np.mean([gain.difference for gain in gains]))
    return mean if math.isfinite(mean) else -math.inf


def verdict(gains: Sequence[Gain]) -> Tuple[bool, str]:
    """Whether weights are better by their held-back frames: by more than noise on the mean, and nowhere much worse."""
    differences = np.array([gain.difference for gain in gains])
    mean, worst = float(differences.mean()), float(differences.min())
    noise = NOISE_OF_ONE
    if len(gains) > 1:
        noise = max(NOISE, float(differences.std(ddof=1)) / len(gains) ** 0.5)
    if not math.isfinite(mean) or mean <= noise:
        return False, f"held-back frames gained {mean:+.2f} dB, which is no more than noise ({noise:.2f} dB)"
    if worst < -WORST:
        return False, f"a held-back frame lost {-worst:.2f} dB"
    return True, f"held-back frames gained {mean:+.2f} dB, none lost more than {max(0.0, -worst):.2f} dB"


class _Run:
    def __init__(
        self,
        shot: ShotView,
        network: Swift,
        settings: AdaptSettings,
        listener: Listener,
        cancelled: Callable[[], bool],
    ) -> None:
        self._shot, self._network, self._settings = shot, network, settings
        self._listener, self._cancelled = listener, cancelled
        self._random = np.random.default_rng(settings.seed)
        self._session = _session(shot, network)
        self._clock: Optional[Clock] = None
        self.steps = 0

    @property
    def clock(self) -> Clock:
        """Runs from the first step."""
        if self._clock is None:
            steps = self._settings.steps
            self._clock = Clock(steps, None if steps else self._settings.minutes)
        return self._clock

    def examples(self, triplets: Sequence[Pair]) -> Tuple[List[Example], List[Example]]:
        """Windows of the shot, and of made scenes."""
        size = min(_WINDOW, *(side // MULTIPLE * MULTIPLE for side in self._shot.size))
        if size < 2 * MULTIPLE:
            raise BadRequest(
                f"Frames of {self._shot.size[1]}x{self._shot.size[0]} are too small to learn from.",
                "Use the weights as they are.",
            )
        each = max(2, _WINDOWS // len(triplets))
        own: List[Example] = []
        for index, pair in enumerate(triplets):
            self.tell("look", index, len(triplets))
            told = self._session.told(pair, HALF_WAY)
            frames = self._shot.proxy(pair.first), self._shot.proxy(pair.second)
            truth = self._shot.proxy(pair.first + 1)
            corners = self._corners(each, size)
            own += [window(told, frames, truth, None, corner, size) for corner in corners]
        return own, self._scenes()

    def fit(self, examples: Tuple[List[Example], List[Example]]) -> Swift:
        """A copy of the network, its meeting fitted to the examples."""
        own, scenes = examples
        fitted = copy.deepcopy(self._network)
        meeting = fitted.meeting.requires_grad_(True).train()
        optimizer = torch.optim.AdamW(meeting.parameters(), self._settings.lr, weight_decay=_WEIGHT_DECAY)
        ema = Ema(meeting, _DECAY)
        while not self.clock.over(self.steps):
            progress = self.clock.progress(self.steps)
            batch = [self._pick(own, scenes) for _ in range(_BATCH)]
            loss = self._loss(meeting, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(meeting.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = self._settings.lr * rate(self.steps, progress, _WARM_UP)
            optimizer.step()
            ema.update(meeting)
            if self.steps % _TOLD == 0:
                self._tell_fit(progress, float(loss.detach()))
            self.steps += 1
        meeting.load_state_dict(ema.model.state_dict())
        return fitted.eval().requires_grad_(False)

    def judge(self, variants: Sequence[Swift], held: Sequence[Pair]) -> List[List[Gain]]:
        """Rebuilds the held-back frames with the network as it was and with each of the others: gains of each.

        They share the motion, which is found once.
        """
        gains: List[List[Gain]] = [[] for _ in variants]
        for index, pair in enumerate(held):
            self.tell("judge", index, len(held))
            truth = self._shot.proxy(pair.first + 1)
            with torch.inference_mode():
                told = self._session.told(pair, HALF_WAY)
                networks = [self._network, *variants]
                before, *after = (self._score(pair, _answer(each.meeting, told), truth) for each in networks)
            for own, score in zip(gains, after):
                own.append(Gain(pair.first + 1, before, score))
        return gains

    def tell(self, stage: str, done: int, total: int, **more: object) -> None:
        """Progress; raises Cancelled where that was asked for."""
        if self._cancelled():
            raise Cancelled("Cancelled.", "Nothing was written.")
        data = {"done": done, "total": total, "rate": 0.0, "eta": None, "step": self.steps, "loss": None, "score": None}
        self._listener(Event("progress", {**data, "stage": stage, **more}))

    def _tell_fit(self, progress: float, loss: float) -> None:
        spent = self.clock.elapsed
        eta = round(spent / progress - spent) if progress > 0.01 else None
        pace = _BATCH * self.steps / spent if spent > 0 else 0.0
        self.tell("fit", round(100 * progress), 100, rate=round(pace, 2), eta=eta, loss=loss)

    def _corners(self, count: int, size: int) -> List[Tuple[int, int]]:
        height, width = self._shot.size
        places = [(side - size) // MULTIPLE + 1 for side in (height, width)]
        return [
            (int(self._random.integers(places[0])) * MULTIPLE, int(self._random.integers(places[1])) * MULTIPLE)
            for _ in range(count)
        ]

    def _scenes(self) -> List[Example]:
        made: List[Example] = []
        if not self._settings.scenes:
            return made
        supply = Scenes(_SCENE_SEED, _SCENE_SIZE, _SCENE_SIZE, device=self._shot.device)
        for number in range(self._settings.scenes):
            self.tell("look", number, self._settings.scenes)
            scene = supply.batch(number, 1)
            frames = scene.frames[0, 0], scene.frames[0, 2]
            told = _session(PlainFrames(frames), self._network).told(Pair(0, 1), float(scene.time[0]))
            hidden = (1 - torch.cat([scene.visible_t0[0], scene.visible_t1[0]])).clamp(0, 1)
            made.append(window(told, frames, scene.frames[0, 1], hidden, (0, 0), _SCENE_SIZE))
        return made

    def _pick(self, own: List[Example], scenes: List[Example]) -> Example:
        chosen = scenes if scenes and self._random.random() < _SHARE else own
        return chosen[int(self._random.integers(len(chosen)))]

    def _loss(self, meeting: Meeting, batch: List[Example]) -> Tensor:
        turn = TURNS[int(self._random.integers(len(TURNS)))]
        losses = []
        for example in batch:
            told = example.told
            decision = meeting(turn.planes(told.moved), turn.vectors(told.known, 1))
            answer = decided(told, turn.decision(decision))
            picture, truth = picture_of(example, answer)[None].clamp(max=1.5), example.truth[None].clamp(max=1.5)
            loss = _PICTURE * ((picture - truth).square() + 1e-6).sqrt().mean() + _DETAIL * laplacian(picture, truth)
            if example.hidden is not None:
                said = torch.cat([answer.occlusion_0, answer.occlusion_1]).clamp(1e-4, 1 - 1e-4)
                loss = loss + _COVERED * F.binary_cross_entropy(said, example.hidden)
            losses.append(loss)
        return torch.stack(losses).mean()

    def _score(self, pair: Pair, answer: Inbetween, truth: Tensor) -> float:
        made = compose(self._shot.proxy(pair.first), self._shot.proxy(pair.second), answer, Policy.BLEND, codec=Codec())
        error = float((made.clamp(0, 1) - truth.clamp(0, 1)).square().mean())
        return -10 * math.log10(max(error, _LEAST_ERROR))


def _answer(meeting: Meeting, told: Told) -> Inbetween:
    decision: Decision = meeting(told.moved, told.known)
    return decided(told, decision)


def _session(shot: ShotView, network: Swift) -> SwiftSession:
    return SwiftSession(shot, network, torch.float32, use_prior=True, scale=automatic_scale(shot))
