"""Makes a moving scene and renders it: six frames with a Vector pass, and true subframes between some of them."""

from __future__ import annotations

from typing import Any, Tuple

import bpy
from inside import FACTS, answer

WIDTH, HEIGHT, SAMPLES = 320, 180, 8
FIRST, LAST = 1, 6
TRUE_SOURCE_FRAMES = (2, 4)
"""Before each of these and the next frame lie three true in-betweens."""


def material(name: str, scale: float, dark: Tuple[float, ...], bright: Tuple[float, ...]) -> Any:
    """A texture that gives its own light: free of noise at few samples."""
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    tree = made.node_tree
    tree.nodes.clear()
    output, light = tree.nodes.new("ShaderNodeOutputMaterial"), tree.nodes.new("ShaderNodeEmission")
    noise, ramp = tree.nodes.new("ShaderNodeTexNoise"), tree.nodes.new("ShaderNodeValToRGB")
    place = tree.nodes.new("ShaderNodeTexCoord")
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = scale, 4
    for element, position, colour in zip(ramp.color_ramp.elements, (0.35, 0.65), (dark, bright)):
        element.position, element.color = position, (*colour, 1)
    for source, target in (
        (place.outputs["Object"], noise.inputs["Vector"]),
        (noise.outputs[0], ramp.inputs[0]),
        (ramp.outputs["Color"], light.inputs["Color"]),
        (light.outputs["Emission"], output.inputs["Surface"]),
    ):
        tree.links.new(source, target)
    return made


def moves(thing: Any, path: str, start: Tuple[float, ...], end: Tuple[float, ...]) -> None:
    """Keys from one frame before the shot to one after it, so that its ends have vectors too."""
    for frame, value in ((FIRST - 1, start), (LAST + 1, end)):
        setattr(thing, path, value)
        thing.keyframe_insert(path, frame=frame)


def straight(thing: Any) -> None:
    """Linear keys: between two frames everything is where a straight path has it."""
    action = thing.animation_data.action
    if hasattr(action, "fcurves"):
        curves = action.fcurves
    else:
        from bpy_extras.anim_utils import action_get_channelbag_for_slot

        curves = action_get_channelbag_for_slot(action, thing.animation_data.action_slot).fcurves
    for curve in curves:
        curve.extrapolation = "LINEAR"
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"


def make() -> Any:
    """A textured cube that travels and turns over a textured ground, under a camera that drifts."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = FIRST, LAST
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.resolution_percentage = 100
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = SAMPLES, False, 0
    bpy.ops.mesh.primitive_plane_add(size=40)
    bpy.context.object.data.materials.append(material("ground", 1.2, (0.02, 0.05, 0.15), (0.5, 0.6, 0.8)))
    bpy.ops.mesh.primitive_cube_add(size=2.2)
    cube = bpy.context.object
    cube.data.materials.append(material("cube", 2.5, (0.5, 0.1, 0.02), (1.6, 1.1, 0.3)))
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    moves(cube, "location", (-1.2, -0.4, 1.5), (0.9, 0.4, 1.5))
    moves(cube, "rotation_euler", (0, 0, 0), (0.05, 0.1, 0.3))
    moves(camera, "location", (0, 0, 14), (0.5, 0.15, 14))
    straight(cube)
    straight(camera)
    layer = scene.view_layers[0]
    layer.use_pass_vector = layer.use_pass_z = True
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth = "32"
    return scene


def render(scene: Any, frame: int, subframe: float, path: str) -> None:
    """One frame, with noise of its own."""
    scene.frame_set(frame, subframe=subframe)
    scene.cycles.seed = round(100 * (frame + subframe))
    scene.render.filepath = path
    bpy.ops.render.render(write_still=True)


folder = FACTS["folder"]
scene = make()
for number in range(FIRST, LAST + 1):
    render(scene, number, 0, f"{folder}/plate.{number:04d}")
truths = []
for before in TRUE_SOURCE_FRAMES:
    for quarter in (1, 2, 3):
        output_frame = FIRST + 4 * (before - FIRST) + quarter
        render(scene, before, quarter / 4, f"{folder}/truth.{output_frame:04d}")
        truths.append(output_frame)
scene.render.filepath = f"{folder}/plate."
bpy.ops.wm.save_as_mainfile(filepath=f"{folder}/scene.blend")
answer(truths=truths, first=FIRST, last=LAST)
