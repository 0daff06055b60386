"""The speed or speed curve that a clip has in the timeline, out of the exports that Resolve makes of it."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any, Optional

from kairos_nodes.conform import Placed, Retimed, along_times, as_in_timeline
from kairos_nodes.errors import BadRequest
from kairos_nodes.fcpxml_read import find_curve, read_curves
from kairos_nodes.otio_read import find_clip, read_clips
from kairos_resolve.reading import Here
from kairos_resolve.work import Tell


def as_timeline_plays(where: Here, clip: Placed, export: str, handles: int, tell: Tell) -> Retimed:
    """The clip at the speed, or along the curve, that the timeline gives it.

    Args:
        where: the timeline.
        clip: as it lies there.
        export: an exported .otio or .fcpxml; empty to ask Resolve for both. OTIO names constant speeds, FCPXML curves.
        handles: output frames to render before and after, where the speed is constant.
        tell: hears what the exports leave open.

    Raises:
        BadRequest: Resolve exports none, the clip is not in it, or is a freeze frame.
    """
    if export.lower().endswith((".fcpxml", ".xml")):
        return _curved(where, clip, _text(Path(export)), tell) or _refuse(clip)
    resolve = where.resolve
    text = _text(Path(export)) if export else _exported(where, resolve.EXPORT_OTIO, "timeline.otio")
    record = (clip.record - where.timeline.GetStartFrame()) / where.rate
    found = find_clip(read_clips(text), clip.name, where.track, record, 1 / where.rate) if text else None
    if found is not None and not found.unread and (found.speed != 1 or not clip.retimed):
        return as_in_timeline(clip, found.speed, handles)
    if not export:
        curves = _exported(where, resolve.EXPORT_FCPXML_1_10, "timeline.fcpxml")
        retimed = _curved(where, clip, curves, tell) if curves else None
        if retimed is not None:
            return retimed
    if not text:
        raise BadRequest("Resolve did not export the timeline.", "Export it as OTIO or FCPXML and give the file.")
    return _refuse(clip)


def _curved(where: Here, clip: Placed, text: str, tell: Tell) -> Optional[Retimed]:
    """The clip along its curve; None where the export has none for it."""
    record = (clip.record - where.timeline.GetStartFrame()) / where.rate
    found = find_curve(read_curves(text), clip.name, record, clip.duration / where.rate, 1 / where.rate)
    if found is None:
        return None
    if found.eased:
        tell(f"{clip.name}: where its speed changes smoothly in the timeline, it changes at once here.")
    # A curve's value is a time; a frame's number is the time of its beginning times the rate.
    times = [found.curve.value(Fraction(frame) / where.rate) * clip.media.rate for frame in range(clip.duration)]
    return along_times(clip, times)


def _refuse(clip: Placed) -> Retimed:
    raise BadRequest(
        f"{clip.name} has a speed curve in the timeline that the export does not describe.",
        "Give its speed, or a map file.",
    )


def _exported(where: Here, kind: Any, name: str) -> str:
    """The timeline as text; empty where Resolve does not export it."""
    with tempfile.TemporaryDirectory(prefix="kairos-") as folder:
        path = Path(folder) / name
        return _text(path) if where.timeline.Export(str(path), kind, where.resolve.EXPORT_NONE) else ""


def _text(path: Path) -> str:
    """A file, or the file inside a bundle, which newer FCPXML is."""
    try:
        return (path / "Info.fcpxml" if path.is_dir() else path.expanduser()).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path} cannot be read: {error}.", "Export the timeline again.") from None
