"""Adds Kairos' nodes to the compositor, runs them, and renders what they and Vector Blur show."""

from __future__ import annotations

import time
from typing import Any

import bpy
from inside import FACTS, answer, composite, compositor, enable

folder = FACTS["folder"]
enable()
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
bpy.ops.kairos.render(key=twin.key)
show(twin.outputs["Image"], "led", *FACTS["truths"])

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

# What a file keeps: saved and opened again, the nodes show their results.
bpy.ops.wm.save_as_mainfile(filepath=f"{folder}/comp.blend")
bpy.ops.wm.open_mainfile(filepath=f"{folder}/comp.blend")
scene = bpy.context.scene
found["reopened"] = [
    len([node for node in group.nodes if node.bl_idname == "KairosRetimeNode"])
    for group in [*bpy.data.node_groups, *([scene.node_tree] if bpy.app.version < (5, 0, 0) else [])]
    if any(node.bl_idname == "KairosRetimeNode" for node in group.nodes)
]
composite(scene, f"{folder}/reopened.{middle:04d}.exr", middle)
answer(**found)
