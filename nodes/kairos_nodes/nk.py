"""Nuke's script text (``.nk``, ``.gizmo``, the clipboard) as nodes and their knobs.

The format is Tcl: commands of words, a node being its class followed by a braced list of knobs and values. Nothing is
evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Tuple

from kairos_nodes.errors import BadRequest

_REMEDY = "Copy the node in Nuke and paste its text, or give the saved script."
_SPACES = " \t"
_ENDS = "\n\r;"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True)
class ScriptNode:
    """A node as a script holds it.

    Attributes:
        cls: its class, such as ``Kronos``.
        knobs: values as text by knob, without their outer braces; those at their default are absent.
        line: where it begins in the script, from 1.
    """

    cls: str
    knobs: Mapping[str, str]
    line: int

    @property
    def name(self) -> str:
        """What the artist calls it; its class where the script gives it no name."""
        return self.knobs.get("name", self.cls)


def read_script(text: str) -> Tuple[ScriptNode, ...]:
    """Every node of a script in order; those inside groups too.

    Raises:
        BadRequest: braces or quotes that do not close, naming the line.
    """
    found: List[ScriptNode] = []
    for line, words in _commands(text.lstrip("\ufeff"), 1):
        # A clone is written "clone ADDRESS|Kronos|33 Kronos {knobs}".
        if len(words) < 2 or not words[-1].braced or words[0].text in ("set", "push", "add_layer", "version"):
            continue
        knobs: Dict[str, str] = {}
        for _, pair in _commands(words[-1].text, line):
            if len(pair) >= 2 and pair[0].text != "addUserKnob":
                knobs[pair[0].text] = pair[1].text
        found.append(ScriptNode(words[-2].text, knobs, line))
    return tuple(found)


@dataclass(frozen=True)
class _Word:
    text: str
    braced: bool = False


def _commands(text: str, first_line: int) -> List[Tuple[int, List[_Word]]]:
    """Commands as (line, words)."""
    commands: List[Tuple[int, List[_Word]]] = []
    words: List[_Word] = []
    position, line = 0, first_line
    begun = line
    while position < len(text):
        char = text[position]
        if char in _ENDS:
            if words:
                commands.append((begun, words))
                words = []
            position += 1
        elif char in _SPACES:
            position += 1
        elif text.startswith("\\\n", position):
            position += 2
        elif char == "#" and not words:
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
            continue
        else:
            if not words:
                begun = line
            word, end = _word(text, position, line)
            words.append(word)
            line += text.count("\n", position, end)
            position = end
            continue
        line += text.count("\n", position - 1, position)
    if words:
        commands.append((begun, words))
    return commands


def _word(text: str, start: int, line: int) -> Tuple[_Word, int]:
    """The word that begins at ``start``, and where it ends."""
    if text[start] == "{":
        end = _closing(text, start, line)
        return _Word(text[start + 1 : end], True), end + 1
    quoted = text[start] == '"'
    position, depth = start + quoted, 0
    chars: List[str] = []
    while position < len(text):
        char = text[position]
        if char == "\\" and position + 1 < len(text):
            following = text[position + 1]
            chars.append(_ESCAPES.get(following, following))
            position += 2
            continue
        if quoted and char == '"':
            return _Word("".join(chars)), position + 1
        if not quoted and depth == 0 and char in _SPACES + _ENDS:
            break
        depth += (char == "[") - (char == "]" and depth > 0)
        chars.append(char)
        position += 1
    if quoted or depth:
        raise BadRequest(f"Nuke script, line {line}: a quote or bracket never closes.", _REMEDY)
    return _Word("".join(chars)), position


def _closing(text: str, start: int, line: int) -> int:
    """Where the brace that opens at ``start`` closes."""
    depth, position = 0, start
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    raise BadRequest(f"Nuke script, line {line}: a brace never closes.", _REMEDY)
