# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree inside a Kairos node: Image nodes that read the result, wired to the node's sockets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import bpy

from kairos_nodes.errors import KairosError

from .exr_header import exr_channels

SOCKETS = (
    ("Image", "NodeSocketColor"),
    ("Alpha", "NodeSocketFloat"),
    ("Depth", "NodeSocketFloat"),
    ("Vector", "NodeSocketVector"),
    ("Occlusion Forward", "NodeSocketFloat"),
    ("Occlusion Backward", "NodeSocketFloat"),
    ("Confidence", "NodeSocketFloat"),
)
"""Outputs of a Kairos node. Vector fits Vector Blur; 1 in an occlusion is not visible in the next or previous frame."""

_ADDED = {
    "Vector": "Vector",
    "Occlusion Forward": "OcclusionForward",
    "Occlusion Backward": "OcclusionBackward",
    "Confidence": "Confidence",
}
"""Sockets that the runtime's own layers feed: pass names as Blender reads them from the file."""

_PLATE = {"Image": ("Combined", "Image"), "Alpha": ("Alpha",), "Depth": ("Depth",)}
"""Sockets that the plate's layers feed, by the names that Blender may give them."""


@dataclass(frozen=True)
class Result:
    """Finished frames.

    Attributes:
        folder: where they are.
        first, last: scene frames, both included. A preview's are the same.
    """

    folder: Path
    first: int
    last: int

    @property
    def file(self) -> Path:
        """The first frame."""
        return self.folder / f"result.{self.first:04d}.exr"

    @property
    def is_preview(self) -> bool:
        """One frame alone: shown whatever the scene's frame is."""
        return self.first == self.last


def new_tree(title: str) -> Any:
    """The tree of a new node: sockets, and nothing in it yet. Lists leave out names that begin with a dot."""
    tree = bpy.data.node_groups.new(f".{title}", "CompositorNodeTree")
    for name, kind in SOCKETS:
        socket = tree.interface.new_socket(name=name, in_out="OUTPUT", socket_type=kind)
        if name == "Vector" and hasattr(socket, "dimensions"):
            # To the previous frame and to the next: with three numbers Vector Blur would get half of it.
            socket.dimensions = 4
    tree.nodes.new("NodeGroupOutput")
    return tree


def show(tree: Any, result: Result, image_name: str) -> None:
    """Lets a node show a result.

    Args:
        tree: made by :func:`new_tree`; what it showed before is taken away.
        result: what to show.
        image_name: of the image in the file; one that is there is used again.

    Raises:
        KairosError: Blender cannot read the result.
    """
    image = _image(result, image_name)
    tree.nodes.clear()
    output = tree.nodes.new("NodeGroupOutput")
    output.location = (400, 0)
    channels = exr_channels(result.file)
    added = _reader(tree, image, result, 0)
    plate_layer = _plate_layer(channels)
    plate = added
    if plate_layer and not _found(added, _PLATE["Image"]):
        plate = _reader(tree, image, result, -300)
        plate.layer = plate_layer
    for name, names in _PLATE.items():
        _link(tree, plate, names, output, name)
    if not _found(plate, _PLATE["Image"]):
        # A plate of another renderer, whose beauty has a name of its own: its first colour.
        colours = [socket for socket in plate.outputs if socket.enabled and socket.bl_idname == "NodeSocketColor"]
        for socket in colours[:1]:
            tree.links.new(socket, output.inputs["Image"])
    for name, one in _ADDED.items():
        if any(channel.startswith(f"{one}.") for channel in channels):
            _link(tree, added, (one,), output, name)


def hide(tree: Any) -> None:
    """Shows nothing."""
    tree.nodes.clear()
    tree.nodes.new("NodeGroupOutput")


def _image(result: Result, name: str) -> Any:
    image = bpy.data.images.get(name)
    try:
        if image is None:
            image = bpy.data.images.load(str(result.file))
            image.name = name
        image.source = "FILE" if result.is_preview else "SEQUENCE"
        image.filepath = str(result.file)
        image.reload()
    except RuntimeError as error:
        raise KairosError(f"Blender cannot read {result.file}: {error}.", "Render the node again.") from None
    return image


def _reader(tree: Any, image: Any, result: Result, y: int) -> Any:
    """An Image node that shows frame N of the result at the scene's frame N, nothing before it, its last after it."""
    node = tree.nodes.new("CompositorNodeImage")
    node.location = (0, y)
    node.image = image
    node.frame_start = result.first
    node.frame_offset = result.first - 1
    node.frame_duration = result.last - result.first + 1
    node.use_auto_refresh = True
    return node


def _plate_layer(channels: Tuple[str, ...]) -> str:
    """The layer that holds the beauty of a multilayer render, as Blender calls it; empty for a plain plate."""
    names: Dict[str, None] = {}
    for channel in channels:
        layer, _, passed = channel.rpartition(".")[0].rpartition(".")
        if layer and passed == "Combined":
            names[layer] = None
    return next(iter(names), "")


def _found(node: Any, names: Tuple[str, ...]) -> Optional[Any]:
    usable: List[Any] = [socket for socket in node.outputs if socket.enabled]
    return next((socket for name in names for socket in usable if socket.name == name), None)


def _link(tree: Any, node: Any, names: Tuple[str, ...], output: Any, name: str) -> None:
    source = _found(node, names)
    if source is not None:
        tree.links.new(source, output.inputs[name])
