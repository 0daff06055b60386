"""``kairos regions``: a shot's objects as an ID layer that can be edited, and as a picture."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np
import typer

from kairos.errors import BadRequest, Cancelled
from kairos.events import Event, Listener
from kairos_nodes.ranges import parse_range

from .jobs import Interrupts, reporter

if TYPE_CHECKING:
    from kairos.engines.hierarchical.masks.layers import Labels
    from kairos.frame import Frame
    from kairos.images import Shot
    from kairos.pictures import Picture
    from kairos.retime.plate import Plate
    from kairos.retime.regions import Regions

CHANNEL = "regions.id"
"""The layer that is written."""

TILES = 12
"""Frames on the contact sheet, evenly spread over the shot."""

_TILE_WIDTH = 480
_TINT = 0.45
_TURN = 0.6180339887
"""Part of the colour circle from one object to the next: the golden section keeps any number of them apart."""


def add_commands(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("regions")(regions)


def regions(
    shot: Annotated[str, typer.Argument(metavar="SHOT", help="A movie or sequence, as for kairos retime.")],
    out: Annotated[str, typer.Option("--out", metavar="SEQ.exr", help="Where to write, such as out/ids.%04d.exr.")],
    spec: Annotated[str, typer.Option("--regions", help="What the objects are; as for kairos retime.")] = "auto",
    range_: Annotated[str, typer.Option("--range", help="Which frames, such as 1001-1048.")] = "",
    sheet: Annotated[
        Optional[Path], typer.Option("--sheet", help="Contact sheet. Default: a PNG named after the sequence.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
    colorspace: Annotated[str, typer.Option("--colorspace", help="Colour space of the input.")] = "",
    ocio: Annotated[str, typer.Option("--ocio", help="OCIO config where $OCIO is not set.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report progress as JSON lines.")] = False,
) -> None:
    """Write a shot's objects as an ID layer, to look at, to edit, and to give back with --regions."""
    from kairos.color import ColorConfig
    from kairos.images import open_shot

    listener = reporter(as_json, "regions")
    config = ColorConfig.load(ocio or None)
    frames = parse_range(range_) if range_ else None
    try:
        with (
            Interrupts() as stop,
            open_shot(shot, frame_range=frames, colorspace=colorspace or None, config=config) as opened,
        ):
            told = write_regions(opened, spec, out, sheet, device, config, listener, stop, overwrite)
    finally:
        listener.close()
    if not as_json:
        print(told)


def write_regions(
    shot: Shot,
    spec: str,
    out: str,
    sheet: Optional[Path],
    device: str,
    config: object,
    listener: Listener,
    cancelled: Callable[[], bool],
    overwrite: bool = False,
) -> str:
    """Writes the label maps of all frames, and the contact sheet. Answers with what it did, for people.

    Raises:
        BadRequest: files that are there already, or ``--regions`` that cannot be.
        KairosError: a frame cannot be read or written.
        Cancelled: frames written so far are kept.
    """
    from kairos.color import ColorConfig
    from kairos.images import write_image
    from kairos.pictures import contact_sheet, write_png
    from kairos.retime.layout import read_layout
    from kairos.retime.outputs import SequencePattern
    from kairos.retime.plate import Plate
    from kairos.retime.regions import open_regions
    from kairos.retime.settle import settle_device

    assert isinstance(config, ColorConfig)
    started = time.monotonic()
    where = settle_device(device)
    layout = read_layout(shot, "", "all")
    if Path(out).suffix.lower() != ".exr":
        raise BadRequest(f"--out {out}: regions are written as EXR.", "Name a sequence such as out/ids.%04d.exr.")
    pattern = SequencePattern(out, len(shot), shot.path(0))
    paths = [pattern.path(number) for number in shot.numbers]
    picture = sheet or Path(out).with_name(paths[0].stem.rstrip("0123456789").rstrip("._-") + ".png")
    _may_write([*paths, picture], shot, overwrite)
    found = open_regions(spec, "", shot, layout, config)
    if found is None:
        raise BadRequest(f"--regions {spec!r} names no objects.", "Leave it out to find what moves apart.")
    plate = Plate(shot, layout, where, config, linear=False)
    listener(Event("planned", {"frames": len(shot), "skipped": 0, "engine": "regions", "device": str(where),
                               "layers": {CHANNEL: "id"}}))  # fmt: skip
    shown = {round(index * (len(shot) - 1) / max(1, TILES - 1)) for index in range(TILES)}
    tiles: List[Tuple[str, Picture]] = []
    areas: Dict[int, int] = {}
    try:
        for position, path in enumerate(paths):
            if cancelled():
                raise Cancelled("Cancelled.", "Frames written so far are kept.")
            plate.want(range(position, min(position + 3, len(shot))))
            maps = {view: found.labels(plate, view, position).cpu().numpy() for view in layout.views}
            labels = maps[layout.views[0]]
            for number, pixels in zip(*np.unique(labels, return_counts=True)):
                areas[int(number)] = areas.get(int(number), 0) + int(pixels)
            write_image(path, _frame(plate, found, position, maps))
            if position in shown:
                tiles.append((_caption(shot.numbers[position], labels, found), _tinted(plate, position, labels)))
            listener(Event("frame_done", {"frame": shot.numbers[position], "file": str(path)}))
            rate = (position + 1) / max(1e-6, time.monotonic() - started)
            done = {"done": position + 1, "total": len(shot), "stage": "regions", "rate": rate, "eta": None}
            listener(Event("progress", done))
    finally:
        found.close()
        plate.close()
    write_png(picture, contact_sheet(tiles, title=f"{shot.spec}: {spec}", tile_width=_TILE_WIDTH))
    listener(Event("done", {"frames": len(shot), "seconds": round(time.monotonic() - started, 3), "missing": []}))
    return _told(found, areas, out, picture)


def _may_write(paths: List[Path], shot: Shot, overwrite: bool) -> None:
    sources = {shot.path(position).resolve() for position in range(len(shot))}
    for path in paths:
        if path.resolve() in sources:
            raise BadRequest(f"{path} is a frame of the shot itself.", "Give another --out.")
        if path.exists() and not overwrite:
            raise BadRequest(f"{path} is there already.", "Give another --out, or pass --overwrite to replace it.")


def _frame(plate: Plate, found: Regions, position: int, maps: Mapping[str, Labels]) -> Frame:
    """A frame with the ID layer of every view, with the objects' names in its header.

    Float, which holds these numbers exactly: not every compositor reads EXR's integers for what they are.
    """
    from kairos.frame import Attribute, Frame, Part
    from kairos.retime.region_layers import NAMES

    source = plate.source(position).raw
    names = {number: found.names.get(number, str(number)) for labels in maps.values() for number in np.unique(labels)}
    # Objects that this frame does not show keep their names, too: whichever frame is read first knows them all.
    listed = {**{int(number): name for number, name in names.items() if number}, **found.names}
    text = json.dumps({str(number): listed[number] for number in sorted(listed)})
    parts = []
    for view, labels in maps.items():
        window = plate.layout.canvases[view]
        several = len(maps) > 1
        parts.append(
            Part(
                (CHANNEL,),
                labels.astype(np.float32)[None],
                window,
                ("float",),
                name=f"regions.{view}" if several else "",
                view=view if several else "",
                metadata={NAMES: Attribute("string", text)},
                compression="zip",
            )
        )
    return Frame(
        source.number, source.display, tuple(parts), source.pixel_aspect, source.rate, source.timecode, True, ""
    )


def _tinted(plate: Plate, position: int, labels: Labels) -> Picture:
    """The plate with every object in a colour of its own."""
    import cv2

    proxy = plate.view(plate.layout.views[0]).proxy(position).float().cpu().clamp(0, 1).numpy()
    picture = np.rint(proxy.transpose(1, 2, 0) * 255)
    colours = np.zeros((int(labels.max(initial=0)) + 1, 3), np.float32)
    for number in np.unique(labels):
        if number:
            hue = int(number) * _TURN % 1 * 180
            code = np.array([[[hue, 200, 255]]], np.uint8)
            colours[number] = cv2.cvtColor(code, cv2.COLOR_HSV2RGB)[0, 0]
    weight = np.where(labels > 0, _TINT, 0.0)[..., None]
    return np.asarray(np.rint(picture * (1 - weight) + colours[labels] * weight), np.uint8)


def _caption(number: int, labels: Labels, found: Regions) -> str:
    shown = [found.names.get(int(each), str(each)) for each in np.unique(labels) if each]
    return f"{number}\n{', '.join(shown) or 'no object'}"


def _told(found: Regions, areas: Mapping[int, int], out: str, picture: Path) -> str:
    total = sum(areas.values())
    lines = [
        f"{found.names.get(number, str(number)):24} {100 * areas[number] / total:6.2f} % of the pictures"
        for number in sorted(areas)
        if number
    ]
    lines = lines or ["No object was found."]
    return "\n".join([*lines, f"{out}: pass it to --regions, edited or as it is. {picture} shows it."])
