# SPDX-License-Identifier: GPL-3.0-or-later
"""Slow motion in the sequencer: settings, operators, and the panel in its sidebar."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Optional, Set, Tuple

import bpy

from kairos_nodes.errors import KairosError, ServiceError
from kairos_nodes.jobs import Job

from . import parts
from .preferences import draw_text, preferences, suggest_engines
from .running import JobOperator, cache_folder, draw_progress, running
from .sequencer_facts import (
    KINDS,
    Chosen,
    chosen,
    has_timing,
    read_media,
    read_retime,
    sequencer_scene,
    sound_of,
    speed_effect,
    strip_named,
)
from .sequencer_place import place, place_preview
from .strips import Retime
from .strips_media import Work

_SPEED, _STRIP = "SPEED", "STRIP"


@parts.with_properties(
    timing=bpy.props.EnumProperty(
        name="Timing",
        description="What says how fast the new strip plays",
        items=(
            (_SPEED, "Speed", "The speed below"),
            (_STRIP, "From Strip", "The Speed effect or the retiming keys that the strip has"),
        ),
    ),
    speed=bpy.props.FloatProperty(
        name="Speed",
        description="25 % makes four frames of one; a negative speed plays backwards",
        subtype="PERCENTAGE",
        default=25.0,
        min=-1000.0,
        max=1000.0,
        soft_min=5.0,
        soft_max=100.0,
        precision=1,
    ),
    engine=bpy.props.StringProperty(
        name="Engine",
        description="What finds the motion; empty takes the one in the preferences",
        search=suggest_engines,
        search_options={"SUGGESTION"},
    ),
    placing=bpy.props.EnumProperty(
        name="Place",
        description="Where the new strip goes",
        items=(
            ("STACK", "Stack", "On the channel above; the strip stays as it is"),
            ("REPLACE", "Replace", "In place of the strip, with its effects, modifiers and animation"),
        ),
    ),
    sound=bpy.props.EnumProperty(
        name="Sound",
        description="What happens to the strip's sound; it is never slowed",
        items=(
            ("KEEP", "Keep", "Sound strips stay as they are"),
            ("MUTE", "Mute", "The strip's own sound is muted"),
        ),
    ),
)
class SlowMotionSettings(bpy.types.PropertyGroup):
    """How the sequencer's strips are slowed, as ``Scene.kairos_slow_motion``."""


@dataclass(frozen=True)
class Prepared:
    """A job ready to run, and what is needed to show its result."""

    job: Job
    scene: str
    strip: str
    retime: Retime
    folder: Path
    files: List[str]

    @property
    def missing(self) -> Optional[str]:
        """The first file that is not there."""
        return next((name for name in self.files if not (self.folder / name).is_file()), None)


def prepare(context: Any, frame: Optional[int] = None) -> Prepared:
    """The job of the active strip with the scene's settings; writes its frame map.

    Args:
        frame: the one timeline frame to render; the whole strip where None.

    Raises:
        KairosError: in an artist's words.
    """
    scene = sequencer_scene(context)
    settings = scene.kairos_slow_motion
    found = chosen(scene)
    speed = None if settings.timing == _STRIP else Fraction(round(settings.speed * 10**4), 10**6)
    facts, retime = read_retime(scene, found, speed)
    only = None if frame is None else retime.number_at(frame)
    work = Work.of(read_media(scene, found.strip, facts, retime), retime)
    knobs = _knobs(context, settings)
    print_of = work.print(knobs)
    folder = cache_folder(context, "results", print_of)
    map_file = cache_folder(context, "maps", print_of) / "map.txt"
    map_file.write_text(work.map_text, encoding="utf-8")
    job, files = work.job(folder, map_file, knobs, only)
    return Prepared(job, scene.name, found.strip.name, retime, folder, files)


class KairosSlowMotion(JobOperator, bpy.types.Operator):
    """Render the active strip at another speed, with true frames in between, as a new strip"""

    bl_idname = "kairos.slow_motion"
    bl_label = "Slow Motion"
    bl_options: ClassVar[Set[str]] = {"UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """An image or movie strip, or the Speed effect over one, is active, and nothing runs."""
        return _can_start(cls, context)

    def execute(self, context: Any) -> Set[str]:
        """Starts the job; the strip appears when it is done."""
        settings = sequencer_scene(context).kairos_slow_motion
        replace, mute = settings.placing == "REPLACE", settings.sound == "MUTE"
        try:
            ready = prepare(context)
        except KairosError as error:
            return _refused(self, context, error)

        def finished(outcome: Dict[str, Any]) -> None:
            scene, found = _still_there(ready)
            if mute:
                for sound in sound_of(scene, found.strip):
                    sound.mute = True
            place(scene, found, ready.retime, ready.folder, ready.files, replace)

        self.about = about(ready.strip)
        return self.start(context, ready.job, finished)


class KairosSlowMotionPreview(JobOperator, bpy.types.Operator):
    """Render the one frame under the playhead, and show it above the strip"""

    bl_idname = "kairos.slow_motion_preview"
    bl_label = "Preview Frame"
    bl_options: ClassVar[Set[str]] = {"UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """As of Slow Motion."""
        return _can_start(cls, context)

    def execute(self, context: Any) -> Set[str]:
        """Starts the job; a strip of one frame appears when it is done."""
        frame = sequencer_scene(context).frame_current
        try:
            ready = prepare(context, frame)
        except KairosError as error:
            return _refused(self, context, error)

        def finished(outcome: Dict[str, Any]) -> None:
            scene, found = _still_there(ready)
            place_preview(scene, found, ready.folder, ready.files[0], frame)

        self.about = about(ready.strip)
        return self.start(context, ready.job, finished)


class KairosSequencerPanel(bpy.types.Panel):
    """Settings and buttons in the sequencer's sidebar."""

    bl_idname = "SEQUENCER_PT_kairos"
    bl_label = "Slow Motion"
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Kairos"

    def draw(self, context: Any) -> None:
        """The panel."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        scene = sequencer_scene(context)
        if scene is None:
            layout.label(text="No timeline is shown", icon="INFO")
            return
        settings = scene.kairos_slow_motion
        active = _active(scene)
        column = layout.column()
        _draw_strip(column, scene, active)
        _draw_settings(column, context, settings)
        column.separator()
        column.operator(KairosSlowMotion.bl_idname, icon="PLAY")
        column.operator(KairosSlowMotionPreview.bl_idname, icon="IMAGE_DATA")
        if active is not None:
            draw_progress(layout, about(_below(active).name))


def about(strip: str) -> str:
    """How a strip's job is known."""
    return f"strip {strip}"


def _draw_strip(layout: Any, scene: Any, active: Any) -> None:
    """Which strip is meant, or why none can be."""
    try:
        found = chosen(scene)
    except KairosError as error:
        draw_text(layout, str(error), "INFO", 36)
        return
    layout.label(text=found.strip.name, icon="FILE_MOVIE" if found.strip.type == "MOVIE" else "IMAGE_DATA")
    if scene.kairos_slow_motion.timing == _STRIP and not has_timing(found):
        draw_text(layout, "The strip has neither a Speed effect nor retiming keys.", "ERROR", 36)


def _draw_settings(layout: Any, context: Any, settings: Any) -> None:
    layout.row().prop(settings, "timing", expand=True)
    if settings.timing == _SPEED:
        layout.prop(settings, "speed")
    layout.prop(settings, "engine", placeholder=preferences(context).engine or "auto")
    layout.row().prop(settings, "placing", expand=True)
    layout.row().prop(settings, "sound", expand=True)


def _active(scene: Any) -> Any:
    return scene.sequence_editor.active_strip if scene.sequence_editor else None


def _below(active: Any) -> Any:
    """The strip that is meant: the active one, or the one below the active Speed effect."""
    return active.input_1 if active.type == "SPEED" and active.input_1 is not None else active


def _can_start(cls: Any, context: Any) -> bool:
    scene = sequencer_scene(context)
    active = _active(scene) if scene is not None else None
    if active is None or active.type not in (*KINDS, "SPEED"):
        cls.poll_message_set("Click on an image sequence or movie in the sequencer first")
        return False
    if running(about(_below(active).name)) is not None:
        cls.poll_message_set("Kairos is at work on this strip")
        return False
    return True


def _knobs(context: Any, settings: Any) -> Dict[str, object]:
    chosen_in = preferences(context)
    engine = settings.engine.strip() or chosen_in.engine or "auto"
    return {"engine": engine, "device": chosen_in.device or "auto"}


def _refused(operator: Any, context: Any, error: KairosError) -> Set[str]:
    """Reports what was wrong; the panel goes on showing it."""
    state = context.window_manager.kairos
    active = _active(sequencer_scene(context))
    state.trouble, state.notes, state.about = str(error), "", about(_below(active).name)
    operator.report({"ERROR"}, str(error))
    return {"CANCELLED"}


def _still_there(ready: Prepared) -> Tuple[Any, Chosen]:
    """Scene and strip again, by name, after the job. Raises ServiceError where the strip or a frame is gone."""
    if ready.missing is not None:
        raise ServiceError(f"{ready.folder / ready.missing} was not written.", "Run Slow Motion again.")
    scene = bpy.data.scenes.get(ready.scene)
    strip = strip_named(scene, ready.strip) if scene is not None else None
    if strip is None:
        raise ServiceError(
            f"The strip {ready.strip} is no longer there. Its slowed frames are in {ready.folder}.",
            "Add them by hand as an image sequence.",
        )
    return scene, Chosen(strip, speed_effect(scene, strip))


CLASSES = (SlowMotionSettings, KairosSlowMotion, KairosSlowMotionPreview, KairosSequencerPanel)


def register() -> None:
    """Makes operators, panel and ``Scene.kairos_slow_motion`` known to Blender."""
    parts.register_classes(CLASSES)
    bpy.types.Scene.kairos_slow_motion = bpy.props.PointerProperty(type=SlowMotionSettings)


def unregister() -> None:
    """Takes them away."""
    del bpy.types.Scene.kairos_slow_motion
    parts.unregister_classes(CLASSES)
