"""Adds Kairos' nodes to the compositor, runs them, and renders what they and Vector Blur show."""

from __future__ import annotations

import importlib
import threading
import time
from typing import Any

import bpy
from inside import FACTS, MODULE, answer, composite, compositor, enable

folder = FACTS["folder"]
enable()
running, scrubbing = (importlib.import_module(f"{MODULE}.{name}") for name in ("running", "scrubbing"))
bpy.ops.wm.open_mainfile(filepath=f"{folder}/scene.blend")
scene = bpy.context.scene
tree, shown = compositor(scene)


def show(socket: Any, name: str, *frames: int) -> None:
    """Renders a socket's picture."""
    tree.links.new(socket, shown)
    for frame in frames:
        composite(scene, f"{folder}/{name}.{frame:04d}.exr", frame)
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    scene.render.filepath = f"{folder}/plate."


def blur(image: Any, depth: Any, vector: Any, name: str, frame: int) -> None:
    """Vector Blur over a whole frame interval."""
    node = tree.nodes.new("CompositorNodeVecBlur")
    if hasattr(node, "samples"):
        node.samples, node.factor = 32, 1.0
    else:
        node.inputs["Samples"].default_value, node.inputs["Shutter"].default_value = 32, 1.0
    for socket, names in ((image, ("Image",)), (depth, ("Z", "Depth")), (vector, ("Speed", "Vector"))):
        tree.links.new(socket, next(node.inputs[one] for one in names if one in node.inputs))
    show(node.outputs[0], name, frame)
    tree.nodes.remove(node)


found = {}
retime = tree.nodes.new("KairosRetimeNode")
retime.speed, retime.engine, retime.device = 0.25, "swift", "cpu"
scene.frame_set(FACTS["truths"][0])
begun = time.monotonic()
bpy.ops.kairos.preview(key=retime.key)
found["preview"] = [retime.result_first, retime.result_last]
found["preview_seconds"] = round(time.monotonic() - begun, 2)
show(retime.outputs["Image"], "preview", FACTS["truths"][0])
bpy.ops.kairos.render(key=retime.key)
found["retimed"] = {"folder": retime.result, "first": retime.result_first, "last": retime.result_last}
show(retime.outputs["Image"], "retimed", FACTS["first"], *FACTS["truths"], retime.result_last + 5)
show(retime.outputs["Depth"], "depth", FACTS["truths"][0])
show(retime.outputs["Confidence"], "confidence", FACTS["truths"][0])

twin = tree.nodes.new("KairosRetimeNode")
twin.speed, twin.engine, twin.device = 0.25, "swift", "cpu"
bpy.ops.kairos.use_vector_pass(key=twin.key)
found["vectors_in"] = twin.vectors_in
scene.frame_set(FACTS["truths"][1])
bpy.ops.kairos.preview(key=twin.key)
show(twin.outputs["Image"], "led", FACTS["truths"][1])

vectors = tree.nodes.new("KairosVectorsNode")
vectors.engine, vectors.device = "swift", "cpu"
bpy.ops.kairos.render(key=vectors.key)
found["vectors"] = vectors.result
plate = tree.nodes.new("CompositorNodeImage")
plate.image = bpy.data.images.load(f"{folder}/plate.{FACTS['first']:04d}.exr")
plate.image.source = "SEQUENCE"
plate.frame_start, plate.frame_duration = FACTS["first"], FACTS["last"]
plate.use_auto_refresh = True
middle = 3
show(plate.outputs["Combined"], "plain", middle)
blur(plate.outputs["Combined"], plate.outputs["Depth"], plate.outputs["Vector"], "blurred_by_blender", middle)
blur(vectors.outputs["Image"], vectors.outputs["Depth"], vectors.outputs["Vector"], "blurred_by_kairos", middle)

# Two frames from the middle of the plate, put at frame 40 of the timeline.
late = tree.nodes.new("KairosVectorsNode")
late.engine, late.device, late.range, late.start = "classic", "cpu", "2-3", "40"
bpy.ops.kairos.render(key=late.key)
found["late"] = [late.result_first, late.result_last]
show(late.outputs["Image"], "late", 39, 40, 41)

# The playhead rests: after a moment, and not before, its frame is made in the background.
twin.follow = True
scene.frame_set(FACTS["truths"][2])
scrubbing.moved(100.0)
scrubbing.tick(bpy.context, 100.1)
found["scrubbed_early"] = running.running(twin.key) is not None
begun = time.monotonic()
scrubbing.tick(bpy.context, 100.5)
found["scrub_blocks"] = time.monotonic() - begun
while scrubbing.tick(bpy.context, 101.0):
    time.sleep(0.05)
found["scrubbed"] = [twin.result_first, twin.result_last]

# Cancel: the node keeps what it showed.
before = (retime.result, retime.result_last)
retime.speed = 0.01


def press_cancel() -> None:
    """As the artist does while it runs."""
    while running.running(retime.key) is None:
        time.sleep(0.02)
    running.cancel(running.running(retime.key))


artist = threading.Thread(target=press_cancel)
artist.start()
found["cancelled"] = sorted(bpy.ops.kairos.render(key=retime.key))
artist.join()
found["kept"] = before == (retime.result, retime.result_last)
retime.speed = 0.25

# The plate is kept: with another output path for the composite, the node still knows its plate and its result.
folder_before = retime.result
bpy.ops.kairos.keep_plate(key=retime.key)
scene.render.filepath = f"{folder}/elsewhere/"
retime.result = ""
bpy.ops.kairos.load(key=retime.key)
found["plate_kept"] = retime.result == folder_before

# What a file keeps: saved and opened again, the nodes show their results.
tree.links.new(retime.outputs["Image"], shown)
bpy.ops.wm.save_as_mainfile(filepath=f"{folder}/comp.blend")
bpy.ops.wm.open_mainfile(filepath=f"{folder}/comp.blend")
composite(bpy.context.scene, f"{folder}/reopened.{FACTS['truths'][0]:04d}.exr", FACTS["truths"][0])
answer(**found)
