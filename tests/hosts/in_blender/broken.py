"""The extension in a Blender where something is wrong: it must register, tell why, and leave Blender alone."""

from __future__ import annotations

import sys
from typing import Any, Dict

import bpy
from inside import FACTS, MODULE, answer, enable

if FACTS.get("without_nodes"):
    sys.modules["kairos_nodes"] = None  # type: ignore[assignment]
parts = enable()
found: Dict[str, Any] = {
    "loaded": parts is not None,
    "enabled": MODULE in bpy.context.preferences.addons,
    "troubles": dict(parts.troubles) if parts else {},
}
for name, path in FACTS.get("runtimes", {}).items():
    bpy.context.preferences.addons[MODULE].preferences.runtime = path
    try:
        bpy.ops.kairos.check()
    except RuntimeError as error:
        found[name] = str(error)
for name, path in FACTS.get("caches", {}).items():
    bpy.context.preferences.addons[MODULE].preferences.cache = path
    try:
        found[name] = str(sys.modules[f"{MODULE}.running"].cache_folder(bpy.context, "results", "abc"))
    except Exception as error:
        found[name] = str(error)
bpy.ops.mesh.primitive_cube_add()
found["blender_works"] = len(bpy.context.scene.objects)
answer(**found)
