"""Pictures of Kairos in a real Blender window, for the documentation.

Needs Blender 4.2 or later with a window (Xvfb will do), the extension installed and enabled, and a runtime in reach.

    xvfb-run -a -s "-screen 0 1600x900x24" blender --factory-startup --window-geometry 0 0 1600 900 \\
        --addons bl_ext.user_default.kairos_retimer --python blender_window.py -- node plate.0001.exr blender-node.png

``node`` shows the compositor (plate, Kairos Retime, Vector Blur, Viewer), ``sequencer`` a slowed strip with its panel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, Callable, Iterator

import bpy

KIND, PLATE, PICTURE = sys.argv[sys.argv.index("--") + 1 :][:3]
STEP_SECONDS = 0.5
SCALE = 1.35
"""Of the interface: letters stay legible when the picture is shown at half its size."""


def main() -> None:
    steps = {"node": node_picture, "sequencer": sequencer_picture}[KIND]()

    def step() -> Any:
        try:
            next(steps)
            return STEP_SECONDS
        except StopIteration:
            os._exit(0)
        except Exception:
            traceback.print_exc()
            os._exit(1)

    bpy.context.preferences.view.ui_scale = SCALE
    bpy.context.preferences.view.show_splash = False
    bpy.app.timers.register(step, first_interval=2.0)


def node_picture() -> Iterator[None]:
    scene = settle()
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    kairos = tree.nodes.new("KairosRetimeNode")
    # Saved beside the plate, so that its path is short, as an artist's would be.
    bpy.ops.wm.save_as_mainfile(filepath=str(Path(PLATE).parents[1] / "shot.blend"))
    kairos.source, kairos.file = "FILE", bpy.path.relpath(PLATE)
    kairos.speed = type(kairos.speed)(0.25)
    kairos.vectors = "blender"
    blur = tree.nodes.new("CompositorNodeVecBlur")
    blur.factor, blur.samples = 1.0, 32
    viewer = tree.nodes.new("CompositorNodeViewer")
    kairos.location, blur.location, viewer.location = (0, 0), (310, -40), (560, -20)
    kairos.width = 250
    for source, target, socket in (("Image", blur, "Image"), ("Depth", blur, "Z"), ("Vector", blur, "Speed")):
        tree.links.new(kairos.outputs[source], target.inputs[socket])
    tree.links.new(blur.outputs[0], viewer.inputs[0])
    tree.nodes.active = kairos
    yield
    window, area = whole_window("NODE_EDITOR", "CompositorNodeTree")
    yield
    space = area.spaces.active
    space.show_region_ui, space.show_backdrop, space.backdrop_zoom = True, True, 1.0
    yield
    sidebar(area)
    yield
    with bpy.context.temp_override(**inside(window, area)):
        bpy.ops.kairos.render("EXEC_DEFAULT", key=kairos.key)
    yield from until_done()
    scene.frame_set(14)
    with bpy.context.temp_override(**inside(window, area)):
        bpy.ops.node.view_all()
    yield
    with bpy.context.temp_override(**inside(window, area)):
        bpy.ops.view2d.pan(deltay=-130)
    # Below the nodes, so that both are seen whole.
    space.backdrop_zoom, space.backdrop_offset = 0.95, (215.0, -175.0)
    for node in tree.nodes:
        node.select = node == kairos
    for _ in range(16):
        yield
    shoot()


def sequencer_picture() -> Iterator[None]:
    scene = settle()
    plate = Path(PLATE)
    files = sorted(one.name for one in plate.parent.glob(f"*{plate.suffix}"))
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strip = strips.new_image("plate", str(plate.parent / files[0]), 1, 1)
    for name in files[1:]:
        strip.elements.append(name)
    editor.active_strip = strip
    strip.select = True
    settings = scene.kairos_slow_motion
    settings.speed = 25.0
    window, area = whole_window("SEQUENCE_EDITOR", "SEQUENCE_EDITOR")
    yield
    space = area.spaces.active
    space.view_type, space.show_region_ui, space.show_region_toolbar = "SEQUENCER_PREVIEW", True, False
    space.timeline_overlay.show_strip_source = False
    yield
    sidebar(area)
    yield
    with bpy.context.temp_override(**inside(window, area)):
        bpy.ops.kairos.slow_motion("EXEC_DEFAULT")
    yield from until_done()
    editor.active_strip = strip
    scene.frame_set(14)
    yield
    for region in area.regions:
        with bpy.context.temp_override(window=window, area=area, region=region):
            if region.type == "WINDOW":
                bpy.ops.sequencer.view_all()
            elif region.type == "PREVIEW":
                bpy.ops.sequencer.view_all_preview()
    for _ in range(6):
        yield
    shoot()


def settle() -> Any:
    """A scene as long as the slowed plate, its colours as they are."""
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 32
    scene.render.resolution_x, scene.render.resolution_y = 640, 360
    scene.view_settings.view_transform = "Standard"
    return scene


def whole_window(kind: str, shown: str) -> Any:
    """One editor over the whole window."""
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda one: one.width * one.height)
    area.type, area.ui_type = kind, shown
    with bpy.context.temp_override(window=window, area=area, region=area.regions[0]):
        bpy.ops.screen.screen_full_area(use_hide_panels=False)
    return window, max(window.screen.areas, key=lambda one: one.width * one.height)


def inside(window: Any, area: Any) -> Any:
    region = next(one for one in area.regions if one.type == "WINDOW")
    return {"window": window, "area": area, "region": region}


def sidebar(area: Any) -> None:
    """Opens the tab Kairos."""
    region = next(one for one in area.regions if one.type == "UI")
    region.active_panel_category = "Kairos"
    area.tag_redraw()


def until_done() -> Iterator[None]:
    """Waits for the job, which its operator looks after; a failure is printed and pictured."""
    state = bpy.context.window_manager.kairos
    yield
    while state.running:
        yield
    print(f"trouble: {state.trouble or 'none'}", file=sys.stderr)
    yield


def shoot() -> None:
    """The whole screen as a picture."""
    command: Callable[..., Any] = subprocess.run
    command(["import", "-window", "root", PICTURE], check=True)


main()
