"""How a field is fitted: the engine's options, checked, with what is chosen where they say nothing."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Dict, Mapping, Optional, Union

import torch

from kairos.engines.siren.clip import Clip
from kairos.engines.siren.field import Field, GridField, SirenField
from kairos.engines.siren.loss import FORMS, Form
from kairos.engines.siren.tiles import LEAST, Tile, tiles
from kairos.errors import BadRequest

FORMAT = 1
"""Raised when the same plan begins to give another field."""

FIELDS = ("grid", "siren")
"""One over grids of features, and the plain sine network of the paper."""

BASES = ("warp", "none")
"""What a field is added to: what the motion's engine shows, or nothing."""

STEPS: Mapping[str, int] = {"siren": 2000, "grid": 800}
"""Length of a fit where nobody says."""

_WIDTH: Mapping[str, int] = {"siren": 256, "grid": 32}
_DEPTH: Mapping[str, int] = {"siren": 3, "grid": 0}

_LEAST, _MOST, _MOST_CUDA = 1 << 10, 1 << 14, 1 << 16
"""Points of a step: on a processor few enough that a step ends well within a second."""

MEANINGS: Mapping[str, str] = {
    "field": "grid (default): features on grids, read by a small network; siren: the plain sine network",
    "form": "carried (default): colours are carried along the motion; paths: their change along it is held down at any "
    "time; published: at the frames alone; plain: nowhere",
    "base": "warp (default where colours are carried): only what the motion's engine lacks is fitted; none: all",
    "lambda": "weight of the observed colours against those along the motion: 0.5 carried, else 0.9",
    "omega": "frequency of the sine network, 30",
    "width": "numbers per layer: 256, or 32 with field grid",
    "depth": "sine layers after the first: 3, or none with field grid",
    "steps": "length of the fit: 2000, or 800 with field grid",
    "minutes": "length of a window's fit by the clock, in place of steps",
    "goal": "PSNR of observed pixels at which a fit ends before its time, dB: none",
    "window": "frames fitted together, 9",
    "tile": "side of the tiles of a large frame, pixels; 0 (default): as large as about 2 GB allow",
    "engine": "whose motion the field is held to: classic",
}
"""The engine's options."""


@dataclass(frozen=True)
class Plan:
    """How a field is fitted.

    Attributes:
        field: of :data:`FIELDS`.
        form: of :data:`kairos.engines.siren.loss.FORMS`.
        base: of :data:`BASES`.
        observed: lambda, or None: the form's.
        omega, width, depth: of the sine network.
        steps: of the fit; with ``minutes`` the clock decides instead.
        minutes: of the fit, or None.
        goal: PSNR of observed pixels at which the fit ends before its time, dB; 0 for none.
        window: frames fitted together, two at least.
        tile: side of the tiles that large frames are fitted in, pixels; 0 chooses by the window's size.
        motion: id of the engine that finds the motion.
        batch: points per step; 0 chooses by the clip's size.
        seed: of the network's beginning and of every draw.
        half: products between hidden layers are made in bfloat16.
    """

    field: str = "siren"
    form: str = "paths"
    base: str = "none"
    observed: Optional[float] = None
    omega: float = 30.0
    width: int = 256
    depth: int = 3
    steps: int = 2000
    minutes: Optional[float] = None
    goal: float = 0.0
    window: int = 9
    tile: int = 0
    motion: str = "classic"
    batch: int = 0
    seed: int = 0
    half: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Plan:
        """The plan that options ask for. Raises BadRequest for a value that cannot be."""
        field = _one_of(options, "field", FIELDS)
        form, minutes = _one_of(options, "form", tuple(FORMS)), options.get("minutes")
        base = _one_of(options, "base", BASES if FORMS[form].carried else BASES[::-1])
        if base == "warp" and not FORMS[form].carried:
            raise BadRequest(f"siren: form {form} fits whole colours.", "Leave out base, or use form carried.")
        goal = _number(options, "goal", 0.0, 0.0, 100.0)
        if goal and base == "warp":
            raise BadRequest("siren: a goal is for fits of whole colours.", "Add base=none, or leave out goal.")
        return cls(
            field=field,
            form=form,
            base=base,
            observed=None if options.get("lambda") is None else _number(options, "lambda", 0.5, 0.0, 1.0),
            omega=_number(options, "omega", 30.0, 0.1, 1000.0),
            width=int(_number(options, "width", _WIDTH[field], 4, 4096)),
            depth=int(_number(options, "depth", _DEPTH[field], 0, 16)),
            steps=int(_number(options, "steps", STEPS[field], 1, 10_000_000)),
            minutes=None if minutes is None else _number(options, "minutes", 0.0, 0.001, 100_000.0),
            goal=goal,
            window=int(_number(options, "window", 9, 2, 100_000)),
            tile=_tile(options),
            motion=str(options.get("engine", "classic")),
            batch=int(_number(options, "batch", 0, 0, 1 << 24)),
            seed=int(_number(options, "seed", 0, 0, 2**62)),
        )

    @property
    def constraint(self) -> Form:
        """How the constraint along the motion is put."""
        form = FORMS[self.form]
        return form if self.observed is None else replace(form, observed=self.observed)

    def facts(self) -> Dict[str, Any]:
        """All that decides how a window is fitted, as JSON values."""
        found = {"format": FORMAT, **asdict(self)}
        if self.field == "grid":
            del found["omega"]
        if self.minutes is not None:
            del found["steps"]
        return found

    def tiles_of(self, size: tuple[int, int], frames: int) -> tuple[Tile, ...]:
        """The tiles that a window of so many frames of ``size`` (height, width) is fitted in."""
        return tiles(size, frames, self.tile)

    def batch_of(self, clip: Clip) -> int:
        """Points per step, a power of two: about a sixteenth of the clip's; half where whole colours are carried."""
        if self.batch:
            return self.batch
        pixels = clip.count * clip.size[0] * clip.size[1]
        part = 2 if self.constraint.carried and self.base == "none" else 16
        most = _MOST_CUDA if clip.frames.device.type == "cuda" else _MOST
        return max(_LEAST, min(most, 1 << max(0, round(math.log2(pixels / part)))))

    def build(
        self, size: tuple[int, int], frames: int, motion: float, device: Union[torch.device, str] = "cpu"
    ) -> Field:
        """A fresh field for clips of ``frames`` frames of ``size`` (height, width); the same for the same seed.

        ``motion`` is the clip's, pixels per frame.
        """
        # Begun on the processor, so that a seed means the same on every device.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            field: Field
            if self.field == "grid":
                field = GridField(
                    size, frames, self.constraint.pace_of(frames), motion, self.width, self.depth, self.half
                )
            else:
                field = SirenField(self.width, self.depth, self.omega, self.half)
        return field.to(device)


def _one_of(options: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str:
    value = str(options.get(name, known[0]))
    if value not in known:
        raise BadRequest(f"siren knows no {name} {value!r}.", f"Use {' or '.join(known)}.")
    return value


def _tile(options: Mapping[str, Any]) -> int:
    """A tile's side, 0 for none given."""
    side = int(_number(options, "tile", 0, 0, 100_000))
    return side if side == 0 else int(_number(options, "tile", side, LEAST, 100_000))


def _number(options: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = options.get(name, default)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not least <= number <= most:
        raise BadRequest(f"siren: {name} {value!r} cannot be.", f"Use a number from {least:g} to {most:g}.")
    return number
