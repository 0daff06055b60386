"""Timelines made, slowed and rendered by Blender itself; what came of it is told to the test.

Every function named ``scene_*`` is one timeline. Its facts are the answer; its pictures, 8-bit or float RGB, go to
pictures.npz.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import bpy
import numpy as np
from inside import FACTS, MODULE, answer, enable

OUT, MEDIA = Path(FACTS["folder"]), Path(FACTS["media"])
FRAMES = 12
NEW = bpy.app.version >= (5, 0, 0)
PICTURES: Dict[str, Any] = {}

parts = enable()
running, sequencer_facts = (importlib.import_module(f"{MODULE}.{name}") for name in ("running", "sequencer_facts"))


def main() -> None:
    found: Dict[str, Any] = {"version": bpy.app.version_string, "troubles": dict(parts.troubles)}
    for name, scene in list(globals().items()):
        if name.startswith("scene_"):
            begun = time.monotonic()
            fresh()
            try:
                found[name[6:]] = scene()
            except Exception:
                found[name[6:]] = {"raised": traceback.format_exc()}
            print(f"{name} {time.monotonic() - begun:.1f} s", file=sys.stderr)
    np.savez(OUT / "pictures.npz", **PICTURES)
    answer(**found)
    sys.stderr.flush()
    # Blender 4.5 as a module sometimes waits forever when Python ends, after files were loaded.
    os._exit(0)


def scene_stacked() -> Dict[str, Any]:
    strip = images()
    PICTURES["stacked_source"] = rendered(range(10, 22))
    facts = slowed(strip, speed=25.0)
    PICTURES["stacked"] = rendered(range(10, 58))
    PICTURES["stacked_files"] = files_of(active())
    return facts


def scene_trimmed() -> Dict[str, Any]:
    strip = images()
    strip.animation_offset_start = 1
    strip.frame_offset_start = 2
    strip.frame_offset_end = 4
    # From Blender 5.2 on a trim moves the strip, too.
    left, right = sequencer_facts.span(strip)
    PICTURES["trimmed_source"] = rendered(range(left, right))
    facts = slowed(strip, speed=25.0)
    PICTURES["trimmed"] = rendered(range(left, left + 20))
    return {**facts, "times": times()}


def scene_backwards() -> Dict[str, Any]:
    return {**slowed(images(), speed=-50.0), "times": times()}


def scene_float() -> Dict[str, Any]:
    strip = images("lin", ".exr")
    settings = bpy.context.scene.render.image_settings
    PICTURES["float_source"] = rendered(range(10, 14), "OPEN_EXR")
    facts = slowed(strip, speed=50.0)
    PICTURES["float"] = rendered(range(10, 18), "OPEN_EXR")
    settings.file_format = "PNG"
    return facts


def scene_layered() -> Dict[str, Any]:
    """A render with more than its picture in it."""
    strip = images("many", ".exr")
    PICTURES["layered_source"] = rendered(range(10, 14), "OPEN_EXR")
    facts = slowed(strip, speed=50.0)
    PICTURES["layered"] = rendered(range(10, 18), "OPEN_EXR")
    return {**facts, "file": str(Path(active().directory, active().elements[0].filename))}


def scene_encoded() -> Dict[str, Any]:
    """The same shot as files of other kinds."""
    found = {}
    for ending in (".tif", ".dpx", ".jpg", ".hdr"):
        fresh()
        strip = images("other", ending)
        source = rendered((10, 11, 15), "OPEN_EXR")
        slowed(strip, speed=50.0, placing="REPLACE")
        PICTURES[f"encoded_{ending}"] = np.stack([source, rendered((10, 12, 20), "OPEN_EXR")])
        found[ending] = Path(active().elements[0].filename).suffix
    return found


def scene_movie() -> Dict[str, Any]:
    strip = strips().new_movie("movie", str(MEDIA / "m24.mp4"), 1, 10)
    PICTURES["movie_source"] = rendered(range(10, 22))
    facts = slowed(strip, speed=25.0)
    PICTURES["movie"] = rendered(range(10, 58, 4))
    return facts


def scene_replaced() -> Dict[str, Any]:
    if NEW:
        bpy.context.workspace.sequencer_scene = None
    strip, other = images(), images(channel=2, start=40)
    cross = effect("CROSS", "cross", 3, 15, 45, strip, other)
    fade(strip)
    strip.transform.offset_x, strip.transform.rotation, strip.crop.min_x = 7.0, 0.25, 3
    strip.blend_type, strip.color_saturation, strip.use_flip_x, strip.color_tag = "ADD", 0.5, True, "COLOR_03"
    if NEW:
        bpy.context.workspace.sequencer_scene = bpy.context.scene
    strip.colorspace_settings.name = "Linear Rec.709"
    curve = strip.modifiers.new("Grade", "CURVES")
    curve.curve_mapping.curves[3].points.new(0.5, 0.7)
    strip.modifiers.new("Bright", "BRIGHT_CONTRAST").bright = 12.0
    if NEW:
        bpy.context.workspace.sequencer_scene = None
    facts = slowed(strip, speed=50.0, placing="REPLACE")
    new = active()
    points = new.modifiers["Grade"].curve_mapping.curves[3].points
    return {
        **facts,
        "cross": cross.input_1.name,
        "look": [new.transform.offset_x, round(new.transform.rotation, 3), new.crop.min_x, new.blend_type],
        "more": [new.color_saturation, new.use_flip_x, new.color_tag, new.modifiers["Bright"].bright],
        "colorspace": new.colorspace_settings.name,
        "points": [[round(x, 3) for x in point.location] for point in points],
        "curves": [
            [curve.data_path, [list(key.co) for key in curve.keyframe_points]]
            for curve in sequencer_facts.fcurves(bpy.context.scene)
        ],
    }


def scene_crowded() -> Dict[str, Any]:
    strip = images()
    images(start=30)
    images(channel=2, start=25)
    return slowed(strip, speed=50.0, placing="REPLACE")


def scene_multiplied() -> Dict[str, Any]:
    strip = images()
    speed = effect("SPEED", "speed", 2, 10, 22, strip)
    speed.speed_control, speed.speed_factor, speed.use_frame_interpolate = "MULTIPLY", 0.5, True
    speed.blend_alpha = 0.75
    facts = slowed(strip, timing="STRIP", placing="REPLACE")
    return {**facts, "times": times(), "opacity": active().blend_alpha}


def scene_ramped() -> Dict[str, Any]:
    strip = images()
    speed = effect("SPEED", "speed", 2, 10, 22, strip)
    speed.speed_control, speed.use_frame_interpolate = "MULTIPLY", True
    for frame, value in ((10, 0.5), (21, 1.0)):
        speed.speed_factor = value
        speed.keyframe_insert("speed_factor", frame=frame)
    for key in next(sequencer_facts.fcurves(bpy.context.scene)).keyframe_points:
        key.interpolation = "LINEAR"
    # Blender sums an animated factor up when a file is loaded, not when its keys change.
    bpy.ops.wm.save_as_mainfile(filepath=str(OUT / "ramped.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(OUT / "ramped.blend"))
    settle()
    PICTURES["ramped_blender"] = rendered(range(10, 22))
    editor().active_strip = strip_named("speed")
    return {**slowed(strip_named("speed"), timing="STRIP"), "times": times()}


def scene_controls() -> Dict[str, Any]:
    """Each control's own times beside what Blender shows, which blends two frames."""
    found: Dict[str, Any] = {}
    cases: Sequence[Any] = (
        ("STRETCH", "speed_factor", 1.0),
        ("MULTIPLY", "speed_factor", 0.3),
        ("FRAME_NUMBER", "speed_frame_number", 5.5),
        ("LENGTH", "speed_length", 40.0),
    )
    for control, name, value in cases:
        fresh()
        strip = images()
        strip.frame_offset_start = 2
        speed = effect("SPEED", control, 2, 12, 22, strip)
        speed.speed_control, speed.use_frame_interpolate = control, True
        setattr(speed, name, value)
        PICTURES[f"control_{control}"] = rendered(range(12, 22))
        found[control] = read_times(strip)
    return found


def scene_keys() -> Dict[str, Any]:
    """Retiming keys made by Blender's own operators: half, a quarter, and a transition between."""
    found: Dict[str, Any] = {}
    for name, make in (("images", images), ("movie", lambda: strips().new_movie("m", str(MEDIA / "m24.mp4"), 1, 10))):
        fresh()
        strip = make()
        retime(strip)
        strip.frame_offset_start, strip.frame_offset_end = 2, 3
        PICTURES[f"keys_{name}"] = rendered(range(strip.frame_final_start, strip.frame_final_end))
        found[name] = [strip.frame_final_start, strip.frame_final_end, read_times(strip)]
    facts = slowed(strip, timing="STRIP", placing="REPLACE")
    return {**facts, **found}


def scene_sound() -> Dict[str, Any]:
    muted = []
    for sound in ("KEEP", "MUTE"):
        fresh()
        strip = strips().new_movie("movie", str(MEDIA / "m24.mp4"), 1, 10)
        own = strips().new_sound("own", str(MEDIA / "tone.wav"), 3, 10)
        own.frame_final_end = strip.frame_final_end
        strips().new_sound("music", str(MEDIA / "tone.wav"), 4, 1)
        facts = slowed(strip, speed=50.0, sound=sound)
        muted.append([strip_named("own").mute, strip_named("music").mute])
    return {**facts, "muted": muted}


def scene_own_rate() -> Dict[str, Any]:
    """A movie of 48 frames per second in a timeline of 24, at its own rate; 5.0 cannot add one without a window."""
    if NEW:
        return {}
    place = {"frame_start": 10, "channel": 1, "sound": False, "use_framerate": False}
    operator(bpy.ops.sequencer.movie_strip_add, filepath=str(MEDIA / "m48.mp4"), **place)
    strip = strips()[0]
    return {"at_half": [strip.frame_final_end, *slowed(strip, speed=50.0)["strips"]], "times": times()}


def scene_meta() -> Dict[str, Any]:
    strip = images()
    meta = strips().new_meta("meta", 5, 10)
    strip.move_to_meta(meta)
    return {**slowed(strip, speed=50.0), "inside": sorted(one.name for one in sequencer_facts.strips_of(meta))}


def scene_preview() -> Dict[str, Any]:
    strip = images()
    facts = []
    for frame in (15, 16):
        bpy.context.scene.frame_set(frame)
        facts.append(slowed(strip, operator="slow_motion_preview", speed=25.0))
    PICTURES["preview"] = rendered([16])
    bpy.context.scene.frame_set(400)
    facts.append(slowed(strip, operator="slow_motion_preview", speed=25.0))
    facts.append(slowed(strip, speed=25.0))
    PICTURES["preview_whole"] = rendered([16])
    return {"steps": facts}


def scene_cancelled() -> Dict[str, Any]:
    strip = images()

    def cancel() -> None:
        for _ in range(600):
            run = running.running()
            if run is not None and run.fraction > 0:
                running.cancel(run)
                return
            time.sleep(0.05)

    threading.Thread(target=cancel, daemon=True).start()
    return slowed(strip, speed=1.0, placing="REPLACE")


def scene_refused() -> Dict[str, Any]:
    found = {"none": slowed(None)}
    gone = strips().new_image("gone", str(MEDIA / "sh.1001.png"), 1, 10)
    for name in ("sh.1002.png", "sh.1003.png", "sh.1099.png"):
        gone.elements.append(name)
    found["gap"] = slowed(gone)
    gone = strips().new_image("lost", str(MEDIA / "lost.0001.png"), 2, 10)
    gone.elements.append("lost.0002.png")
    found["lost"] = slowed(gone)
    found["movie"] = slowed(strips().new_movie("movie", str(MEDIA / "none.mp4"), 3, 10))
    found["colour"] = slowed(effect("COLOR", "red", 4, 10, 20))
    found["still"] = slowed(strips().new_image("still", str(MEDIA / "sh.1001.png"), 5, 10))
    found["no timing"] = slowed(images(channel=6), timing="STRIP")
    found["zero"] = slowed(images(channel=7), speed=0.0, timing="SPEED")
    return found


def fresh() -> None:
    """An empty timeline."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=False)
    enable()
    settle()


def settle() -> None:
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 64, 48, 100
    scene.render.fps, scene.render.fps_base = 24, 1.0
    scene.view_settings.view_transform = "Standard"
    scene.sequence_editor_create()
    if NEW:
        bpy.context.workspace.sequencer_scene = scene


def editor() -> Any:
    return bpy.context.scene.sequence_editor


def strips() -> Any:
    return sequencer_facts.strips_of(editor())


def active() -> Any:
    return editor().active_strip


def strip_named(name: str) -> Any:
    return sequencer_facts.strip_named(bpy.context.scene, name)


def images(name: str = "sh", ending: str = ".png", channel: int = 1, start: int = 10) -> Any:
    strip = strips().new_image(name, str(MEDIA / f"{name}.1001{ending}"), channel, start)
    for number in range(1002, 1001 + FRAMES):
        strip.elements.append(f"{name}.{number}{ending}")
    return strip


def effect(kind: str, name: str, channel: int, start: int, end: int, *inputs: Any) -> Any:
    place = {"length": end - start} if NEW else {"frame_end": end}
    word = "input" if bpy.app.version >= (4, 4, 0) else "seq"
    found = {f"{word}{number}": one for number, one in enumerate(inputs, 1)}
    return strips().new_effect(name=name, type=kind, channel=channel, frame_start=start, **place, **found)


def fade(strip: Any) -> None:
    for frame, value in ((10, 0.0), (16, 1.0)):
        strip.blend_alpha = value
        strip.keyframe_insert("blend_alpha", frame=frame)


def retime(strip: Any) -> None:
    """A key in the middle, segments of other speeds, a transition over it: as an artist would, by operators."""
    for one in strips():
        one.select = one == strip
    editor().active_strip = strip
    operator(bpy.ops.sequencer.retiming_show)
    operator(bpy.ops.sequencer.retiming_key_add, timeline_frame=16)
    strip.retiming_keys[2].timeline_frame = 36
    strip.retiming_keys[1].timeline_frame = 20
    # The operator asks for a selected key, and without a window nothing selects one.
    ctypes.c_int.from_address(strip.retiming_keys[1].as_pointer() + 8).value |= 16
    operator(bpy.ops.sequencer.retiming_transition_add, duration=4)
    assert len(strip.retiming_keys) == 4


def operator(call: Callable[..., Any], **values: Any) -> None:
    """One of the sequencer's own operators, which want to be in its editor."""
    window = bpy.context.window_manager.windows[0]
    area = window.screen.areas[-1]
    area.type = "SEQUENCE_EDITOR"
    region = next(one for one in area.regions if one.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region, scene=bpy.context.scene):
        call(**values)


def slowed(strip: Any, operator: str = "slow_motion", **settings: Any) -> Dict[str, Any]:
    """Runs the operator with settings; answers with every strip, and what it reported."""
    state = bpy.context.scene.kairos_slow_motion
    for name, value in {"engine": "classic", **settings}.items():
        setattr(state, name, value)
    if strip is not None:
        editor().active_strip = strip
    error = ""
    try:
        status: List[str] = list(getattr(bpy.ops.kairos, operator)())
    except RuntimeError as refused:
        status, error = ["REFUSED"], str(refused).strip()
    return {"status": status, "error": error, "strips": described()}


def described() -> List[Any]:
    return sorted(
        [one.name, one.type, one.channel, one.frame_final_start, one.frame_final_end, one.mute]
        for one in sequencer_facts.all_strips(bpy.context.scene)
    )


def read_times(strip: Any) -> List[str]:
    """Source index of each frame of the new strip, as Kairos reads it off the strip."""
    editor().active_strip = strip
    found = sequencer_facts.chosen(bpy.context.scene)
    return [str(index) for index in sequencer_facts.read_retime(bpy.context.scene, found, None)[1].indices]


def times() -> List[str]:
    """Source times in the frame map of the active strip."""
    folder = Path(active().directory).parts
    text = Path(*folder[:-2], "maps", folder[-1], "map.txt").read_text()
    return [line.split()[1] for line in text.splitlines() if not line.startswith("#")]


def files_of(strip: Any) -> Any:
    """(N, H, W, 3) 8-bit RGB of a strip's own files."""
    return np.stack([picture(str(Path(strip.directory, one.filename))) for one in strip.elements])


def rendered(frames: Sequence[int], kind: str = "PNG") -> Any:
    """(N, H, W, 3) of the timeline at frames: 8-bit, or float for OPEN_EXR."""
    scene = bpy.context.scene
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode = kind, "RGB"
    if kind == "OPEN_EXR":
        settings.color_depth = "32"
    ending = ".exr" if kind == "OPEN_EXR" else ".png"
    found = []
    for frame in frames:
        scene.frame_set(frame)
        scene.render.filepath = str(OUT / f"rendered{ending}")
        bpy.ops.render.render(write_still=True)
        found.append(picture(scene.render.filepath))
    return np.stack(found)


def picture(path: str) -> Any:
    image = bpy.data.images.load(path)
    image.colorspace_settings.name = "Non-Color"
    pixels = np.empty(image.size[0] * image.size[1] * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    planes = pixels.reshape(image.size[1], image.size[0], image.channels)[..., :3]
    bpy.data.images.remove(image)
    return planes.copy() if path.endswith(".exr") else np.rint(planes * 255).astype(np.uint8)


main()
