"""What nodes with all kinds of settings ask of the runtime; nothing is rendered."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Dict

import bpy
from inside import FACTS, MODULE, answer, compositor, enable

parts = enable()
request, properties, nodes, source = (
    importlib.import_module(f"{MODULE}.{name}") for name in ("request", "properties", "nodes", "source")
)
bpy.context.preferences.addons[MODULE].preferences.engine = "classic"
scene = bpy.context.scene
scene.frame_start, scene.frame_end = 1, 4
scene.render.fps, scene.render.fps_base = 24, 1.001
tree, shown = compositor(scene)
node = tree.nodes.new("KairosRetimeNode")


def job() -> Dict[str, Any]:
    """The job, as plain data; an error is its text."""
    try:
        return dict(request.request_of(bpy.context, node.kairos, node).job.to_dict())
    except Exception as error:
        return {"error": str(error)}


found: Dict[str, Any] = {"engine": node.engine, "unrendered": job()}
try:
    bpy.ops.kairos.render(key=node.key)
except RuntimeError as error:
    found["reported"] = str(error)
scene.render.image_settings.file_format = "PNG"
scene.render.filepath = f"{FACTS['folder']}/out/pic_"
for frame in range(1, 5):
    path = Path(scene.render.frame_path(frame=frame))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"not looked into")
found["rendered"] = job()
for speed in (1 / 3, 0.1, 1 / 1.001, -2.0):
    node.speed = speed
    found.setdefault("speeds", []).append(job().get("speed"))
node.timing, node.to_fps = "to_fps", "60"
found["to_fps"] = job()

node.timing = "frame_map"
found["no_keys"] = job()
for frame, value in ((10, 1.0), (14, 3.0)):
    node.source_frame = value
    node.keyframe_insert("source_frame", frame=frame)
for point in request._curves(tree.animation_data.action, tree.animation_data)[0].keyframe_points:
    point.interpolation = "LINEAR"
keyed = job()
found["keyed"] = keyed
found["map"] = Path(keyed["frame_map"]).read_text()

node.timing, node.source = "speed", "FILE"
found["no_file"] = job()
for frame in (1001, 1002, 1003):
    Path(f"{FACTS['folder']}/shot.v2.{frame}.exr").write_bytes(b"")
node.file = f"{FACTS['folder']}/shot.v2.1002.exr"
scene.frame_start = 7
found["file"] = job()
node.range = "1001-1009"
found["beyond"] = job()
node.range = ""

still, node.file = node.file, FACTS["movie"]
found["movie"] = job()
found["movie_frames"] = source.plate_of(bpy.context, node).last
node.file = still

twin = tree.nodes.new("KairosRetimeNode")
found["keys_differ"] = twin.key != node.key
found["fresh"] = nodes.state_of(node)
settings = request.settings_print(node.kairos, node)
node.shutter = 180
found["settings_noticed"] = settings != request.settings_print(node.kairos, node)
prints = [request.request_of(bpy.context, node.kairos, node).folder]
Path(node.file).write_bytes(b"rendered again")
prints.append(request.request_of(bpy.context, node.kairos, node).folder)
found["new_pixels_noticed"] = prints[0] != prints[1]
found["knobs"] = {
    kind.bl_idname: [one.name for one in properties.knobs_of(kind.kairos) if not hasattr(node, one.name)]
    for kind in (nodes.KairosRetimeNode,)
}
found["vector_pass"] = source.vector_pass(source.plate_of(bpy.context, node))
answer(**found)
