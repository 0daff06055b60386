# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender knows about a strip, as :mod:`strips` wants it. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Iterator, List, Optional, Tuple

import bpy

from kairos_nodes.errors import BadRequest, ImageError
from kairos_nodes.rational import exact, parse_rate

from .sequencer_keys import retiming_keys
from .strips import Retime, SpeedEffect, Strip, at_speed, by_effect, by_keys, playback_rate
from .strips_media import Media, image_media, movie_media, shown_range

KINDS = ("IMAGE", "MOVIE")
"""Strips that can be slowed."""

_OLD_NAMES = {
    "content_start": "frame_start",
    "content_duration": "frame_duration",
    "left_handle": "frame_final_start",
    "right_handle": "frame_final_end",
    "left_handle_offset": "frame_offset_start",
    "right_handle_offset": "frame_offset_end",
    "content_trim_start": "animation_offset_start",
    "content_trim_end": "animation_offset_end",
}
"""Where a strip lies, as Blender calls it from 5.2 on and did before."""

_VALUES = {"MULTIPLY": "speed_factor", "FRAME_NUMBER": "speed_frame_number", "LENGTH": "speed_length"}


@dataclass(frozen=True)
class Chosen:
    """The strip to slow, and the Speed effect over it."""

    strip: Any
    effect: Optional[Any]


def sequencer_scene(context: Any) -> Any:
    """The scene whose timeline is shown: from Blender 5.0 on it may be another than the window's."""
    return getattr(context, "sequencer_scene", None) or context.scene


def lies(strip: Any, name: str) -> Any:
    """Where a strip lies, in timeline frames, by Blender's newer name: ``left_handle``, ``content_start`` and so on."""
    return getattr(strip, name if hasattr(strip, name) else _OLD_NAMES[name])


def span(strip: Any) -> Tuple[int, int]:
    """What is seen of a strip: its first timeline frame, and the one after its last."""
    return lies(strip, "left_handle"), lies(strip, "right_handle")


def strips_of(holder: Any) -> Any:
    """The strips of a timeline or a meta strip; called sequences before Blender 4.4."""
    return holder.strips if hasattr(holder, "strips") else holder.sequences


def all_strips(scene: Any) -> List[Any]:
    """Every strip of a timeline, those in meta strips too."""
    editor = scene.sequence_editor
    if editor is None:
        return []
    return list(editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all)


def strip_named(scene: Any, name: str) -> Optional[Any]:
    """A strip by its name, which undo leaves as it is; None where there is none."""
    return next((strip for strip in all_strips(scene) if strip.name == name), None)


def chosen(scene: Any) -> Chosen:
    """The active strip, or the one below the active Speed effect.

    Raises:
        BadRequest: nothing that could be slowed is active.
    """
    active = scene.sequence_editor.active_strip if scene.sequence_editor else None
    if active is None:
        raise BadRequest("No strip is active.", "Click on an image sequence or movie in the sequencer.")
    if active.type == "SPEED":
        below = active.input_1
        if below is None or below.type not in KINDS:
            raise BadRequest(f"{active.name} lies over no image or movie strip.", "Choose one that does.")
        return Chosen(below, active)
    if active.type not in KINDS:
        kind = active.type.replace("_", " ").lower()
        raise BadRequest(
            f"{active.name} is a {kind} strip.", "Choose an image sequence or a movie, or render it first."
        )
    return Chosen(active, speed_effect(scene, active))


def speed_effect(scene: Any, strip: Any) -> Optional[Any]:
    """The Speed effect over a strip."""
    effects = (other for other in all_strips(scene) if other.type == "SPEED")
    return next((effect for effect in effects if effect.input_1 == strip), None)


def has_timing(found: Chosen) -> bool:
    """Whether the strip says by itself how fast it is. Cheap: asked whenever the panel is drawn."""
    return found.effect is not None or len(getattr(found.strip, "retiming_keys", ())) > 1


def read_strip(scene: Any, strip: Any) -> Strip:
    """A strip's facts. Opens the movie's header where Blender does not tell its length.

    Raises:
        BadRequest: a strip that cannot be slowed as it is, or retiming keys that cannot be read.
    """
    if getattr(strip, "use_multiview", False):
        raise BadRequest(f"{strip.name} shows two views.", "Turn Stereoscopy off and slow each view by itself.")
    if strip.use_deinterlace:
        raise BadRequest(
            f"{strip.name} is deinterlaced by Blender.", "Render it to whole frames first, or turn Deinterlace off."
        )
    keys = retiming_keys(strip, lies(strip, "content_start"))
    start = _fraction(lies(strip, "content_start"))
    content = _fraction(lies(strip, "right_handle") + lies(strip, "right_handle_offset")) - start
    scene_rate, own = _scene_rate(scene), _movie_rate(strip)
    told = hasattr(strip, "retiming_keys")
    length = _length(scene, strip, bool(keys) or not told or own not in (0, scene_rate))
    rate = Fraction(1)
    if own and keys:
        # As long as the keys say, at either rate; a key lies at most a frame from the content's end.
        rate = playback_rate(int(keys[-1].index) + 1, content, own, scene_rate)
    elif own:
        rate = playback_rate(length, content, own, scene_rate)
    if not told and abs(length / rate - content) > 1:
        raise BadRequest(
            f"{strip.name} is retimed, and Blender tells how only from 4.4 on.",
            "Reset its retiming (Strip > Retiming), and choose the speed here.",
        )
    return Strip(
        name=strip.name,
        start=start,
        left=lies(strip, "left_handle"),
        right=lies(strip, "right_handle"),
        length=length,
        content=content,
        rate=rate,
        reverse=bool(strip.use_reverse_frames),
        keys=keys,
        whole=bpy.app.version >= (5, 0, 0),
    )


def read_effect(scene: Any, effect: Any) -> SpeedEffect:
    """A Speed effect's facts, its animation evaluated at every frame."""
    left, right = span(effect)
    name = _VALUES.get(effect.speed_control, "")
    curve = fcurve(scene, effect, name) if name else None
    if curve is not None:
        values = tuple(_fraction(curve.evaluate(frame)) for frame in range(left, right + 1))
    else:
        value = _fraction(getattr(effect, name)) if name else Fraction(0)
        values = (value,) * (right + 1 - left)
    below = effect.input_1
    return SpeedEffect(
        name=effect.name,
        start=_fraction(lies(effect, "content_start")),
        left=left,
        right=right,
        control=effect.speed_control,
        values=values,
        animated=curve is not None,
        trimmed=_fraction(lies(below, "left_handle_offset")) if below is not None else Fraction(0),
    )


def read_retime(scene: Any, found: Chosen, speed: Optional[Fraction]) -> Tuple[Strip, Retime]:
    """What a new strip is to show: at a speed, or as the strip's own Speed effect or retiming keys say where None.

    Raises:
        BadRequest: the strip says nothing, or cannot be slowed.
    """
    strip = read_strip(scene, found.strip)
    if speed is not None:
        return strip, at_speed(strip, speed)
    if found.effect is not None:
        return strip, by_effect(strip, read_effect(scene, found.effect))
    return strip, by_keys(strip)


def read_media(scene: Any, strip: Any, facts: Strip, retime: Retime) -> Media:
    """The files that a retime of a strip needs.

    Raises:
        KairosError: a file is missing, or the names are no sequence.
    """
    trimmed = lies(strip, "content_trim_start")
    if strip.type == "MOVIE":
        return movie_media(Path(movie_path(scene, strip)), trimmed, facts.length)
    names = [element.filename for element in strip.elements][trimmed : trimmed + facts.length]
    return image_media(strip.name, Path(_absolute(scene, strip.directory)), names, shown_range(retime))


def movie_path(scene: Any, strip: Any) -> str:
    """Where a movie strip's file lies. Raises ImageError where it is gone."""
    path = _absolute(scene, strip.filepath)
    if not Path(path).is_file():
        raise ImageError(
            f"{strip.name}: the movie {path} is missing.", "Bring it back, or point the strip at it (Source > Path)."
        )
    return path


def sound_of(scene: Any, strip: Any) -> List[Any]:
    """Sound strips that belong to a strip: of the same file, or cut exactly alike, at the same time."""
    own = _absolute(scene, strip.filepath) if strip.type == "MOVIE" else None
    left, right = span(strip)
    found = []
    for other in all_strips(scene):
        begin, end = span(other)
        if other.type != "SOUND" or begin >= right or end <= left:
            continue
        same_file = own is not None and other.sound is not None and _absolute(scene, other.sound.filepath) == own
        if same_file or (begin, end) == (left, right):
            found.append(other)
    return found


def fcurves(scene: Any) -> Iterator[Any]:
    """Animation curves of a scene; in Blender 5.0 and later they lie in the action's channel bags."""
    data = scene.animation_data
    action = data.action if data else None
    if action is None:
        return
    if hasattr(action, "fcurves"):
        yield from action.fcurves
        return
    for layer in action.layers:
        for part in layer.strips:
            for bag in part.channelbags:
                yield from bag.fcurves


def curve_path(strip: Any) -> Tuple[str, str]:
    """How the paths of a strip's animation curves begin, in new and old Blenders."""
    name = bpy.utils.escape_identifier(strip.name)
    return f'sequence_editor.strips_all["{name}"]', f'sequence_editor.sequences_all["{name}"]'


def fcurve(scene: Any, strip: Any, name: str) -> Optional[Any]:
    """The animation curve of one of a strip's properties."""
    paths = [f"{path}.{name}" for path in curve_path(strip)]
    return next((curve for curve in fcurves(scene) if curve.data_path in paths), None)


def _length(scene: Any, strip: Any, ask: bool) -> int:
    """Source frames of a strip. ``ask`` the file where the timeline does not tell."""
    trimmed = int(lies(strip, "content_trim_start") + lies(strip, "content_trim_end"))
    if strip.type == "IMAGE":
        return len(strip.elements) - trimmed
    if not ask:
        return int(lies(strip, "content_duration"))
    known = set(bpy.data.movieclips)
    clip = bpy.data.movieclips.load(movie_path(scene, strip), check_existing=True)
    try:
        return int(clip.frame_duration) - trimmed
    finally:
        if clip not in known:
            bpy.data.movieclips.remove(clip)


def _movie_rate(strip: Any) -> Fraction:
    """A movie's frames per second, 0 where unknown."""
    rate = float(getattr(strip, "fps", 0.0))
    return parse_rate(rate) if 0 < rate <= 1000 else Fraction(0)


def _scene_rate(scene: Any) -> Fraction:
    return parse_rate(exact(scene.render.fps) / exact(round(scene.render.fps_base, 6)))


def _fraction(value: float) -> Fraction:
    """A number of Blender's, which keeps it in single precision, as it was meant: 0.1 is 1/10."""
    return Fraction(round(float(value) * 10**5), 10**5)


def _absolute(scene: Any, path: str) -> str:
    return str(bpy.path.abspath(path, library=scene.library))
