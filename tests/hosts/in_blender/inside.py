"""What every script inside Blender begins with: what it is told, the extension, and how it answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict

import addon_utils
import bpy

MODULE = "bl_ext.user_default.kairos_retimer"

FACTS: Dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
"""What the test says."""


def answer(**found: Any) -> None:
    """Tells the test."""
    Path(sys.argv[2]).write_text(json.dumps(found, default=str), encoding="utf-8")


def enable() -> Any:
    """Enables the installed extension; its parts module, which knows what is wrong with it."""
    addon_utils.enable(MODULE, default_set=True)
    return sys.modules.get(f"{MODULE}.parts")


def compositor(scene: Any) -> Any:
    """An empty compositor of a scene: the tree, and the socket of its output."""
    if bpy.app.version >= (5, 0, 0):
        tree = bpy.data.node_groups.new("Compositing", "CompositorNodeTree")
        scene.compositing_node_group = tree
        tree.interface.new_socket(name="Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        output = tree.nodes.new("NodeGroupOutput")
    else:
        # Makes a Render Layers node too, which would render the scene.
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        output = tree.nodes.new("CompositorNodeComposite")
    return tree, output.inputs[0]


def composite(scene: Any, file: str, frame: int) -> None:
    """Renders the compositor's picture of one frame, as 32-bit EXR."""
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = "OPEN_EXR"
    settings.color_depth = "32"
    scene.render.use_compositing = True
    scene.frame_set(frame)
    scene.render.filepath = file
    bpy.ops.render.render(write_still=True)
