# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons of a Kairos node: Render, Preview, Load, the renderer's own vectors, and keeping the plate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, ClassVar, Dict, Set

import bpy

from kairos_nodes.errors import KairosError

from . import parts
from .inner import Result, show
from .nodes import find_node
from .request import Request, request_of, settings_print
from .running import JobOperator
from .source import plate_of, vector_pass

KEY = bpy.props.StringProperty(name="Node", description="Key of a Kairos node", options={"HIDDEN", "SKIP_SAVE"})


def show_result(context: Any, key: str, result: Result, settings: str) -> None:
    """Lets a node show a result.

    Args:
        context: Blender's.
        key: of the node; it may have been deleted meanwhile.
        result: what to show.
        settings: :func:`settings_print` that it was made with.
    """
    node = find_node(context, key)
    show(node.node_tree, result, f"Kairos {node.name} {key[:8]}")
    node.result, node.result_first, node.result_last = str(result.folder), result.first, result.last
    node.result_settings = settings


class _NodeOperator:
    """An operator that works on the node with ``key``, or on the active one."""

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Always: the node may be named by its key."""
        return True

    def guarded(self, action: Callable[[], Set[str]]) -> Set[str]:
        """Does it; what goes wrong is reported in an artist's words."""
        try:
            return action()
        except (KairosError, OSError) as error:
            self.report({"ERROR"}, str(error))  # type: ignore[attr-defined]
            return {"CANCELLED"}


@parts.with_properties(key=KEY)
class RenderNode(_NodeOperator, JobOperator, bpy.types.Operator):
    """Make all frames in the background; what is there already is not made again"""

    bl_idname = "kairos.render"
    bl_label = "Render"

    def execute(self, context: Any) -> Set[str]:
        """Renders the node's result, or loads it where it is there."""
        return self.guarded(lambda: self._render(context))

    def _render(self, context: Any) -> Set[str]:
        node = find_node(context, self.key)
        request, key, settings = request_of(context, node.kairos, node), node.key, settings_print(node.kairos, node)
        done = request.finished()
        if done is not None:
            show_result(context, key, done, settings)
            self.report({"INFO"}, f"{node.name}: rendered already.")
            return {"FINISHED"}

        def finished(outcome: Dict[str, Any]) -> None:
            show_result(bpy.context, key, request.finish(), settings)

        self.about = key
        return self.start(context, request.job, finished)


@parts.with_properties(key=KEY)
class PreviewNode(_NodeOperator, JobOperator, bpy.types.Operator):
    """Make the frame at the playhead alone"""

    bl_idname = "kairos.preview"
    bl_label = "Preview"

    def execute(self, context: Any) -> Set[str]:
        """Renders one frame of the node's result."""
        return self.guarded(lambda: self._preview(context))

    def _preview(self, context: Any) -> Set[str]:
        node = find_node(context, self.key)
        frame = context.scene.frame_current
        request, key, settings = request_of(context, node.kairos, node), node.key, settings_print(node.kairos, node)
        done = request.finished() or request.preview(frame)
        if done is not None:
            show_result(context, key, done, settings)
            return {"FINISHED"}

        def finished(outcome: Dict[str, Any]) -> None:
            show_result(bpy.context, key, made_preview(request, frame), settings)

        self.about = key
        return self.start(context, one_frame(request, frame), finished)


@parts.with_properties(key=KEY)
class LoadNode(_NodeOperator, bpy.types.Operator):
    """Show the result that was made with these settings before"""

    bl_idname = "kairos.load"
    bl_label = "Load"

    def execute(self, context: Any) -> Set[str]:
        """Loads the node's result from the cache."""
        return self.guarded(lambda: self._load(context))

    def _load(self, context: Any) -> Set[str]:
        node = find_node(context, self.key)
        request = request_of(context, node.kairos, node)
        done = request.finished() or request.preview(context.scene.frame_current)
        if done is None:
            raise KairosError(f"{node.name}: nothing was made with these settings yet.", "Press Render.")
        show_result(context, node.key, done, settings_print(node.kairos, node))
        return {"FINISHED"}


@parts.with_properties(key=KEY)
class UseVectorPass(_NodeOperator, bpy.types.Operator):
    """Move the picture by the render's own Vector pass; press again to let Kairos find the motion"""

    bl_idname = "kairos.use_vector_pass"
    bl_label = "Use Vector Pass"
    bl_options: ClassVar[Set[str]] = {"UNDO"}

    def execute(self, context: Any) -> Set[str]:
        """Names the plate's Vector pass as the source of motion, or takes it away."""
        return self.guarded(lambda: self._use(context))

    def _use(self, context: Any) -> Set[str]:
        node = find_node(context, self.key)
        if node.vectors_in:
            node.vectors_in = ""
            return {"FINISHED"}
        plate = plate_of(context, node)
        layer = vector_pass(plate)
        if not layer:
            raise KairosError(
                f"{plate.files[0].name} has no Vector pass.",
                "Turn it on under View Layer > Passes > Data, and render OpenEXR MultiLayer without motion blur.",
            )
        node.vectors_in = f"{layer}:blender"
        if (node.scene or context.scene).render.use_motion_blur:
            self.report(
                {"WARNING"},
                "The scene has motion blur on: its Vector pass is then all zero. Turn it off and render again.",
            )
        return {"FINISHED"}


@parts.with_properties(key=KEY)
class KeepPlate(_NodeOperator, bpy.types.Operator):
    """Remember the rendered frames as a file sequence, so that the scene's output path is free for the composite"""

    bl_idname = "kairos.keep_plate"
    bl_label = "Keep Plate"
    bl_options: ClassVar[Set[str]] = {"UNDO"}

    def execute(self, context: Any) -> Set[str]:
        """Names the plate's files in the node; its result stays as it is."""
        return self.guarded(lambda: self._keep(context))

    def _keep(self, context: Any) -> Set[str]:
        node = find_node(context, self.key)
        plate = plate_of(context, node)
        current = node.result_settings == settings_print(node.kairos, node)
        node.source, node.file, node.range = "FILE", str(plate.files[0]), plate.range
        if not node.start:
            node.start = str(plate.first)
        if current:
            node.result_settings = settings_print(node.kairos, node)
        return {"FINISHED"}


def one_frame(request: Request, frame: int) -> Any:
    """The request's job for one output frame alone."""
    return replace(request.job, frames=str(frame))  # type: ignore[call-arg]


def made_preview(request: Request, frame: int) -> Result:
    """The frame that :func:`one_frame` made. Raises KairosError where it is not there."""
    result = request.preview(frame)
    if result is None:
        raise KairosError(f"Frame {frame} was not made.", "Move the playhead into the result's range.")
    return result


CLASSES = (RenderNode, PreviewNode, LoadNode, UseVectorPass, KeepPlate)


def register() -> None:
    """Makes the operators known to Blender."""
    parts.register_classes(CLASSES)


def unregister() -> None:
    """Takes them away."""
    parts.unregister_classes(CLASSES)
