# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered frames become a strip: above the old one or in its place, looking as it did."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Iterable, List, Optional, Sequence

import bpy

from .sequencer_facts import Chosen, all_strips, curve_path, fcurves, span, strips_of
from .strips import Retime, free_channel

PREVIEW = "Kairos preview"
"""Name of the one-frame strip that shows a preview."""

_LOOK = (
    *("use_linear_modifiers", "color_tag", "color_multiply", "multiply_alpha", "color_saturation"),
    *("use_flip_x", "use_flip_y", "use_float", "strobe"),
)
_BLEND = ("blend_type", "blend_alpha")
_SKIPPED = frozenset(("rna_type", "name", "type", "is_active"))


def place(scene: Any, found: Chosen, retime: Retime, folder: Path, names: Sequence[str], replace: bool) -> Any:
    """Makes the strip of rendered frames.

    Args:
        scene: whose timeline it is.
        found: the strip that was slowed, and its Speed effect.
        retime: what the new strip shows.
        folder, names: the frames, in order.
        replace: take the old strip's channel, effects and animation, and remove it; otherwise stack above it.

    Returns:
        The new strip, active and selected. It lies in the lowest channel with room.
    """
    holder = _holder(scene, found.strip)
    old = [found.strip] + ([found.effect] if found.effect is not None else [])
    remove_previews(scene)
    gone = old if replace else []
    lowest = found.strip.channel if replace else max(one.channel for one in old) + 1
    channel = free_channel(_taken(holder, gone), retime.start, retime.end, lowest)
    new = _image_strip(holder, _title(found.strip, retime), folder, names, channel, retime.start)
    copy_look(scene, found.strip, new, found.effect)
    if replace:
        new.mute = (found.effect or found.strip).mute
        _hand_over(scene, found, new, retime)
        for one in reversed(old):
            strips_of(holder).remove(one)
    for other in all_strips(scene):
        other.select = other == new
    scene.sequence_editor.active_strip = new
    return new


def place_preview(scene: Any, found: Chosen, folder: Path, name: str, frame: int) -> Any:
    """Shows one rendered frame at its timeline frame, above everything of the old strip."""
    holder = _holder(scene, found.strip)
    remove_previews(scene)
    lowest = max(found.strip.channel, found.effect.channel if found.effect is not None else 0) + 1
    channel = free_channel(_taken(holder, ()), frame, frame + 1, lowest)
    new = _image_strip(holder, PREVIEW, folder, [name], channel, frame)
    copy_look(scene, found.strip, new, found.effect)
    return new


def remove_previews(scene: Any) -> None:
    """Takes previews off the timeline."""
    for strip in all_strips(scene):
        if strip.type == "IMAGE" and (strip.name == PREVIEW or strip.name.startswith(f"{PREVIEW}.")):
            strips_of(_holder(scene, strip)).remove(strip)


def copy_look(scene: Any, old: Any, new: Any, effect: Optional[Any]) -> None:
    """Colour space, transform, crop, opacity, blending and modifiers of a strip, those of its Speed effect on top."""
    for name in _LOOK:
        _copy(old, new, name)
    for name in _BLEND:
        _copy(effect or old, new, name)
    _copy_all(old.transform, new.transform)
    _copy_all(old.crop, new.crop)
    if Path(_first_file(old)).suffix.lower() == Path(_first_file(new)).suffix.lower():
        _copy(old, new, "alpha_mode")
    # The frames are encoded as the source is: what Blender makes of the one, it makes of the other.
    new.colorspace_settings.name = old.colorspace_settings.name
    if len(old.modifiers):
        _sequencer_shown(scene)
    for modifier in old.modifiers:
        copied = new.modifiers.new(modifier.name, modifier.type)
        if copied is not None:
            _copy_all(modifier, copied)


def _image_strip(holder: Any, title: str, folder: Path, names: Sequence[str], channel: int, start: int) -> Any:
    strip = strips_of(holder).new_image(
        name=title, filepath=str(folder / names[0]), channel=channel, frame_start=start, fit_method="ORIGINAL"
    )
    for name in names[1:]:
        strip.elements.append(name)
    return strip


def _hand_over(scene: Any, found: Chosen, new: Any, retime: Retime) -> None:
    """Effects over the old strip, and its animation, go to the new one, which removing the old would delete."""
    old = found.strip
    for other in all_strips(scene):
        for name in ("input_1", "input_2"):
            if other != found.effect and getattr(other, name, None) in (old, found.effect or old):
                setattr(other, name, new)
    # Blender 5.2 remembers which effects lie over a strip, and forgets it at a new name, but not at a new input: it
    # would remove them together with the old strip.
    new.name = str(new.name)
    starts, target = curve_path(old), curve_path(new)
    for curve in fcurves(scene):
        match = re.fullmatch(f"(?:{'|'.join(map(re.escape, starts))})(.*)", curve.data_path)
        if match is None:
            continue
        curve.data_path = (target[0] if curve.data_path.startswith(starts[0]) else target[1]) + match[1]
        if retime.pace is not None:
            _stretch(curve, retime.start, float(retime.pace))


def _stretch(curve: Any, origin: int, factor: float) -> None:
    """Moves a curve's keys with the pictures that they belong to."""
    for key in curve.keyframe_points:
        for point in (key.handle_left, key.co, key.handle_right):
            point[0] = origin + (point[0] - origin) * factor
    curve.update()


def _taken(holder: Any, gone: Iterable[Any]) -> List[Any]:
    """Room that other strips take. An effect's room is that of what it shows."""
    away = list(gone)
    return [(strip.channel, *span(strip)) for strip in strips_of(holder) if strip not in away]


def _holder(scene: Any, strip: Any) -> Any:
    """What a strip lies in: a meta strip, or the timeline itself."""
    return strip.parent_meta() or scene.sequence_editor


def _title(strip: Any, retime: Retime) -> str:
    percent = f"{float(retime.speed) * 100:.4g} %"
    return f"{strip.name} {percent}"


def _first_file(strip: Any) -> str:
    return str(strip.filepath) if strip.type == "MOVIE" else str(strip.elements[0].filename)


def _sequencer_shown(scene: Any) -> None:
    """Blender 5.0 ends in a crash where a modifier is made while no timeline is shown: shows this one."""
    workspace = bpy.context.workspace
    if workspace is not None and getattr(workspace, "sequencer_scene", workspace) is None:
        workspace.sequencer_scene = scene


def _copy(old: Any, new: Any, name: str) -> None:
    """One property, where both have it."""
    if hasattr(old, name) and hasattr(new, name):
        setattr(new, name, getattr(old, name))


def _copy_all(old: Any, new: Any) -> None:
    """Every property of a piece of Blender's data, pieces inside it and curves too."""
    for rule in old.bl_rna.properties:
        name = rule.identifier
        if name in _SKIPPED:
            continue
        if not rule.is_readonly:
            setattr(new, name, getattr(old, name))
        elif rule.type == "COLLECTION":
            _copy_collection(name, getattr(old, name), getattr(new, name))
        elif rule.type == "POINTER" and getattr(old, name) is not None:
            _copy_all(getattr(old, name), getattr(new, name))
    if isinstance(new, bpy.types.CurveMapping):
        new.update()


def _copy_collection(name: str, old: Any, new: Any) -> None:
    """A collection of as many pieces; a curve's points are made and removed first."""
    if name == "points":
        while len(new) < len(old):
            new.new(0.5, 0.5)
        while len(new) > len(old):
            new.remove(new[len(new) - 1])
    for one, other in zip(old, new):
        _copy_all(one, other)
