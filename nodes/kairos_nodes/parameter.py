"""What a parameter is, and how a value is checked against it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Callable, Dict, Mapping, Optional, Tuple, Union

from kairos_nodes.errors import BadRequest
from kairos_nodes.ranges import frames_text, parse_frames, parse_range
from kairos_nodes.rational import exact, number_text

Value = Union[None, bool, int, float, str]
"""What a job holds: plain JSON values. Fractions, ranges and frame lists are canonical text."""

KINDS = ("choice", "int", "float", "fraction", "text", "path", "bool", "range", "frames")


@dataclass(frozen=True)
class Parameter:
    """One knob of Kairos, wherever it shows: command line flag, host knob, widget, farm parameter, documentation row.

    Attributes:
        name: of the job's field.
        kind: one of :data:`KINDS`.
        label: what a panel shows.
        help: one sentence for artists.
        flag: on the command line, with the opposite after a slash (``--masks/--no-masks``); None for an argument.
        default: the value where nothing is given; None where there is none.
        choices: closed list for the kind ``choice``; the first is the default.
        accepts: for choices, a regular expression of other values that are taken too.
        form: how those other values look, for people (``N``, ``LAYER``).
        minimum, maximum: both included; ``above`` excludes the minimum itself.
        unit: of the number, in the trade's words.
        kronos: name of Kronos' knob where the meaning is the same.
        kronos_factor: our value = that knob's value * factor.
        jobs: which of ``retime``, ``vectors``, ``inbetween`` use it.
        required: must be given.
        in_job: False for what only the command line has.
        job_defaults: defaults of single jobs that differ.
        parse: a further check of text, which raises BadRequest.
    """

    name: str
    kind: str
    label: str
    help: str
    flag: Optional[str]
    default: Value = None
    choices: Tuple[str, ...] = ()
    accepts: str = ""
    form: str = ""
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    above: bool = False
    unit: str = ""
    kronos: str = ""
    kronos_factor: float = 1.0
    jobs: Tuple[str, ...] = ()
    required: bool = False
    in_job: bool = True
    job_defaults: Mapping[str, Value] = field(default_factory=dict)
    parse: Optional[Callable[[str], object]] = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: unknown kind {self.kind!r}")
        if self.choices and self.default != self.choices[0]:
            raise ValueError(f"{self.name}: the first choice is the default")

    @property
    def title(self) -> str:
        """How an error names it: its flag, or its argument's name."""
        return self.name.upper() if self.flag is None else self.flag.partition("/")[0]

    def for_job(self, job: str) -> Parameter:
        """The same parameter with this job's own default."""
        if job not in self.job_defaults:
            return self
        default = self.job_defaults[job]
        first = [choice for choice in self.choices if choice == default]
        rest = [choice for choice in self.choices if choice != default]
        return replace(self, default=default, choices=(*first, *rest))

    def check(self, value: object) -> Value:
        """The value in canonical form.

        None (not given) becomes the default. Numbers may come as text.

        Raises:
            BadRequest: naming the flag, the bad value and the remedy.
        """
        if value is None or (value == "" and self.default is None and not self.required):
            if self.required:
                raise BadRequest(f"{self.title} is missing.", self.help)
            return self.default
        try:
            return _CHECKS[self.kind](self, value)
        except OverflowError:
            raise self.refuse(value, "is out of range", f"Give {_span(self)}.") from None

    def refuse(self, value: object, why: str, remedy: str) -> BadRequest:
        """The error for a value that cannot be."""
        return BadRequest(f"{self.title}: {str(value)[:80]!r} {why}.", remedy)


def _bounded(parameter: Parameter, value: object, number: float) -> None:
    low, high = parameter.minimum, parameter.maximum
    too_low = low is not None and (number <= low if parameter.above else number < low)
    if not math.isfinite(number) or too_low or (high is not None and number > high):
        remedy = f"Give {_span(parameter)}{' ' + parameter.unit if parameter.unit else ''}."
        raise parameter.refuse(value, "is out of range", remedy)


def _span(parameter: Parameter) -> str:
    low, high = parameter.minimum, parameter.maximum
    if low is None and high is None:
        return "a finite number"
    lowest = "" if low is None else f"more than {low:g}" if parameter.above else f"{low:g} or more"
    if high is None:
        return lowest
    return f"{low:g} to {high:g}" if low is not None and not parameter.above else f"{lowest} up to {high:g}".strip()


def _text(parameter: Parameter, value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise parameter.refuse(value, "is not text", parameter.help)
    if parameter.required and not value.strip():
        raise BadRequest(f"{parameter.title} is empty.", parameter.help)
    if parameter.parse is not None and value:
        parameter.parse(value)
    return value


def _choice(parameter: Parameter, value: object) -> str:
    text = str(value).strip()
    if text in parameter.choices:
        return text
    if parameter.accepts and re.fullmatch(parameter.accepts, text):
        if parameter.parse is not None:
            parameter.parse(text)
        return text
    known = ", ".join([*parameter.choices, *([parameter.form] if parameter.form else [])])
    raise parameter.refuse(value, "is not one of the choices", f"Use one of {known}.")


def _int(parameter: Parameter, value: object) -> int:
    number = value
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d{1,18}\s*", value):
        number = int(value)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int):
        raise parameter.refuse(value, "is not a whole number", f"Give {_span(parameter)}.")
    _bounded(parameter, value, number)
    return number


def _float(parameter: Parameter, value: object) -> float:
    number = float(exact(value, parameter.title))  # type: ignore[arg-type]
    _bounded(parameter, value, number)
    return number


def _fraction(parameter: Parameter, value: object) -> str:
    number = exact(value, parameter.title)  # type: ignore[arg-type]
    _bounded(parameter, value, float(number))
    return number_text(number)


def _bool(parameter: Parameter, value: object) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if isinstance(value, bool):
        return value
    if str(value).strip().lower() in words:
        return words[str(value).strip().lower()]
    raise parameter.refuse(value, "is neither true nor false", "Give true or false.")


def _range(parameter: Parameter, value: object) -> str:
    if isinstance(value, (list, tuple)) and len(value) == 2:
        value = f"{value[0]}-{value[1]}"
    first, last = parse_range(str(value), parameter.title)
    return f"{first}-{last}"


def _frames(parameter: Parameter, value: object) -> str:
    return frames_text(parse_frames(str(value), parameter.title))


_CHECKS: Dict[str, Callable[[Parameter, object], Value]] = {
    "choice": _choice,
    "int": _int,
    "float": _float,
    "fraction": _fraction,
    "text": _text,
    "path": _text,
    "bool": _bool,
    "range": _range,
    "frames": _frames,
}
