"""Makes and renders a toy street: six things that go far, cross and hide one another, with Cryptomatte of the objects.

Told: ``folder``, ``width``, ``height``, ``frames`` (which are rendered, 7 being the middle) and ``pace``: 1 for speeds
as written at :data:`THINGS`, in a plate of every other frame.
"""

from __future__ import annotations

from math import pi
from typing import Any, Dict, NamedTuple, Sequence, Tuple

import bpy
from inside import FACTS, answer
from mathutils import Matrix

SAMPLES = 16
LENS, SENSOR = 35.0, 36.0
CAMERA, AIM = (0.0, 0.0, 1.7), 1.52
"""Metres, and the camera's tilt, radians; it looks along +y."""
DRIFT = (0.018, 0.0, 0.006)
"""Of the camera, metres a frame."""
PLATE = 2
"""Rendered frames from one frame of the plate to the next."""
NOMINAL = 640.0
"""Width of the picture in which speeds are told, pixels."""
QUARTER = pi / 2
MIDDLE = 7.0
"""The frame in which everything is where it is written."""

Colour = Tuple[float, float, float]
Vector = Tuple[float, float, float]


class Thing(NamedTuple):
    """One that moves.

    Attributes:
        at: where it is in the middle of the shot, metres; y is its distance.
        speed: right and up, pixels from one frame of the plate to the next at :data:`NOMINAL`, in the middle of the
            shot.
        change: of that speed from one frame of the plate to the next, pixels.
        turn: about the vertical, radians a rendered frame.
        boxes: what it is built of: half sides and centre of each; empty for what is round.
        scale: of its texture, per metre.
        dark, bright: its colours.
    """

    at: Vector
    speed: Tuple[float, float]
    change: Tuple[float, float]
    turn: float
    boxes: Sequence[Tuple[Vector, Vector]]
    scale: float
    dark: Colour
    bright: Colour


THINGS: Dict[str, Thing] = {
    "bus": Thing(
        (-0.4, 10.0, 0.95), (70, 0), (0, 0), 0.0, (((1.7, 0.55, 0.7), (0, 0, 0)), ((1.3, 0.5, 0.2), (-0.2, 0, 0.9))),
        5.0, (0.45, 0.05, 0.03), (1.0, 0.62, 0.2),
    ),
    "car": Thing(
        (0.2, 7.5, 0.45), (-80, 0), (-3, 0), 0.0, (((0.85, 0.35, 0.22), (0, 0, 0)), ((0.45, 0.3, 0.2), (0.1, 0, 0.4))),
        7.0, (0.02, 0.10, 0.38), (0.35, 0.85, 1.0),
    ),
    "ball": Thing((-0.3, 5.6, 1.3), (45, 6), (0, -7), 0.02, (), 6.0, (0.02, 0.25, 0.06), (0.9, 0.95, 0.25)),
    "ring": Thing((0.55, 4.6, 0.9), (-60, 0), (2, 0), 0.03, (), 9.0, (0.25, 0.02, 0.25), (1.0, 0.55, 0.85)),
    "board": Thing(
        (-0.7, 3.4, 1.25), (90, -6), (0, 0), 0.01,
        (((0.27, 0.02, 0.33), (0, 0, 0)), ((0.03, 0.015, 0.5), (0, 0, -0.7))),
        14.0, (0.10, 0.08, 0.05), (0.95, 0.9, 0.75),
    ),
    "kite": Thing(
        (1.4, 8.4, 3.1), (-35, -18), (0, 1.5), 0.0, (((0.9, 0.03, 0.1), (0, 0, 0)), ((0.16, 0.03, 0.45), (0, 0, 0))),
        6.0, (0.05, 0.05, 0.08), (0.95, 0.25, 0.15),
    ),
}  # fmt: skip
"""What moves, by name."""


def material(name: str, scale: float, dark: Colour, bright: Colour, bricks: float = 0.0) -> Any:
    """A fine and a coarse pattern in object space under the sun, with light of its own in the shade.

    Args:
        name: of the material.
        scale: of the pattern, per metre.
        dark, bright: its colours.
        bricks: of a wall of them, how many a metre; 0 is none.
    """
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    tree = made.node_tree
    tree.nodes.clear()

    def node(kind: str, **values: Any) -> Any:
        fresh = tree.nodes.new(kind)
        for socket, value in values.items():
            fresh.inputs[socket.replace("_", " ")].default_value = value
        return fresh

    place = node("ShaderNodeTexCoord").outputs["Object"]
    noise, cells = node("ShaderNodeTexNoise", Scale=scale, Detail=5.0), node("ShaderNodeTexVoronoi", Scale=1.7 * scale)
    both, ramp = tree.nodes.new("ShaderNodeMath"), tree.nodes.new("ShaderNodeValToRGB")
    both.operation = "MULTIPLY_ADD"
    both.inputs[1].default_value = 0.55
    for element, position, colour in zip(ramp.color_ramp.elements, (0.42, 0.95), (dark, bright)):
        element.position, element.color = position, (*colour, 1)
    links = [(place, noise.inputs["Vector"]), (place, cells.inputs["Vector"]),
             (cells.outputs["Distance"], both.inputs[0]), (noise.outputs[0], both.inputs[2]),
             (both.outputs[0], ramp.inputs[0])]  # fmt: skip
    colour = ramp.outputs["Color"]
    if bricks:
        wall = node("ShaderNodeTexBrick", Scale=bricks, Mortar=(*(0.6 * part for part in bright), 1))
        links += [(place, wall.inputs["Vector"]), (colour, wall.inputs["Color1"]), (colour, wall.inputs["Color2"])]
        colour = wall.outputs["Color"]
    lit, shade = node("ShaderNodeBsdfDiffuse"), node("ShaderNodeEmission", Strength=0.35)
    added, output = tree.nodes.new("ShaderNodeAddShader"), tree.nodes.new("ShaderNodeOutputMaterial")
    links += [(colour, lit.inputs["Color"]), (colour, shade.inputs["Color"]), (lit.outputs[0], added.inputs[0]),
              (shade.outputs[0], added.inputs[1]), (added.outputs[0], output.inputs["Surface"])]  # fmt: skip
    for source, target in links:
        tree.links.new(source, target)
    return made


def built(name: str, boxes: Sequence[Tuple[Vector, Vector]]) -> Any:
    """One object of boxes, each with half sides and a centre."""
    corners, faces = [], []
    for half, centre in boxes:
        first = len(corners)
        corners += [
            tuple(centre[axis] + half[axis] * (1 if index >> axis & 1 else -1) for axis in range(3))
            for index in range(8)
        ]
        sides = ((0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5))
        faces += [tuple(first + corner for corner in side) for side in sides]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(corners, [], faces)
    made = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(made)
    return made


def shape(name: str, thing: Thing) -> Any:
    """The object of a thing."""
    if thing.boxes:
        return built(name, thing.boxes)
    if name == "ball":
        bpy.ops.mesh.primitive_uv_sphere_add(radius=0.42, segments=64, ring_count=32)
    else:
        bpy.ops.mesh.primitive_torus_add(
            major_radius=0.3, minor_radius=0.085, major_segments=96, minor_segments=24, rotation=(1.45, 0.0, 0.0)
        )
    made = bpy.context.object
    made.name = name
    bpy.ops.object.shade_smooth()
    return made


def moved(thing: Thing, frame: float, pace: float) -> Vector:
    """Where a thing is in a rendered frame."""
    time = pace * (frame - MIDDLE) / PLATE
    metres = thing.at[1] * SENSOR / LENS / NOMINAL
    right, up = (
        metres * (speed * time + 0.5 * change * time * time) for speed, change in zip(thing.speed, thing.change)
    )
    return thing.at[0] + right, thing.at[1], thing.at[2] + up


def make() -> Tuple[Any, Dict[str, Any]]:
    """The scene, and the objects that move in it."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = FACTS["width"], FACTS["height"]
    scene.render.resolution_percentage = 100
    scene.render.engine, scene.render.use_motion_blur = "CYCLES", False
    cycles = scene.cycles
    cycles.samples, cycles.use_denoising, cycles.use_adaptive_sampling, cycles.max_bounces = SAMPLES, False, False, 0
    for name, half, centre, bricks, colours in (
        ("street", (14.0, 9.0, 0.05), (0, 6.0, -0.05), 0.0, ((0.10, 0.10, 0.11), (0.55, 0.53, 0.5))),
        ("wall", (14.0, 0.1, 5.0), (0, 14.0, 5.0), 1.0, ((0.12, 0.06, 0.04), (0.75, 0.5, 0.35))),
    ):
        ground = built(name, ((half, (0, 0, 0)),))
        ground.location = centre
        if bricks:
            # Bricks lie in their texture's own xy: the wall's own is stood up.
            ground.data.transform(Matrix.Rotation(-QUARTER, 4, "X"))
            ground.rotation_euler = (QUARTER, 0, 0)
        ground.data.materials.append(material(name, 3.0, *colours, bricks=bricks))
    objects = {}
    for name, thing in THINGS.items():
        objects[name] = shape(name, thing)
        objects[name].data.materials.append(material(name, thing.scale, thing.dark, thing.bright))
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.data.angle, sun.rotation_euler = 2.2, 0.0, (0.75, -0.35, 0.0)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.lens, camera.data.sensor_width, camera.rotation_euler = LENS, SENSOR, (AIM, 0, 0)
    for fresh in (sun, camera):
        scene.collection.objects.link(fresh)
    scene.camera = camera
    layer = scene.view_layers[0]
    layer.use_pass_cryptomatte_object, layer.pass_cryptomatte_depth = True, 4
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format, settings.color_depth, settings.exr_codec = "OPEN_EXR_MULTILAYER", "32", "ZIP"
    return scene, objects


def render(frame: int) -> None:
    """One frame, with noise of its own."""
    for name, thing in THINGS.items():
        objects[name].location = moved(thing, frame, FACTS["pace"])
        objects[name].rotation_euler[2] = thing.turn * FACTS["pace"] * (frame - MIDDLE)
    scene.camera.location = [start + step * FACTS["pace"] * (frame - MIDDLE) for start, step in zip(CAMERA, DRIFT)]
    scene.cycles.seed = frame
    scene.render.filepath = f"{FACTS['folder']}/shot.{frame:04d}"
    bpy.ops.render.render(write_still=True)


scene, objects = make()
for number in FACTS["frames"]:
    render(number)
answer(things=sorted(THINGS), frames=FACTS["frames"])
