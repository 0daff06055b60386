# SPDX-License-Identifier: GPL-3.0-or-later
"""The compositor nodes Kairos Retime and Kairos Motion Vectors: custom groups whose inner tree reads the result."""

from __future__ import annotations

import uuid
from typing import Any, Dict, Iterator, List

import bpy

from kairos_nodes.errors import BadRequest
from kairos_nodes.nodes import TIMING_TITLES, Node, node

from . import parts
from .inner import new_tree
from .preferences import preferences
from .properties import properties_of
from .request import settings_print
from .running import draw_progress
from .source import SOURCES

MENU = "NODE_MT_kairos"


def own_properties(kairos: Node) -> Dict[str, Any]:
    """Properties of a node beside its parameters: its plate, its timing, and what it shows."""
    found = {
        "key": bpy.props.StringProperty(options={"HIDDEN"}),
        "source": bpy.props.EnumProperty(name="Source", description="Where the plate comes from", items=SOURCES),
        "scene": bpy.props.PointerProperty(
            name="Scene", description="Whose rendered frames; empty for the scene at work", type=bpy.types.Scene
        ),
        "file": bpy.props.StringProperty(
            name="File", description="Any frame of an image sequence, or a movie", subtype="FILE_PATH"
        ),
        "follow": bpy.props.BoolProperty(
            name="Preview While Scrubbing",
            description="Make the frame at the playhead whenever the playhead rests, in the background",
        ),
        "result": bpy.props.StringProperty(name="Result", description="Folder of the result", options={"HIDDEN"}),
        "result_first": bpy.props.IntProperty(options={"HIDDEN"}),
        "result_last": bpy.props.IntProperty(options={"HIDDEN"}),
        "result_settings": bpy.props.StringProperty(options={"HIDDEN"}),
    }
    if kairos.timings:
        found["timing"] = bpy.props.EnumProperty(
            name="Timing",
            description="How to say which source time an output frame shows",
            items=[(name, TIMING_TITLES[name], "") for name in kairos.timings],
        )
        found["source_frame"] = bpy.props.FloatProperty(
            name="Source Frame",
            description="The source frame that this frame shows; animate it. It counts where Timing is Frame",
            precision=3,
        )
    return found


class _KairosNode:
    """What both nodes do."""

    bl_icon = "TIME"
    bl_width_default = 220
    bl_width_min = 160
    kairos: Node

    @classmethod
    def poll(cls, tree: Any) -> bool:
        """In the compositor alone."""
        return bool(tree.bl_idname == "CompositorNodeTree")

    def init(self, context: Any) -> None:
        """A new node."""
        new: Any = self
        new.key = uuid.uuid4().hex
        new.node_tree = new_tree(new.bl_label)
        chosen = preferences(bpy.context)
        new.engine, new.device = chosen.engine or "auto", chosen.device or "auto"

    def copy(self, original: Any) -> None:
        """A duplicate shows the same result until it is rendered, then its own."""
        new: Any = self
        new.key = uuid.uuid4().hex
        if original.node_tree is not None:
            new.node_tree = original.node_tree.copy()

    def draw_buttons(self, context: Any, layout: Any) -> None:
        """On the node itself: what is needed most."""
        shown: Any = self
        draw_plate(layout, shown)
        if self.kairos.timings:
            draw_timing(layout, shown)
        draw_actions(layout, shown)

    def draw_label(self) -> str:
        """The title."""
        return str(self.bl_label)  # type: ignore[attr-defined]


@parts.with_properties(**own_properties(node("Retime")), **properties_of(node("Retime")))
class KairosRetimeNode(_KairosNode, bpy.types.CompositorNodeCustomGroup):
    """Retimes rendered frames, a sequence or a movie; every layer moves with the picture"""

    bl_idname = "KairosRetimeNode"
    bl_label = "Kairos Retime"
    kairos = node("Retime")


@parts.with_properties(**own_properties(node("MotionVectors")), **properties_of(node("MotionVectors")))
class KairosVectorsNode(_KairosNode, bpy.types.CompositorNodeCustomGroup):
    """Finds motion vectors and occlusion masks of rendered frames, a sequence or a movie"""

    bl_idname = "KairosVectorsNode"
    bl_label = "Kairos Motion Vectors"
    kairos = node("MotionVectors")


KINDS = (KairosRetimeNode, KairosVectorsNode)


def is_ours(one: Any) -> bool:
    """Whether this is a node of Kairos'."""
    return one is not None and one.bl_idname in {kind.bl_idname for kind in KINDS}


def all_nodes() -> Iterator[Any]:
    """Every Kairos node of the file."""
    trees: List[Any] = [tree for tree in bpy.data.node_groups if tree.bl_idname == "CompositorNodeTree"]
    if bpy.app.version < (5, 0, 0):
        trees += [scene.node_tree for scene in bpy.data.scenes if scene.node_tree is not None]
    for tree in trees:
        yield from (one for one in tree.nodes if is_ours(one))


def find_node(context: Any, key: str = "") -> Any:
    """A node by its key, or the active one where that is empty. Raises BadRequest where there is none."""
    if key:
        found = next((one for one in all_nodes() if one.key == key), None)
    else:
        found = getattr(context, "active_node", None)
        found = found if is_ours(found) else None
    if found is None:
        raise BadRequest("There is no Kairos node to work on.", "Select a Kairos node in the compositor.")
    return found


def draw_plate(layout: Any, shown: Any) -> None:
    """Where the plate comes from."""
    column = layout.column()
    column.prop(shown, "source", text="")
    column.prop(shown, "scene" if shown.source == "RENDER" else "file", text="")


def draw_timing(layout: Any, shown: Any) -> None:
    """How the plate is retimed."""
    column = layout.column()
    column.prop(shown, "timing", text="")
    if shown.timing == "speed":
        column.prop(shown, "speed")
    elif shown.timing == "frame_map":
        column.prop(shown, "source_frame")
        column.prop(shown, "frame_map", text="File")
    else:
        column.prop(shown, "to_fps", text="Rate")


def draw_actions(layout: Any, shown: Any) -> None:
    """Render, Preview, Load, and how it goes."""
    row = layout.row(align=True)
    for name, icon in (("kairos.render", "RENDER_ANIMATION"), ("kairos.preview", "RENDER_STILL")):
        row.operator(name, icon=icon).key = shown.key
    row.operator("kairos.load", text="", icon="FILE_REFRESH").key = shown.key
    draw_progress(layout, shown.key)
    layout.label(text=state_of(shown))
    if shown.source == "RENDER" and shown.result:
        # The composite's own frames would be written over the plate's.
        row = layout.row(align=True)
        row.label(text="Next render overwrites", icon="INFO")
        row.operator("kairos.keep_plate").key = shown.key


def state_of(shown: Any) -> str:
    """What a node shows, in a few words."""
    if not shown.result:
        return "Not rendered yet"
    frames = f"{shown.result_first} to {shown.result_last}"
    what = f"Preview of frame {shown.result_first}" if shown.result_first == shown.result_last else f"Frames {frames}"
    return what if shown.result_settings == settings_print(shown.kairos, shown) else f"{what}, settings have changed"


class KairosMenu(bpy.types.Menu):
    """Kairos' nodes in the compositor's Add menu."""

    bl_idname = MENU
    bl_label = "Kairos"

    def draw(self, context: Any) -> None:
        """The menu."""
        for kind in KINDS:
            entry = self.layout.operator("node.add_node", text=kind.bl_label)
            entry.type = kind.bl_idname
            entry.use_transform = True


def _draw_in_add_menu(self: Any, context: Any) -> None:
    if context.space_data.tree_type == "CompositorNodeTree":
        self.layout.menu(MENU)


CLASSES = (*KINDS, KairosMenu)


def register() -> None:
    """Makes the nodes known to Blender."""
    parts.register_classes(CLASSES)
    bpy.types.NODE_MT_add.append(_draw_in_add_menu)


def unregister() -> None:
    """Takes them away; nodes in the file stay, as what they show does."""
    bpy.types.NODE_MT_add.remove(_draw_in_add_menu)
    parts.unregister_classes(CLASSES)
