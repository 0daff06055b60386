"""The artist's words about regions: where a shot's objects come from, and what is done with each of them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Dict, Tuple

from kairos_nodes.errors import BadRequest

REST = "rest"
"""What belongs to no object."""

FURTHEST = 1000
"""Steps of layer order in front of and behind the rest."""

_READINGS = ("ids", "mattes")
_FORMS = 'FILE####.exr:LAYER, a layer of the plate, crypto:LAYER=name,name;name, auto, tags:"dog. person.", or none'
_DOES = "retime, hold, front, back or a whole number"
_FILE = re.compile(r"[/\\#@%]|\$F|\.(exr|sxr|mxr|png|tiff?|dpx|jpe?g|tga|mov|mp4|mkv)$", re.IGNORECASE)
_TAGS = 64


@dataclass(frozen=True)
class RegionSource:
    """Where a shot's objects come from.

    Attributes:
        kind: ``layers`` (an ID layer or mattes), ``crypto`` (Cryptomatte), ``auto`` (what moves apart), ``tags``
            (what open-world models find) or ``none`` (all is one).
        place: of layers and Cryptomatte: a layer of the plate, a file, or ``FILE:LAYER``; empty for the only one.
        reading: of layers: ``ids`` or ``mattes``; empty recognises which of them they are.
        objects: of Cryptomatte: the names that make up each object; empty takes every name as one.
        tags: words for what is to be found.
    """

    kind: str
    place: str = ""
    reading: str = ""
    objects: Tuple[Tuple[str, ...], ...] = ()
    tags: Tuple[str, ...] = ()


@dataclass(frozen=True)
class RegionChoice:
    """What is done with one object.

    Attributes:
        hold: it is taken from the nearer source frame, unmoved.
        order: where objects meet, the higher is in front; the rest and every object not named have 0.
    """

    hold: bool = False
    order: int = 0


def parse_regions(text: str) -> RegionSource:
    """What ``--regions`` says.

    Raises:
        BadRequest: an empty list of tags or names, or a name that is asked for twice.
    """
    stripped = text.strip()
    head, colon, tail = stripped.partition(":")
    if stripped in ("auto", "none"):
        return RegionSource(stripped)
    if colon and head == "tags":
        return RegionSource("tags", tags=_tags(tail))
    if colon and head == "crypto":
        place, equals, names = tail.partition("=")
        if equals and not names.strip():
            raise BadRequest(f"--regions {text}: no name follows the =.", "Write crypto:LAYER=name,name;name.")
        return RegionSource("crypto", place.strip(), objects=_objects(names, text))
    if colon and head in _READINGS:
        stripped, reading = tail.strip(), head
    else:
        reading = ""
    if not stripped:
        raise BadRequest(f"--regions {text!r} names nothing.", f"Give {_FORMS}.")
    return RegionSource("layers", stripped, reading)


def _tags(text: str) -> Tuple[str, ...]:
    words = (word.strip().lower() for word in re.split(r"[.,;]", text.strip().strip("\"'")))
    tags = tuple(dict.fromkeys(word for word in words if word))
    if not tags:
        raise BadRequest("--regions tags: names nothing to look for.", 'Write it like tags:"dog. person."')
    if len(tags) > _TAGS:
        raise BadRequest(f"--regions tags: {len(tags)} tags are too many.", f"Give at most {_TAGS}.")
    return tags


def _objects(text: str, whole: str) -> Tuple[Tuple[str, ...], ...]:
    objects = []
    for piece in text.split(";"):
        names = tuple(name.strip() for name in piece.split(",") if name.strip())
        if names:
            objects.append(names)
    every = [name for names in objects for name in names]
    twice = sorted({name for name in every if every.count(name) > 1})
    if twice:
        raise BadRequest(f"--regions {whole}: {', '.join(twice)} is asked for twice.", "A name is in one object.")
    return tuple(objects)


def split_place(place: str) -> Tuple[str, str]:
    """A file and its layer from ``FILE:LAYER``; the layer is empty where there is none. A drive's letter is no file."""
    head, colon, tail = place.rpartition(":")
    if colon and len(head) > 1 and not re.search(r"[/\\]", tail):
        return head, tail
    return place, ""


def is_file(place: str) -> bool:
    """True where a place can only be a file, or a file lies there."""
    file, _ = split_place(place)
    return bool(_FILE.search(file)) or os.path.exists(file)  # noqa: PTH110 - a pattern is no plain path


def from_here(text: str) -> str:
    """``--regions`` with its file as seen from this process' folder."""
    source = parse_regions(text)
    if source.kind not in ("layers", "crypto") or not source.place or not is_file(source.place):
        return text
    file, _ = split_place(source.place)
    return text.replace(file, os.path.abspath(os.path.expanduser(file)), 1)  # noqa: PTH100, PTH111


def parse_region_rules(text: str) -> Dict[str, RegionChoice]:
    """What ``--region-rules`` says of each object, by name, from ``NAME=DOES,NAME=DOES``.

    DOES is ``retime``, ``hold``, ``front`` (1), ``back`` (-1) or a place in the layer order; ``hold+front`` says two
    things at once.

    Raises:
        BadRequest: a piece that is no pair, an unknown word, or an object named twice.
    """
    choices: Dict[str, RegionChoice] = {}
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, words = (word.strip() for word in piece.rpartition("="))
        if not name or not equals:
            raise BadRequest(f"--region-rules: {piece!r} is not NAME=WHAT.", f"WHAT is {_DOES}.")
        if name in choices:
            raise BadRequest(f"--region-rules: {name!r} is named twice.", "Join what it does: hold+front.")
        choices[name] = _choice(name, words)
    return choices


def _choice(name: str, words: str) -> RegionChoice:
    hold, order = False, 0
    for word in (word.strip() for word in words.split("+")):
        if word == "hold":
            hold = True
        elif word in ("front", "back"):
            order = 1 if word == "front" else -1
        elif re.fullmatch(r"-?\d{1,6}", word) and abs(int(word)) <= FURTHEST:
            order = int(word)
        elif word != "retime":
            raise BadRequest(
                f"--region-rules: {name} cannot be {word!r}.",
                f"Use {_DOES} from -{FURTHEST} to {FURTHEST}, joined by +.",
            )
    return RegionChoice(hold, order)
