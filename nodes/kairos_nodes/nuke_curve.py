"""Nuke's animation curves as text, read and written.

Grammar and the meaning of interpolations follow Foundry's NDK guide ("Curve serialisation format") and the
``nuke.AnimationKey`` reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from kairos_nodes.curves import Key, Keyed, secants, within_hull
from kairos_nodes.errors import BadRequest
from kairos_nodes.rational import exact

_REMEDY = "Copy the curve's text from Nuke's curve editor, or bake the curve to linear keys first."
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,2})?")


@dataclass
class _Raw:
    """A key as written: slopes None where Nuke computes them."""

    frame: Fraction
    time: Fraction
    interpolation: str
    slope_in: Optional[Fraction] = None
    slope_out: Optional[Fraction] = None
    reach_in: Fraction = Fraction(1)
    reach_out: Fraction = Fraction(1)


def read_nuke_curve(text: str) -> Keyed:
    """The curve in text such as ``{curve L x1 1 x20 10.5 K x30 12}``.

    Understood: ``x`` frames (or none: the next), values, ``K`` constant, ``L`` linear, ``S`` smooth, ``R``
    Catmull-Rom, ``s``/``t`` left and right slope, ``u``/``v`` left and right handle length, ``k``/``l`` constant or
    linear beyond the ends, ``i``/``I``, ``C`` cubic (its slope bends without a jump). A letter holds
    for the keys after it too. At the ends, slopes that the text does not give point at the neighbouring key.

    Raises:
        BadRequest: no curve, an unknown token, or keys that do not ascend.
    """
    raw, before, after = _parse(text)
    keys = [Key(key.frame, key.time) for key in raw]
    chords = secants(keys)
    result: List[Key] = []
    for index, key in enumerate(raw):
        left = chords[index - 1] if index else (chords[0] if chords else Fraction(0))
        right = chords[index] if index < len(chords) else left
        slope_in, slope_out = left, right
        if key.slope_in is not None:
            slope_in, slope_out = key.slope_in, key.slope_in if key.slope_out is None else key.slope_out
        elif key.slope_out is not None:
            slope_out = key.slope_out
        elif key.interpolation in "SR" and 0 < index < len(chords):
            previous, following = raw[index - 1], raw[index + 1]
            slope = (following.time - previous.time) / (following.frame - previous.frame)
            if key.interpolation == "S":
                slope = within_hull(within_hull(slope, left), right) if left * right > 0 else Fraction(0)
            slope_in = slope_out = slope
        given = key.slope_in is not None or key.slope_out is not None
        shape = "hold" if key.interpolation == "K" and not given else "smooth"
        result.append(Key(key.frame, key.time, shape, slope_in, slope_out, key.reach_in, key.reach_out))
    _settle_cubic(raw, result, chords)
    for index, chord in enumerate(chords):
        here, there = result[index], result[index + 1]
        straight = here.slope_out == there.slope_in == chord and here.reach_out == there.reach_in == 1
        if here.shape == "smooth" and straight:
            result[index] = replace(here, shape="linear")
    slope_before = result[0].slope_in if before == "l" else None
    slope_after = result[-1].slope_out if after == "l" else None
    return Keyed(tuple(result), slope_before, slope_after)


def write_nuke_curve(frames: Iterable[Tuple[int, Fraction]]) -> str:
    """A curve with one linear key for each (output frame, source time); values to twelve significant digits."""
    keys = " ".join(f"x{frame} {float(time):.12g}" for frame, time in frames)
    return "{curve L " + keys + "}"


def _settle_cubic(raw: Sequence[_Raw], keys: List[Key], chords: Sequence[Fraction]) -> None:
    """Gives keys marked ``C`` the slopes at which the curve's second derivative is continuous.

    At key i, between segments of length g and h with chord slopes c and d, equal second derivatives of the two Hermite
    cubics mean ``(m[i-1] + 2 m[i]) / g + (2 m[i] + m[i+1]) / h = 3 c / g + 3 d / h``. Neighbours that are no such keys
    keep the slope they have; beside a held key there is nothing to continue.
    """
    inner = range(1, len(keys) - 1)
    free = [
        index
        for index in inner
        if raw[index].interpolation == "C"
        and raw[index].slope_in is None
        and raw[index].slope_out is None
        and keys[index - 1].shape != "hold"
    ]
    # One pass down and one up (Thomas): upper holds each row's factor of the slope after it.
    upper: Dict[int, Fraction] = {}
    right: Dict[int, Fraction] = {}
    for i in free:
        g, h = keys[i].frame - keys[i - 1].frame, keys[i + 1].frame - keys[i].frame
        diagonal = 2 / g + 2 / h
        total = 3 * (chords[i - 1] / g + chords[i] / h)
        if i - 1 in upper:
            diagonal -= upper[i - 1] / g
            total -= right[i - 1] / g
        else:
            total -= keys[i - 1].slope_out / g
        if i + 1 in free:
            upper[i] = 1 / (h * diagonal)
        else:
            upper[i] = Fraction(0)
            total -= keys[i + 1].slope_in / h
        right[i] = total / diagonal
    for i in reversed(free):
        slope = right[i] - upper[i] * keys[i + 1].slope_in
        keys[i] = replace(keys[i], slope_in=slope, slope_out=slope)


def _parse(text: str) -> Tuple[List[_Raw], str, str]:
    """Keys as written, and the extrapolation (``k`` or ``l``) before the first and after the last."""
    body = text.strip()
    while body.startswith("{") and body.endswith("}"):
        body = body[1:-1].strip()
    words = body.split()
    if not words or words[0] != "curve":
        raise BadRequest(f"Nuke curve: {text.strip()[:60]!r} does not begin with 'curve'.", _REMEDY)
    keys: List[_Raw] = []
    interpolation, frame = "S", None  # type: str, Optional[Fraction]
    pending_end, ends = "k", []  # type: str, List[str]
    for word in words[1:]:
        if word in ("i", "I"):
            continue
        if word in ("K", "L", "S", "R", "C"):
            interpolation = word
        elif word in ("k", "l"):
            pending_end = word
        elif word[0] == "x":
            frame = _number(word[1:], word)
        elif word[0] in "stuv" and keys:
            name = {"s": "slope_in", "t": "slope_out", "u": "reach_in", "v": "reach_out"}[word[0]]
            value = _number(word[1:], word)
            if word[0] in "uv" and not 0 <= value <= 3:
                raise BadRequest(f"Nuke curve: handle length {word!r} is outside 0..3.", _REMEDY)
            setattr(keys[-1], name, value)
        else:
            time = _number(word, word)
            if frame is None:
                frame = _next_frame(keys)
            if keys and frame <= keys[-1].frame:
                raise BadRequest(f"Nuke curve: key x{float(frame):g} does not come after the key before it.", _REMEDY)
            keys.append(_Raw(frame, time, interpolation))
            ends.append(pending_end)
            frame = None
    if not keys:
        raise BadRequest(f"Nuke curve: {text.strip()[:60]!r} has no keys.", _REMEDY)
    return keys, ends[0], ends[-1]


def _next_frame(keys: List[_Raw]) -> Fraction:
    """Where a key without an ``x`` lies: as far on as the two keys before it are apart; 0 for the first.

    The second lies at twice the first (NDK guide), as if a key at 0 came before; after a first key at 0, at 1.
    """
    if not keys:
        return Fraction(0)
    if len(keys) == 1:
        return 2 * keys[0].frame if keys[0].frame > 0 else keys[0].frame + 1
    return 2 * keys[-1].frame - keys[-2].frame


def _number(text: str, token: str) -> Fraction:
    if _NUMBER.fullmatch(text) is None:
        raise BadRequest(f"Nuke curve: {token!r} is not understood.", _REMEDY)
    return exact(text, "Nuke curve")
