"""``kairos bench siren``: fields fitted to short clips of little motion, against frames that they have not seen.

Every odd frame is dropped and rebuilt. Clips are made smaller by a whole factor and cropped in the middle, so that a
processor fits them in minutes; the factor is chosen for motion of a pixel or a few. The last clip is a made scene of
the validation seed. Times are of the processor where that is the device (other work does not count), else of the clock.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch

from kairos.bench.clips import CLIPS, split
from kairos.bench.engine_speed import choose_device
from kairos.bench.metrics import Image, psnr, ssim
from kairos.bench.quality import BLEND, EncodedShot, blend, rebuild
from kairos.engines.base import EngineSettings, Pair, Session
from kairos.engines.registry import engine
from kairos.engines.siren.clip import base_of, look_at
from kairos.engines.siren.fit import Fitted, fit
from kairos.engines.siren.plan import Plan
from kairos.engines.siren.session import Window
from kairos.errors import BadRequest
from kairos.training.scenes import Scenes, Switches
from kairos.training.task import VALIDATION_SEED

SMALLER: Mapping[str, int] = {
    "middlebury-RubberWhale": 2,
    "middlebury-Walking": 3,
    "middlebury-DogDance": 4,
    "judo": 5,
}
"""The clips, and the whole factor by which each is made smaller."""

MADE = "made scene"
"""The clip without which there is no truth but a camera's."""

_SCENE, _FRAMES, _PACE = 4, 5, 0.1
"""Number of the made scene, its frames, and the part of its pair's interval from one to the next."""

OMEGAS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""Of the plain sine network."""

NARROW = 24
"""Width of the narrow network."""

GOAL = 38.0
"""PSNR of the observed frames up to which fits race, dB."""

VANILLA, PUBLISHED, PATHS = "SIREN", "OF-SIREN published", "OF-SIREN paths"
CARRIED, GRID, DEFAULT = "SIREN carried", "grid carried", "grid over warp"


@dataclass(frozen=True)
class Row:
    """One method on one clip.

    Attributes:
        seen: PSNR of the observed frames, dB; NaN where they are copied.
        psnr, ssim: of the withheld ones.
        seconds: that the fit took; 0 without one.
    """

    seen: float
    psnr: float
    ssim: float
    seconds: float = 0.0


@dataclass(frozen=True)
class Race:
    """How long a fit took to show its observed frames at :data:`GOAL`, and the withheld frames then."""

    row: Row
    steps: int
    reached: bool


@dataclass(frozen=True)
class Subject:
    """A clip, its fitted fields, and what they were measured at.

    Attributes:
        rows: by method; vanilla networks by omega.
        narrow: PSNR of observed frames by a narrow network, dB, without and with the constraint.
        motion: 90th percentile of the motion between kept frames, pixels.
        fields: of some methods, for the picture.
    """

    name: str
    kept: Sequence[Image]
    dropped: Sequence[Image]
    rows: Mapping[str, Row]
    narrow: Mapping[str, float]
    motion: float
    fields: Mapping[str, Window]

    @property
    def best_vanilla(self) -> str:
        """The plain network that rebuilds withheld frames best."""
        plain = (name for name in self.rows if name.startswith(f"{VANILLA} w="))
        return max(plain, key=lambda name: self.rows[name].psnr)


@dataclass(frozen=True)
class Report:
    """What was measured, and how."""

    subjects: Sequence[Subject]
    races: Mapping[str, Race]
    raced: str
    width: int
    steps: int
    device: str


def siren(
    root: Path,
    size: Tuple[int, int] = (96, 64),
    steps: int = 600,
    width: int = 128,
    names: Sequence[str] = (),
    race: int = 0,
    device: str = "auto",
    listener: Optional[Callable[[str], None]] = None,
) -> Report:
    """Runs the bench.

    Args:
        root: the folder of development data.
        size: width and height of the clips, pixels.
        steps: of every fit.
        width: of the sine networks (the grids' network is the engine's own).
        names: of the clips; all where empty.
        race: most steps of the race on the first clip; 0 leaves it out.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        listener: told one line per fit.

    Raises:
        BadRequest: an unknown clip, or one that is smaller.
    """
    told = listener or _silent
    where = choose_device(device)
    known = [*SMALLER, MADE]
    for name in names:
        if name not in known:
            raise BadRequest(f"bench siren has no clip {name!r}.", f"Use {', '.join(known)}.")
    subjects, races = [], {}
    for number, name in enumerate(names or known):
        kept, dropped = made(size) if name == MADE else small(root, name, size)
        subjects.append(_subject(name, kept, dropped, steps, width, where, told))
        if number == 0 and race:
            races = _race(kept, dropped, race, where, told)
    return Report(subjects, races, subjects[0].name, width, steps, str(where))


def small(root: Path, name: str, size: Tuple[int, int]) -> Tuple[List[Image], List[Image]]:
    """Kept and dropped frames of a clip, made smaller and cropped to ``size`` (width, height) in the middle."""
    clip = next(each for each in CLIPS if each.name == name)
    frames: List[Image] = []
    for frame in clip.load(root):
        height, width = (side // SMALLER[name] for side in frame.shape[:2])
        less = np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        if width < size[0] or height < size[1]:
            raise BadRequest(f"{name} is {width}x{height} here, smaller than {size[0]}x{size[1]}.", "Give less --size.")
        frames.append(_cropped(less, size))
    return split(frames)


def made(size: Tuple[int, int]) -> Tuple[List[Image], List[Image]]:
    """Kept and dropped frames of the made scene, cropped in the middle."""
    switches = Switches(films=False, shadows=False, shutter=False, grain=False, brightness=False)
    supply = Scenes(VALIDATION_SEED, max(64, size[1]), max(64, size[0]), device=torch.device("cpu"), switches=switches)
    frames: List[Image] = []
    for picture in supply.render(_SCENE, tuple(_PACE * number for number in range(_FRAMES))):
        image = (picture * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        frames.append(_cropped(image, size))
    return split(frames)


def _cropped(image: Image, size: Tuple[int, int]) -> Image:
    """The middle of an image, (width, height)."""
    left, top = (image.shape[1] - size[0]) // 2, (image.shape[0] - size[1]) // 2
    return np.ascontiguousarray(image[top : top + size[1], left : left + size[0]])


def plans(steps: int, width: int) -> Dict[str, Plan]:
    """All fits of a clip by method."""
    sine = partial(Plan, field="siren", steps=steps, width=width)
    return {
        **{f"{VANILLA} w={omega:g}": sine(form="plain", omega=omega) for omega in OMEGAS},
        PUBLISHED: sine(form="published"),
        PATHS: sine(form="paths"),
        CARRIED: sine(form="carried"),
        GRID: Plan.of({"steps": steps, "base": "none"}),
        DEFAULT: Plan.of({"steps": steps}),
    }


class _Bench:
    """One clip, looked at once, to which fields are fitted."""

    def __init__(self, kept: Sequence[Image], dropped: Sequence[Image], device: torch.device) -> None:
        self._kept, self._dropped, self._device = kept, dropped, device
        self._shot = EncodedShot(kept, device)
        # A tensor made without gradients could not take part in a fit.
        with torch.inference_mode(False):
            self._moving: Session = engine("classic").open(self._shot, EngineSettings(), _silent)
            self._clip = look_at(self._shot, self._moving, tuple(range(len(kept))), _silent, based=True)

    @property
    def motion(self) -> float:
        """What nine tenths of the motion is less than, each vector counted as far as it is believed, pixels."""
        return self._clip.motion

    def fitted(self, plan: Plan) -> Tuple[Fitted, float]:
        """The field and its time, seconds."""
        clip = self._clip if plan.base == "warp" else replace(self._clip, base=None)
        began = _clock(self._device)
        found = fit(clip, plan, _silent)
        return found, _clock(self._device) - began

    def window(self, found: Fitted, plan: Plan) -> Window:
        """As a session holds it."""
        return Window(found.field, found.pace, len(self._kept), plan.base == "warp")

    def row(self, found: Fitted, plan: Plan, seconds: float) -> Row:
        """What it shows of the clip."""
        window, seen, rebuilt = self.window(found, plan), [], []
        for position, frame in enumerate(self._kept):
            if not window.based:
                seen.append(psnr(frame, self._image(window, float(position))))
        for position, truth in enumerate(self._dropped):
            image = self._image(window, position + 0.5)
            rebuilt.append((psnr(truth, image), ssim(truth, image)))
        return Row(_mean(seen), _mean([each[0] for each in rebuilt]), _mean([each[1] for each in rebuilt]), seconds)

    def _image(self, window: Window, moment: float) -> Image:
        with torch.inference_mode():
            planes = window.picture(self._shot.size, moment, self._device)
            if window.based:
                first = int(moment)
                after = first + 2 if first + 2 < len(self._kept) else None
                pair = Pair(first, first + 1, first - 1 if first else None, after)
                (answer,) = self._moving.at(pair, [moment - first])
                planes = planes + base_of(self._shot.proxy(first), self._shot.proxy(first + 1), answer)
        return (planes * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def _subject(
    name: str,
    kept: Sequence[Image],
    dropped: Sequence[Image],
    steps: int,
    width: int,
    device: torch.device,
    told: Callable[[str], None],
) -> Subject:
    bench = _Bench(kept, dropped, device)
    rows = {BLEND: _copied(blend(kept), dropped)}
    rows.update({id: _copied(rebuild(id, kept), dropped) for id in ("classic", "swift")})
    for method, row in rows.items():
        told(f"{name}: {method} {row.psnr:.2f} dB")
    fields: Dict[str, Window] = {}
    for method, plan in plans(steps, width).items():
        found, seconds = bench.fitted(plan)
        rows[method], fields[method] = bench.row(found, plan, seconds), bench.window(found, plan)
        told(f"{name}: {method} {rows[method].seen:.2f} {rows[method].psnr:.2f} dB, {seconds:.1f} s")
    narrow = {}
    for form in ("plain", "published", "paths"):
        plan = Plan(field="siren", form=form, width=NARROW, steps=steps)
        narrow[form] = bench.row(*bench.fitted(plan)[:1], plan, 0.0).seen
        told(f"{name}: narrow, {form} {narrow[form]:.2f} dB")
    return Subject(name, kept, dropped, rows, narrow, bench.motion, fields)


def _race(
    kept: Sequence[Image], dropped: Sequence[Image], most: int, device: torch.device, told: Callable[[str], None]
) -> Dict[str, Race]:
    """The published form as wide as published, and the grids that hold whole colours."""
    bench, found = _Bench(kept, dropped, device), {}
    for method, plan in {
        PUBLISHED: Plan(field="siren", form="published", steps=most, goal=GOAL),
        PATHS: Plan(field="siren", form="paths", steps=most, goal=GOAL),
        GRID: Plan.of({"steps": most, "base": "none", "goal": GOAL}),
    }.items():
        fitted, seconds = bench.fitted(plan)
        row = bench.row(fitted, plan, seconds)
        found[method] = Race(row, fitted.steps, row.seen >= GOAL)
        told(f"race: {method} {row.seen:.2f} {row.psnr:.2f} dB after {fitted.steps} steps, {seconds:.1f} s")
    return found


def _copied(images: Sequence[Image], dropped: Sequence[Image]) -> Row:
    pairs = list(zip(dropped, images))
    return Row(math.nan, _mean([psnr(*pair) for pair in pairs]), _mean([ssim(*pair) for pair in pairs]))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _clock(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic()


def _silent(_: object) -> None:
    """Nobody listens."""
