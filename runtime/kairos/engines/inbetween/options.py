"""How frames are generated: the engine's options, checked, with what is chosen where they say nothing."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Dict, Mapping, Optional, Tuple

from kairos.engines.inbetween.recipe import CHOICES, Recipe
from kairos.errors import BadRequest

FORMAT = 1
"""Raised when the same options begin to give other pictures."""

PUBLISHED = Recipe()
"""What is taken where nobody says."""

MULTIPLE = 64
"""Sides of the canvas are multiples of this."""

CANVAS = (576, 1024)
"""Height and width of the pictures that the published model was trained on."""

ASPECTS = ("pad", "crop", "stretch")
LONGER = ("retime", "keys")
OFFLOADS = ("auto", "no", "yes")
MAPS = ("auto", *CHOICES["maps"])
MODES = ("auto", *CHOICES["mode"])

NONE = "none"

MEANINGS: Mapping[str, str] = {
    "mode": "auto (default): rotated where tuned differences are kept, else trf; rotated: the temporal attention of "
    "the forward pass, turned by 180 degrees, guides the backward pass; trf: the plain network both ways",
    "changes": "tuned differences: a name of kairos weights list, a file, or none; the first that are kept",
    "layers": "all (default) or up: where rotated attention is injected; up alone needs no tuned differences",
    "frames": "pictures between and with the keys that are generated at once: 25, or 14 with the smaller model",
    "steps": "noise levels, 50",
    "seed": "another seed, another movement: 0",
    "repeats": "how often a step of the first half is made again with fresh noise, 5",
    "until": "part of the steps that are made again, 0.5",
    "guidance": "average (default): the same for all pictures; weighted: each key's own end is guided less",
    "low": "weakest guidance, 1",
    "high": "strongest guidance, 3",
    "fps": "frames per second that the model believes in, 7",
    "bucket": "amount of motion, 1 to 255: 127",
    "noise": "strength of the noise on the keys, 0.02",
    "canvas": "WIDTHxHEIGHT of generated pictures, multiples of 64: 1024x576, or upright 576x1024 for upright plates",
    "aspect": "pad (default): all of the plate, mirrored borders; crop: as large as fits; stretch: squashed",
    "colours": "1 (default): the keys' colours; 0: as generated",
    "detail": "1 (default): detail and highlights come from the keys where they correspond; 0: as generated",
    "grain": "1: grain is taken off the keys and put on all frames anew; 0 (default): it is left alone",
    "longer": "frames at other times than the generated ones: retime (default), by the engine of the motion; keys: "
    "generated once more between neighbours",
    "engine": "what finds the motion: swift",
    "maps": "auto (default, as memory allows), full, half, host or recompute: how attention waits",
    "offload": "auto (default), no or yes: networks that are not at work wait on the host",
    "split": "auto (default), no or yes: guidance in two passes, with half the memory",
    "chunk": "pictures that are decoded together: auto (default) or a number",
    "preview": "steps from contact sheet to contact sheet, 5; 0 for none",
}
"""The engine's options."""

_WHOLE = frozenset({"frames", "steps", "seed", "repeats", "fps", "bucket"})
_CANVAS = re.compile(r"(\d{2,5})x(\d{2,5})")


@dataclass(frozen=True)
class Options:
    """How a pair's frames are generated.

    Attributes:
        recipe: of the generation. Its ``maps`` and ``split`` hold where :attr:`asked` names them.
        mode: of :data:`MODES`, as asked for; ``recipe.mode`` is what it means once it is settled.
        changes: tuned differences by name or file; empty for those that are kept; ``none``.
        canvas: height and width, pixels; None chooses by the plate.
        aspect, longer: of :data:`ASPECTS` and :data:`LONGER`.
        colours, detail, grain: what is done with generated pictures.
        motion: id of the engine that finds the motion.
        chunk: pictures decoded together, which shows a little; 0 chooses.
        offload: networks wait on the host; None chooses.
        preview: steps between contact sheets, 0 for none.
        asked: the switches for memory that are not to be chosen.
        frames_asked: the recipe's ``frames`` are wanted, and not just what most models make.
    """

    recipe: Recipe = PUBLISHED
    mode: str = "auto"
    changes: str = ""
    canvas: Optional[Tuple[int, int]] = None
    aspect: str = "pad"
    longer: str = "retime"
    colours: bool = True
    detail: bool = True
    grain: bool = False
    motion: str = "swift"
    chunk: int = 0
    offload: Optional[bool] = None
    preview: int = 5
    asked: Tuple[str, ...] = ()
    frames_asked: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Options:
        """What options ask for. Raises BadRequest for a value that cannot be."""
        mode, maps = _one_of(options, "mode", MODES), _one_of(options, "maps", MAPS)
        split, offload = _one_of(options, "split", OFFLOADS), _one_of(options, "offload", OFFLOADS)
        told: Dict[str, Any] = {}
        for each in fields(Recipe):
            if each.name in options and each.name not in ("mode", "maps", "split"):
                told[each.name] = _value(options, each.name)
        told.update(mode="rotated" if mode == "auto" else mode, maps="full" if maps == "auto" else maps)
        try:
            recipe = replace(PUBLISHED, **told, split=split == "yes")
        except BadRequest as error:
            raise BadRequest(f"inbetween: {error.message}", error.remedy) from None
        chunk = options.get("chunk", "auto")
        given = {
            "maps": maps != "auto",
            "split": split != "auto",
            "offload": offload != "auto",
            "chunk": chunk != "auto",
        }
        return cls(
            recipe=recipe,
            mode=mode,
            changes=str(options.get("changes", "")),
            canvas=_canvas(options),
            aspect=_one_of(options, "aspect", ASPECTS),
            longer=_one_of(options, "longer", LONGER),
            colours=_switch(options, "colours", True),
            detail=_switch(options, "detail", True),
            grain=_switch(options, "grain", False),
            motion=str(options.get("engine", "swift")),
            chunk=0 if chunk == "auto" else _whole(options, "chunk", 1, 100),
            offload=None if offload == "auto" else offload == "yes",
            preview=_whole(options, "preview", 0, 1000) if "preview" in options else 5,
            asked=tuple(name for name, told in given.items() if told),
            frames_asked="frames" in options,
        )

    def settled(self, tuned: bool) -> Options:
        """With the mode made certain; ``tuned``: there are differences. Raises BadRequest where they are needed."""
        mode = self.recipe.mode
        if self.mode == "auto":
            mode = "rotated" if tuned or self.recipe.layers == "up" else "trf"
        elif mode == "rotated" and not tuned and self.recipe.layers == "all":
            raise BadRequest(
                "inbetween: rotated attention in all layers needs tuned differences, and there are none.",
                "Add them (kairos weights add FILE), or use mode=trf or layers=up, which need none.",
            )
        return replace(self, recipe=replace(self.recipe, mode=mode))

    def canvas_of(self, size: Tuple[int, int]) -> Tuple[int, int]:
        """Height and width of generated pictures for a plate of ``size`` (height, width)."""
        if self.canvas is not None:
            return self.canvas
        return CANVAS if size[1] >= size[0] else (CANVAS[1], CANVAS[0])

    def generated(self) -> Dict[str, Any]:
        """All that decides what is generated from two pictures, as JSON values; how memory is saved is none of it."""
        found = {**asdict(self.recipe), "format": FORMAT}
        for name in ("maps", "split"):
            del found[name]
        return found

    def facts(self) -> Dict[str, Any]:
        """All that decides what frames look like, as JSON values."""
        found = {**asdict(self), "recipe": self.generated()}
        for name in ("mode", "changes", "offload", "preview", "asked", "frames_asked"):
            del found[name]
        return found


def _value(options: Mapping[str, Any], name: str) -> Any:
    """A recipe's value, of the type that it has to be."""
    if name in CHOICES:
        return _one_of(options, name, CHOICES[name])
    return (_whole if name in _WHOLE else _number)(options, name, -math.inf, math.inf)


def _one_of(options: Mapping[str, Any], name: str, known: Tuple[str, ...]) -> str:
    value = str(options.get(name, known[0]))
    if value not in known:
        raise BadRequest(f"inbetween knows no {name} {value!r}.", f"Use {', '.join(known[:-1])} or {known[-1]}.")
    return value


def _switch(options: Mapping[str, Any], name: str, default: bool) -> bool:
    told = str(options.get(name, "1" if default else "0")).lower()
    if told not in ("0", "1", "no", "yes", "false", "true"):
        raise BadRequest(f"inbetween: {name} {told!r} cannot be.", "Use 0 or 1.")
    return told in ("1", "yes", "true")


def _canvas(options: Mapping[str, Any]) -> Optional[Tuple[int, int]]:
    told = str(options.get("canvas", "auto"))
    if told == "auto":
        return None
    match = _CANVAS.fullmatch(told)
    if match is None or any(int(side) < MULTIPLE or int(side) % MULTIPLE for side in match.groups()):
        raise BadRequest(
            f"inbetween: canvas {told!r} cannot be.", f"Use WIDTHxHEIGHT in multiples of {MULTIPLE}, such as 1024x576."
        )
    return int(match[2]), int(match[1])


def _whole(options: Mapping[str, Any], name: str, least: float, most: float) -> int:
    """A number without a fraction, however it is written; a seed of 19 digits keeps all of them."""
    number = _number(options, name, least, most)
    if number != int(number):
        raise BadRequest(f"inbetween: {name} {options[name]!r} cannot be.", "Use a whole number.")
    try:
        return int(str(options[name]))
    except ValueError:
        return int(number)


def _number(options: Mapping[str, Any], name: str, least: float, most: float) -> float:
    value = options.get(name)
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and least <= number <= most):
        raise BadRequest(
            f"inbetween: {name} {value!r} cannot be.",
            "Use a number." if math.isinf(least) else f"Use a number from {least:g} to {most:g}.",
        )
    return number
