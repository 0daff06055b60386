"""Which eye (EXR view) each channel of a file belongs to, in all the ways files say it."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Sequence, Tuple, Union

from kairos.frame import Part

from .header import Headed, PartHeader

AnyPart = Union[Part, PartHeader]

_EYES = ("left", "right")


class Placed(NamedTuple):
    """A channel's place: its view (empty where the file has none), and its layer and component without the view."""

    view: str
    layer: str
    component: str


def views_of_file(found: Headed) -> Tuple[str, ...]:
    """The file's views, the hero eye first; empty where it has none.

    Read off the ``multiView`` attribute of single-part files, the parts' ``view`` attributes, or part names that end in
    ``_left`` and ``_right``.
    """
    multi = found.parts[0].metadata.get("multiView")
    if multi is not None and isinstance(multi.value, tuple):
        return tuple(dict.fromkeys(str(view) for view in multi.value if view))
    views = dict.fromkeys(part.view for part in found.parts if part.view)
    if not views:
        ends = dict.fromkeys(end for part in found.parts if (end := _eye_in_name(part.name)))
        views = ends if set(ends) == set(_EYES) else {}
    return tuple(views)


def _eye_in_name(name: str) -> str:
    match = re.search(r"(?:^|[._])(left|right)$", name, re.IGNORECASE)
    return match.group(1).lower() if match else ""


def without_view(name: str, view: str) -> str:
    """A part's or layer's name without its view: ``rgba_right`` and ``rgba.right`` are ``rgba``."""
    if not view:
        return name
    if name.lower() == view.lower():
        return ""
    for mark in "._":
        if name.lower().endswith(mark + view.lower()):
            return name[: -len(view) - 1]
    return name


def place(part: AnyPart, views: Sequence[str]) -> List[Placed]:
    """The place of each of a part's channels, in order. Layers of parts that name no view belong to the hero's."""
    of_part = part.view or next((view for view in views if _ends_with(part.name, view)), "")
    placed = []
    for channel in part.channels:
        prefix, _, component = channel.rpartition(".")
        view, words = of_part, prefix.split(".") if prefix else []
        if not view and words and words[-1] in views:
            view, words = words[-1], words[:-1]
        elif view and words and words[-1] == view:
            words = words[:-1]
        placed.append(Placed(view or (views[0] if views else ""), ".".join(words), component))
    return placed


def _ends_with(name: str, view: str) -> bool:
    return without_view(name, view) != name
