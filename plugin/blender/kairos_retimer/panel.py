# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar of the compositor, tab Kairos: every setting of the active Kairos node, and how its job goes."""

from __future__ import annotations

from typing import Any, ClassVar, Set

import bpy

from kairos_nodes.sections import sections

from . import parts
from .nodes import draw_actions, draw_plate, draw_timing, is_ours
from .properties import knobs_of
from .running import draw_progress

DRAWN_ABOVE = ("speed", "frame_map", "to_fps", "engine", "device")
"""What the first panel draws already."""


class _Panel:
    bl_space_type = "NODE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Kairos"
    section = ""

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Where the active node is Kairos'."""
        return is_ours(getattr(context, "active_node", None))

    def draw(self, context: Any) -> None:
        """One section of the node's parameters."""
        layout = self.layout  # type: ignore[attr-defined]
        layout.use_property_split = True
        layout.use_property_decorate = False
        node = context.active_node
        for one in sections(knobs_of(node.kairos)).get(self.section, ()):
            if one.name in DRAWN_ABOVE:
                continue
            layout.prop(node, one.name)
            if one.name == "vectors_in":
                row = layout.row()
                row.operator("kairos.use_vector_pass", depress=bool(node.vectors_in)).key = node.key


class KairosPanel(_Panel, bpy.types.Panel):
    """The node's plate, timing and buttons; or what to do where no Kairos node is active."""

    bl_idname = "NODE_PT_kairos"
    bl_label = "Kairos"

    @classmethod
    def poll(cls, context: Any) -> bool:
        """In the compositor."""
        return bool(context.space_data.tree_type == "CompositorNodeTree")

    def draw(self, context: Any) -> None:
        """The panel."""
        layout = self.layout
        for line in parts.troubles.values():
            layout.label(text=line, icon="ERROR")
        node: Any = getattr(context, "active_node", None)
        if not is_ours(node):
            layout.label(text="Select a Kairos node, or add one: Add > Kairos", icon="INFO")
            draw_progress(layout)
            return
        layout.use_property_split = False
        layout.prop(node, "name", text="", icon="NODE")
        draw_plate(layout, node)
        if node.kairos.timings:
            draw_timing(layout, node)
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(node, "engine")
        column.prop(node, "device")
        draw_actions(layout, node)
        layout.prop(node, "follow")
        if node.result:
            layout.operator("wm.path_open", text="Open Result's Folder", icon="FILE_FOLDER").filepath = node.result


class TimingPanel(_Panel, bpy.types.Panel):
    """When."""

    bl_idname = "NODE_PT_kairos_timing"
    bl_label = "Timing"
    bl_parent_id = KairosPanel.bl_idname
    bl_options: ClassVar[Set[str]] = {"DEFAULT_CLOSED"}
    section = "Timing"


class MotionPanel(_Panel, bpy.types.Panel):
    """How motion is found."""

    bl_idname = "NODE_PT_kairos_motion"
    bl_label = "Motion"
    bl_parent_id = KairosPanel.bl_idname
    bl_options: ClassVar[Set[str]] = {"DEFAULT_CLOSED"}
    section = "Motion"


class LayersPanel(_Panel, bpy.types.Panel):
    """Which layers."""

    bl_idname = "NODE_PT_kairos_layers"
    bl_label = "Layers"
    bl_parent_id = KairosPanel.bl_idname
    bl_options: ClassVar[Set[str]] = {"DEFAULT_CLOSED"}
    section = "Layers"


class FilesPanel(_Panel, bpy.types.Panel):
    """Colour and files."""

    bl_idname = "NODE_PT_kairos_files"
    bl_label = "Files"
    bl_parent_id = KairosPanel.bl_idname
    bl_options: ClassVar[Set[str]] = {"DEFAULT_CLOSED"}
    section = "Files"


CLASSES = (KairosPanel, TimingPanel, MotionPanel, LayersPanel, FilesPanel)


def register() -> None:
    """Makes the panels known to Blender."""
    parts.register_classes(CLASSES)


def unregister() -> None:
    """Takes them away."""
    parts.unregister_classes(CLASSES)
