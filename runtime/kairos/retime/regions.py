"""A shot's objects as the job's ``--regions`` names them, and what ``--region-rules`` wants done with each."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Dict, Mapping, Optional, Protocol, Tuple

import numpy as np
import torch
from torch import Tensor

from kairos.color import ColorConfig
from kairos.engines.hierarchical.masks.layers import Labels
from kairos.errors import BadRequest, FrameError
from kairos.frame import Window
from kairos.images import open_shot
from kairos.images.sequences import listed_frames
from kairos.motion.region_choice import RegionRule
from kairos_nodes.regions import REST, RegionSource, is_file, parse_region_rules, parse_regions, split_place

from .footage import Footage, Picked, Reduced
from .layout import Layout
from .plate import Plate
from .region_crypto import choose_crypto, crypto_names
from .region_found import FoundRegions
from .region_layers import choose_layers, has_layers, known_layers, near
from .region_sheets import Reading, Sheet

KEPT = 12
"""Label maps kept, of any view."""


class Regions(Protocol):
    """Objects of a shot."""

    @property
    def names(self) -> Mapping[int, str]:
        """Of the objects by number, as far as they are known; others go by their number."""

    @property
    def rules(self) -> Mapping[int, RegionRule]:
        """What is done with objects, by number."""

    def labels(self, plate: Plate, view: str, position: int) -> Tensor:
        """(H, W) int16 label map on the view's canvas. Raises FrameError."""

    def identity(self, position: int) -> str:
        """What a position's labels come from, beside the plate itself."""

    def close(self) -> None:
        """Lets go of files."""


def open_regions(text: str, rules: str, shot: Footage, layout: Layout, config: ColorConfig) -> Optional[Regions]:
    """What a job's ``--regions`` names; None where it names nothing, or ``none``.

    Args:
        text: of ``--regions``.
        rules: of ``--region-rules``.
        shot: the plate, possibly reduced.
        layout: of the plate.
        config: colour conversions.

    Raises:
        BadRequest: there is no such layer, file or Cryptomatte name, or a rule names no object.
        FrameError: a sequence does not cover the plate's frames, or is of another shape.
    """
    if not text or parse_regions(text).kind == "none":
        if rules:
            raise BadRequest(f"--region-rules {rules}: the job has no objects.", "Say with --regions what they are.")
        return None
    source = parse_regions(text)
    if source.kind in ("auto", "tags"):
        return FoundRegions(source, shot, rules_of(rules))
    plate = shot.full if isinstance(shot, Reduced) else shot
    beside = _beside(source, plate.whole if isinstance(plate, Picked) else plate, config)
    footage, offset = (plate, 0) if beside is None else beside
    if beside is not None and isinstance(plate, Picked):
        footage, offset = Picked(footage, [offset + position for position in plate.positions]), 0
    try:
        return LayerRegions(source, rules, footage, offset, plate, layout, beside is not None)
    except BaseException:
        if beside is not None:
            footage.close()
        raise


def rules_of(text: str, names: Optional[Mapping[int, str]] = None) -> Dict[int, RegionRule]:
    """Rules by number from ``--region-rules``, where objects are called by name or number.

    Args:
        text: of ``--region-rules``.
        names: of all objects by number; None where only numbers can be told.

    Raises:
        BadRequest: an object that there is not, with those most like it.
    """
    found: Dict[int, RegionRule] = {}
    for name, choice in parse_region_rules(text).items():
        found[_number(name, names)] = RegionRule(choice.hold, choice.order)
    return found


def _number(name: str, names: Optional[Mapping[int, str]]) -> int:
    if name == REST:
        return 0
    number = next((number for number, known in (names or {}).items() if known == name), None)
    if number is None and name.isdigit() and (names is None or int(name) in names):
        number = int(name)
    if number is not None:
        return number
    if names is None:
        raise BadRequest(
            f"--region-rules: these objects have numbers, and {name!r} is none.", "kairos regions shows them."
        )
    raise BadRequest(
        f"--region-rules: the shot has no object {name!r}.", f"{near(name, names.values())} {REST} is the rest."
    )


class LayerRegions:
    """Objects that a layer of the plate, or of a sequence beside it, tells apart.

    Args:
        source: what the artist named.
        rules: of ``--region-rules``.
        footage: where frames come from, at full size.
        offset: of its positions to the plate's.
        plate: at full size.
        layout: of the plate, at the size of the job.
        own: the footage is not the plate.
    """

    def __init__(
        self, source: RegionSource, rules: str, footage: Footage, offset: int, plate: Footage, layout: Layout, own: bool
    ) -> None:
        self._footage, self._offset, self._own = footage, offset, own
        _same_shape(source.place, footage, plate)
        file, layer = split_place(source.place) if own else ("", source.place)
        title = f"--regions {source.place or 'crypto:'}"
        readings = {view: Reading(footage, offset, len(plate), view, title, file) for view in layout.views}
        choose = choose_crypto if source.kind == "crypto" else choose_layers
        self._sheets: Dict[str, Sheet] = {view: choose(source, layer, each) for view, each in readings.items()}
        self._kept: OrderedDict[Tuple[str, int], Tensor] = OrderedDict()
        self._lock = threading.Lock()
        sheet = self._sheets[layout.views[0]]
        if rules and not sheet.listed:
            sheet.list_all(readings[layout.views[0]])
        self.names: Mapping[int, str] = sheet.names
        self.rules: Mapping[int, RegionRule] = rules_of(rules, sheet.names) if rules else {}

    def labels(self, plate: Plate, view: str, position: int) -> Tensor:
        """(H, W) int16 on the view's canvas."""
        key = (view, position)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        reduced = isinstance(plate.shot, Reduced)
        frame = self._footage.read(position + self._offset) if self._own or reduced else plate.source(position).raw
        labels, window = self._sheets[view].labels(frame)
        canvas, display = plate.layout.canvases[view], plate.layout.display
        placed = torch.from_numpy(on_canvas(labels, window, frame.display, canvas, display)).to(plate.device)
        with self._lock:
            self._kept[key] = placed
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return placed

    def identity(self, position: int) -> str:
        """Of the sequence's own file; layers are part of the plate."""
        return self._footage.identity(position + self._offset) if self._own else ""

    def close(self) -> None:
        """Lets go of the sequence."""
        if self._own:
            self._footage.close()


def on_canvas(labels: Labels, window: Window, display: Window, canvas: Window, wanted: Window) -> Labels:
    """A label map over a canvas, every pixel that of the nearest one; 0 outside the data window.

    Args:
        labels: (h, w) int16 over ``window``.
        window: its data window.
        display: the display window of its file.
        canvas: what is to be covered.
        wanted: the plate's display window, of the same shape as ``display`` but not always of its size.

    Returns:
        (H, W) int16 over ``canvas``.
    """
    if window == canvas and display == wanted:
        return labels
    rows = _places(canvas.y, canvas.height, wanted.y, wanted.height, display.y, display.height) - window.y
    columns = _places(canvas.x, canvas.width, wanted.x, wanted.width, display.x, display.width) - window.x
    down, across = (rows >= 0) & (rows < window.height), (columns >= 0) & (columns < window.width)
    placed = np.zeros((canvas.height, canvas.width), np.int16)
    placed[np.ix_(down, across)] = labels[np.ix_(rows[down], columns[across])]
    return placed


def _places(start: int, count: int, origin: int, side: int, other_origin: int, other_side: int) -> np.ndarray:
    """Rows or columns of one display window in which the pixels' centres of another lie."""
    return (2 * (np.arange(start, start + count) - origin) + 1) * other_side // (2 * side) + other_origin


def _same_shape(place: str, footage: Footage, plate: Footage) -> None:
    own, wanted = footage.header(0).display, plate.header(0).display
    across, down = own.width / wanted.width, own.height / wanted.height
    if abs(across - down) > 1 / min(wanted.width, wanted.height):
        raise FrameError(
            f"The regions {place} are {own.width}x{own.height}, the plate is {wanted.width}x{wanted.height}.",
            "Render them in the plate's format; a smaller or larger size of the same shape is taken too.",
        )


def _beside(source: RegionSource, plate: Footage, config: ColorConfig) -> Optional[Tuple[Footage, int]]:
    """The sequence that a place names, with the offset of its positions; None where it names a layer of the plate."""
    place, header = source.place, plate.header(0)
    crypto = source.kind == "crypto"
    if not place or (place in crypto_names(header) if crypto else has_layers(header, place)):
        return None
    if not is_file(place):
        what = "Cryptomatte" if crypto else "layer"
        raise BadRequest(
            f"--regions {place}: the plate has no such {what} and there is no such file.", known_layers(header)
        )
    file, _ = split_place(place)
    own = open_shot(file, on_missing="hold", config=config)
    first = plate.numbers[0]
    offset = own.numbers.index(first) if first in own.numbers else 0
    used = range(offset, offset + len(plate))
    try:
        if used.stop > len(own):
            raise FrameError(
                f"The regions {file} have frames {own.numbers[0]}-{own.numbers[-1]}, the plate "
                f"{plate.numbers[0]}-{plate.numbers[-1]}.",
                "Render them for every frame of the plate, or narrow --range.",
            )
        gaps = [own.numbers[position] for position in used if position in own.missing]
        if gaps:
            raise FrameError(
                f"The regions {file} lack frame {listed_frames(gaps)}.", "Render what is missing, or narrow --range."
            )
    except BaseException:
        own.close()
        raise
    return own, offset
