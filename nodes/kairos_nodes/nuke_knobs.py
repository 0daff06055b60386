"""Knobs of a node in a Nuke script, read with errors that name them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import List, Tuple

from kairos_nodes.curves import Keyed
from kairos_nodes.errors import BadRequest
from kairos_nodes.nk import ScriptNode
from kairos_nodes.nuke_curve import read_nuke_curve
from kairos_nodes.parameter import Value
from kairos_nodes.parameters import PARAMETERS
from kairos_nodes.rational import exact


class Knobs:
    """The knobs of one node.

    Attributes:
        node: as the script holds it.
        notes: what the artist should know about the import.
    """

    def __init__(self, node: ScriptNode) -> None:
        self.node = node
        self.notes: List[str] = []

    def note(self, sentence: str) -> None:
        """Keeps a sentence for the artist."""
        self.notes.append(sentence)

    def refuse(self, knob: str, why: str, remedy: str) -> BadRequest:
        """The error for a knob that cannot be taken over."""
        return BadRequest(f"{self.node.name}: the knob {knob} {why}.", remedy)

    def has(self, knob: str) -> bool:
        """Whether the script gives it, which Nuke does for what is not at its default."""
        return knob in self.node.knobs

    def word(self, knob: str, default: str) -> str:
        """Its text, without braces around the whole."""
        text = self.node.knobs.get(knob, default).strip()
        while text.startswith("{") and text.endswith("}") and _is_one(text):
            text = text[1:-1].strip()
        return text.strip('"')

    def locked(self, knob: str) -> bool:
        """Whether the lock beside a frame of a Retime node is on."""
        return self.word(f"{knob}_lock", "false") in ("true", "1")

    def is_constant(self, knob: str) -> bool:
        """Whether it has no curve."""
        return self.word(knob, "").split()[:1] != ["curve"]

    def number(self, knob: str, default: Fraction) -> Fraction:
        """A number; of a curve that never changes, its value. Raises BadRequest for anything else."""
        if not self.has(knob):
            return default
        if not self.is_constant(knob):
            values = {key.time for key in self.curve(knob).keys}
            if len(values) > 1:
                raise self.refuse(knob, "is animated", "Kairos has one value for the whole shot: remove its keys.")
            return values.pop()
        try:
            return exact(self.word(knob, ""), knob)
        except BadRequest:
            raise self._expression(knob) from None

    def whole(self, knob: str, default: int) -> int:
        """A whole frame number."""
        value = self.number(knob, Fraction(default))
        if value.denominator != 1:
            raise self.refuse(knob, f"is {float(value):g}", "Give a whole frame number.")
        return int(value)

    def curve(self, knob: str) -> Keyed:
        """A curve. Raises BadRequest where it cannot be read, saying why."""
        if self.is_constant(knob):
            raise self._expression(knob)
        try:
            return read_nuke_curve(self.word(knob, ""))
        except BadRequest as error:
            why = error.message[:1].lower() + error.message[1:].rstrip(".")
            raise self.refuse(knob, f"cannot be read ({why})", error.remedy) from None

    def span(self, knob: str) -> Tuple[int, int]:
        """Whole frames around the values of a curve's keys, or around a number."""
        if self.is_constant(knob):
            values = [self.number(knob, Fraction(1))]
        else:
            values = [key.time for key in self.curve(knob).keys]
        return math.floor(min(values)), math.ceil(max(values))

    def check(self, knob: str, parameter: str, value: object) -> Value:
        """The value as Kairos' parameter has it. Raises BadRequest that names the Nuke knob too."""
        try:
            return PARAMETERS[parameter].check(value)
        except BadRequest as error:
            why = error.message.rstrip(".")
            raise self.refuse(knob, f"does not fit ({why})", error.remedy) from None

    def _expression(self, knob: str) -> BadRequest:
        shown = " ".join(self.word(knob, "").replace('"', "").split())[:60]
        return self.refuse(
            knob, f"holds {shown!r}, neither a number nor a curve", "Bake the expression to keys in Nuke first."
        )


def _is_one(text: str) -> bool:
    """Whether the first brace closes with the last."""
    depth = 0
    for position, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return position == len(text) - 1
    return False
