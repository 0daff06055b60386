"""From two encoded key frames to what the network sees of them, and from what it generates back to the plate.

Everything here is torch and numpy: no network, no files. The order of work::

    plate = Plate(first, second, PlateSettings(canvas=(576, 1024)))
    shown = plate.shown()                       # two pictures for the network
    placed = plate.place(generated, estimate)   # generated: N pictures of the network's, at times k / (N - 1)
    for answer in placed: ...                   # one Inbetween per picture, made when it is asked for
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from typing import Callable, Iterable, Iterator, List, Optional, Tuple

import torch
from torch import Tensor

from kairos.engines.classic.motion import Estimator
from kairos.engines.inbetween import canvas, look
from kairos.engines.inbetween.colours import Tone, ends_of, same, steadied, tone
from kairos.engines.inbetween.correspond import Correspondences, Seen, estimates
from kairos.engines.inbetween.detail import CELL, Moved, detailed, ground, moved
from kairos.engines.inbetween.grain import Grain, apart, put_on
from kairos.engines.inbetween.look import KNEE
from kairos.motion.inbetween import Inbetween
from kairos.motion.warp import backward_warp

Tell = Callable[[int, int], None]
"""Told how many parts of a work are done and how many there are; may raise Cancelled."""


def _nobody(done: int, every: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class PlateSettings:
    """How key frames become the network's pictures, and its pictures the plate's.

    Attributes:
        canvas: height and width of the network's pictures, pixels, multiples of 64.
        fit: ``pad`` (the whole picture, its borders mirrored), ``crop`` (as large as fits, the rest from the keys) or
            ``stretch`` (the aspect is not kept).
        curve: how the encoded keys are shown: ``log`` (the log encoding of scene-linear plates), ``display`` (keys that
            are display-referred) or ``auto`` (told from the keys).
        colours: match the colours of generated pictures to the keys'.
        detail: fetch detail and highlights from the keys where they correspond; False leaves the generated pictures
            as they are, enlarged.
        grain: keep grain apart: taken off the keys, and put on every picture anew.
        seed: of that grain.
    """

    canvas: Tuple[int, int] = (576, 1024)
    fit: str = "pad"
    curve: str = "auto"
    colours: bool = True
    detail: bool = True
    grain: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises BadRequest for what cannot be."""
        canvas.check(self.canvas, self.fit)
        look.check(self.curve)


class Plate:
    """Two keys of one plate.

    Args:
        first, second: (3, H, W) float32 encoded proxies, finite, not clamped, of one size and on one device.
        settings: see there.

    Raises:
        ValueError: the keys differ in size or are no pictures.
    """

    def __init__(self, first: Tensor, second: Tensor, settings: PlateSettings = PlateSettings()) -> None:
        if first.shape != second.shape or first.dim() != 3 or first.shape[0] != 3:
            raise ValueError(f"keys {tuple(first.shape)} and {tuple(second.shape)} are no two pictures of one size")
        self.settings = settings
        self.keys = first, second
        self.clean = first, second
        self.grain: Optional[Grain] = None
        if settings.grain:
            self.clean, self.grain = _clean(first, second)
        self.canvas = canvas.laid((first.shape[1], first.shape[2]), settings.canvas, settings.fit)
        small = self.canvas.show(self.clean[0]), self.canvas.show(self.clean[1])
        # By the keys as they are: without their grain, display-referred ones may lie a little outside 0..1.
        self.look = look.look_of(first, second, settings.curve)
        self._shown = self.look.show(small[0]), self.look.show(small[1])

    def shown(self) -> Tuple[Tensor, Tensor]:
        """Both keys for the network: (3, h, w) float32 each, display-like, in 0..1, of the canvas' size."""
        return self._shown

    def place(self, generated: Iterable[Tensor], estimate: Estimator, tell: Tell = _nobody) -> Placed:
        """Finds how generated pictures correspond with both keys.

        Args:
            generated: N pictures in order, as (3, h, w) tensors or stacks (k, 3, h, w) of them, about 0..1 and not
                clamped, of the canvas' size, on any device; the first shows the first key, the last the second. They
                are kept at half precision, on the device of the keys.
            estimate: finds motion between two pictures of the canvas' size; called about five times for every picture.
            tell: after every estimate.

        Raises:
            ValueError: fewer than two pictures, or of another size than the canvas.
        """
        pictures: List[Tensor] = []
        for part in generated:
            for picture in part if part.dim() == 4 else part[None]:
                if tuple(picture.shape) != (3, *self.settings.canvas):
                    raise ValueError(f"picture {tuple(picture.shape)} is not of the canvas {self.settings.canvas}")
                pictures.append(picture.to(self.keys[0].device).clamp(-0.5, 1.5).half())
        if len(pictures) < 2:
            raise ValueError(f"{len(pictures)} generated pictures: both ends are needed")
        return Placed(self, pictures, estimate, tell)


class Placed:
    """Generated pictures on the plate. Pictures are made when asked for, one at a time; what is kept is of the
    network's size: 30 bytes for each of its pixels in every picture, 0.44 GB for 25 of 1024 by 576. Answers depend on
    the keys and the generated pictures alone, never on what was asked before.

    Made by :meth:`Plate.place`.
    """

    def __init__(self, plate: Plate, pictures: List[Tensor], estimate: Estimator, tell: Tell) -> None:
        self._plate, self._pictures = plate, pictures
        last, done, every = len(pictures) - 1, count(1), estimates(len(pictures))
        ends = pictures[0].float(), pictures[-1].float()
        self._ends = ends_of(ends, plate.shown()) if plate.settings.colours else None
        shows = plate.canvas.holds(plate.keys[0].device)
        finder = Correspondences(len(pictures), self._seen, estimate, lambda: tell(next(done), every), shows)
        with torch.inference_mode():
            self._matches = finder.find()
        drifts = [self._drift(index) for index in range(last + 1)]
        self._tones = steadied([each for each, _ in drifts], [known for _, known in drifts])

    def __len__(self) -> int:
        """How many there are, both ends included."""
        return len(self._pictures)

    def at(self, index: int) -> Inbetween:
        """One generated picture at full size, on the device of the keys: its time is ``index / (N - 1)``, its ``image``
        (3, H, W) is encoded like the keys. At both ends the image is the key itself, bit for bit.

        Flows, occlusion, blend and confidence are of the correspondences with both keys: where something is in neither
        of them, both occlusions are 1 and the confidence is 0, and the flows are those of the surroundings.

        Raises:
            IndexError: no such picture.
        """
        answer = self.bare(index)
        if index in (0, len(self) - 1):
            return replace(answer, image=self._plate.keys[0 if index == 0 else 1])
        assert answer.image is not None
        return replace(answer, image=self.finished(answer.image, self._time(index)))

    def bare(self, index: int) -> Inbetween:
        """As :meth:`at`, without grain where that is kept apart: at both ends, too."""
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        plate, time = self._plate, self._time(index)
        keys = moved(plate.clean, self._matches[index], plate.canvas, time)
        if index in (0, len(self) - 1):
            return _answer(keys, plate.clean[0 if index == 0 else 1])
        picture = ground(plate.look.encode(self.corrected(index)), keys, plate.canvas)
        if plate.settings.detail:
            picture = detailed(picture, keys, plate.look, plate.canvas.cell(CELL))
        return _answer(keys, picture)

    def finished(self, picture: Tensor, time: float) -> Tensor:
        """A picture (3, H, W), encoded and without grain, with grain of its own where that is kept apart."""
        grain = self._plate.grain
        if grain is None:
            return picture
        # By the key, too: what is generated between other keys of the shot has other grain at the same time.
        told = f"{self._plate.settings.seed} {time!r} {self._content}"
        return put_on(picture, grain, int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "little") >> 1)

    def corrected(self, index: int) -> Tensor:
        """A generated picture (3, h, w) shown, with its colours matched to the keys'."""
        picture = self._matched(index)
        return self._tones[index](picture) if self._plate.settings.colours else picture

    def __iter__(self) -> Iterator[Inbetween]:
        """All of them in order."""
        return (self.at(index) for index in range(len(self)))

    @cached_property
    def _content(self) -> str:
        """SHA-256 of the first key as the network is shown it."""
        return hashlib.sha256(self._plate.shown()[0].cpu().numpy().tobytes()).hexdigest()

    def _time(self, index: int) -> float:
        return index / (len(self) - 1)

    def _matched(self, index: int) -> Tensor:
        """With its colours matched as far as the ends tell."""
        picture = self._pictures[index].float()
        return picture if self._ends is None else self._ends(picture, self._time(index))

    def _seen(self, index: int) -> Seen:
        """As correspondences see it: at the ends the key itself."""
        if index in (0, len(self) - 1):
            key = self._plate.shown()[0 if index == 0 else 1]
            return Seen(key, key.amax(0, keepdim=True))
        picture = self._matched(index).clamp(0, 1)
        raw = self._pictures[index].float().clamp(0, 1)
        return Seen(picture, torch.maximum(picture, raw).amax(0, keepdim=True))

    def _drift(self, index: int) -> Tuple[Tone, float]:
        """The change of colour that correspondences with the keys suggest, and the part of the picture they tell."""
        picture, time = self._matched(index), self._time(index)
        if index in (0, len(self) - 1):
            return same(picture.device), 1.0
        total, weigh = torch.zeros_like(picture), torch.zeros_like(picture[:1])
        for key, match, near in zip(self._plate.shown(), self._matches[index], (1 - time, time)):
            say = match.trust.square() * near
            total += backward_warp(key, match.flow) * say
            weigh += say
        target = total / weigh.clamp(min=1e-6)
        weight = weigh * (target.amax(0, keepdim=True) < KNEE)
        return tone(picture, target, weight), float(weigh.mean())


def _clean(first: Tensor, second: Tensor) -> Tuple[Tuple[Tensor, Tensor], Grain]:
    one, two, grain = apart(first, second)
    return (one, two), grain


def _answer(keys: Moved, picture: Tensor) -> Inbetween:
    """The in-between of a picture and the correspondences it came from."""
    time = keys.time
    flow0, flow1 = keys.flows
    hidden0, hidden1 = (1 - pasted for pasted in keys.pasted)
    say0, say1 = (pasted * near for pasted, near in zip(keys.pasted, keys.near))
    total = say0 + say1
    blend = torch.where(total > 1e-3, say0 / total.clamp(min=1e-3), 1 - time)
    if time == 0:
        flow0, hidden0, blend = torch.zeros_like(flow0), torch.zeros_like(hidden0), torch.ones_like(blend)
    if time == 1:
        flow1, hidden1, blend = torch.zeros_like(flow1), torch.zeros_like(hidden1), torch.zeros_like(blend)
    sure = keys.pasted[1] if time == 0 else keys.pasted[0] if time == 1 else torch.maximum(*keys.pasted)
    return Inbetween(time, flow0, flow1, blend, hidden0, hidden1, sure, image=picture)
