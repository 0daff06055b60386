"""What stands in a scene: backgrounds, ground, things, people, and what is seen through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

import numpy as np
import torch

from kairos.training.scenes.layer import OPAQUE, SHADOW, Surface
from kairos.training.scenes.motion import Numbers
from kairos.training.scenes.shapes import Shape, body, draw_shape, limb
from kairos.training.scenes.surfaces import Look, draw_highlights, draw_surface
from kairos.training.scenes.textures import Bank

Generator = np.random.Generator

ODDS = {
    "blob": 2.5, "polygon": 1.8, "box": 2.5, "rock": 3.0, "foliage": 2.0, "figure": 2.0,
    "fence": 0.9, "wires": 1.4, "hair": 1.4, "lettering": 1.3,
}  # fmt: skip
"""How often each outline is drawn."""
FILMY = ("blob", "box", "foliage", "rock")


@dataclass
class Draft:
    """A layer before its motion is known.

    Attributes:
        kind, number, surface, shape, softness, opacity: as in :class:`Layer`.
        place: screen pixel of its centre at half time; half: its half extent in pixels; depth: 0 near to 1 far.
        follows: another draft in the list that it moves nearly like, as a shadow does; -1 for none.
        parent: another draft that carries it; pivot: the joint, from its own centre; None for any.
    """

    kind: int
    number: int
    surface: Optional[Surface]
    shape: Optional[Shape]
    softness: float
    opacity: float
    place: Tuple[float, float]
    half: Tuple[float, float]
    depth: float
    follows: int = -1
    parent: int = -1
    pivot: Optional[Tuple[float, float]] = None


def background(rng: Generator, bank: Bank, look: Look, height: int, width: int, device: torch.device) -> Draft:
    extent = 1.15 * max(height, width)
    blur = look.range if look.focus < 0.6 else 0.0
    surface = draw_surface(rng, bank, look, extent, 1.0, blur, device, flat=bool(rng.uniform() < 0.12))
    place = ((width - 1) / 2, (height - 1) / 2)
    return Draft(OPAQUE, 0, surface, None, 1.0, 1.0, place, (width / 2, height / 2), 1.0)


def ridge(rng: Generator, bank: Bank, look: Look, height: int, width: int, order: int, device: torch.device) -> Draft:
    """Ground or hills, one behind the other, farther ones first."""
    radius = float(1.0 * max(height, width))
    shape = draw_shape(rng, "ridge", radius, bank.noise, device)
    depth = 0.85 - 0.15 * order
    surface = draw_surface(rng, bank, look, 1.2 * width, depth, 0.0, device)
    place = (width * rng.uniform(0.3, 0.7), height * (rng.uniform(0.4, 0.6) + 0.17 * order))
    return Draft(OPAQUE, order + 1, surface, shape, 1.0, 1.0, place, shape.half, depth)


def thing(
    rng: Generator, bank: Bank, look: Look, height: int, width: int, depth: float, count: int, number: int,
    device: torch.device,
) -> List[Draft]:  # fmt: skip
    """A thing, perhaps with the shadow that it throws on what lies behind. ``follows`` counts within this list."""
    short = min(height, width)
    kinds = list(ODDS)
    weights = np.array([ODDS[kind] for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
    largest = 0.48 if count < 4 else 0.26
    radius = short * float(np.exp(rng.uniform(np.log(0.09), np.log(largest))))
    if kind in ("fence", "wires"):
        radius = short * rng.uniform(0.35, 0.8)
    elif kind in ("figure", "foliage", "hair", "lettering"):
        radius = max(radius, short * 0.13)
    shape = draw_shape(rng, kind, radius, bank.noise, device)
    blur = look.range * abs(depth - look.focus) if kind not in ("wires", "fence", "lettering") else 0.0
    softness = max(1.0, 2.2 * blur)
    if kind in ("blob", "rock") and rng.uniform() < 0.12:
        softness = max(softness, radius * rng.uniform(0.1, 0.5))
    surface = draw_surface(rng, bank, look, 2 * radius, depth, blur, device, flat=kind in ("wires", "lettering"))
    rim, spots = 0.0, np.zeros((0, 6))
    if kind in ("blob", "figure", "rock", "hair") and rng.uniform() < 0.6:
        rim = rng.uniform(0.2, 0.6)
    if kind in ("blob", "figure", "box", "polygon") and rng.uniform() < 0.25:
        spots = draw_highlights(rng, radius, short)
    surface = replace(surface, rim=rim, rim_width=radius * rng.uniform(0.08, 0.3), highlights=spots)
    place = (rng.uniform(0.02, 0.98) * width, rng.uniform(0.02, 0.98) * height)
    draft = Draft(OPAQUE, number, surface, shape, softness, 1.0, place, shape.half, depth)
    if rng.uniform() >= 0.3 or kind == "wires":
        return [draft]
    offset = rng.normal(0.0, 0.12 * radius, 2) + np.array([0.0, 0.05 * radius])
    shadow = Draft(
        SHADOW, number, None, shape, max(2.0, radius * rng.uniform(0.05, 0.4)), rng.uniform(0.25, 0.65),
        (place[0] + offset[0], place[1] + offset[1]), shape.half, depth, follows=1,
    )  # fmt: skip
    return [shadow, draft]


def person(
    rng: Generator, bank: Bank, look: Look, height: int, width: int, depth: float, number: int, device: torch.device
) -> List[Draft]:
    """Somebody whose arms and legs swing at their joints. Drafts point at one another by place in this list."""
    radius = min(height, width) * float(np.exp(rng.uniform(np.log(0.2), np.log(0.55))))
    place = np.array([rng.uniform(0.1, 0.9) * width, rng.uniform(0.3, 0.75) * height])
    shirt = draw_surface(rng, bank, look, 2 * radius, depth, 0.0, device)
    trousers = draw_surface(rng, bank, look, 2 * radius, depth, 0.0, device, flat=bool(rng.uniform() < 0.6))
    rim, softness = rng.uniform(0.15, 0.5), max(1.0, 1.5 * look.range * abs(depth - look.focus))

    def draft(shape: Shape, at: Numbers, surface: Surface, parent: int, pivot: Optional[Tuple[float, float]]) -> Draft:
        dressed = replace(surface, rim=rim, rim_width=0.08 * radius)
        where = (float(at[0]), float(at[1]))
        return Draft(
            OPAQUE, number, dressed, shape, softness, 1.0, where, shape.half, depth, parent=parent, pivot=pivot
        )

    def two_bones(joint: Numbers, angles: Tuple[float, float], thick: float, parent: int, first: int, surface: Surface,
                  length: float) -> List[Draft]:  # fmt: skip
        found, at = [], joint
        for k, angle in enumerate(angles):
            along = length * np.array([np.sin(angle), np.cos(angle)])
            wide, narrow = thick * 0.85**k, thick * 0.85 ** (k + 1)
            shape = limb((float(along[0]), float(along[1])), wide, narrow, device)
            carrier = parent if k == 0 else first
            found.append(draft(shape, at + along / 2, surface, carrier, (float(-along[0] / 2), float(-along[1] / 2))))
            at = at + along
        return found

    # From far to near: one arm and leg, the body, the other leg and arm. The body is fifth, the carrier of all.
    arm, leg = rng.uniform(0.05, 0.075) * radius, rng.uniform(0.075, 0.11) * radius
    sides = []
    for side in (-1.0, 1.0):
        shoulder = place + np.array([side * rng.uniform(0.02, 0.16), -0.36]) * radius
        hip = place + np.array([side * rng.uniform(0.0, 0.08), 0.14]) * radius
        sides.append((shoulder, hip, rng.normal(0.0, 0.8), rng.normal(0.0, 0.9), rng.normal(0.0, 0.4)))
    drafts: List[Draft] = []
    for side, (shoulder, hip, swing, fold, stride) in enumerate(sides):
        start = len(drafts)
        arms = (shoulder, (swing, swing + fold), arm, 4, start, shirt, 0.3 * radius)
        legs = (hip, (stride, stride - abs(fold) * 0.5), leg, 4, start + 2, trousers, 0.38 * radius)
        if side == 0:
            drafts += two_bones(*arms) + two_bones(*legs)
            drafts.append(draft(body(rng, radius, device), place, shirt, -1, None))
        else:
            drafts += two_bones(*legs[:4], start, *legs[5:]) + two_bones(*arms[:4], start + 2, *arms[5:])
    return drafts


def film(
    rng: Generator, bank: Bank, look: Look, height: int, width: int, kind: int, number: int, device: torch.device
) -> Draft:
    """Glass, smoke, a reflection, a glow: seen through, or added."""
    radius = min(height, width) * rng.uniform(0.15, 0.5)
    shape = draw_shape(rng, FILMY[int(rng.integers(len(FILMY)))], radius, bank.noise, device)
    surface = draw_surface(rng, bank, look, 2 * radius, 0.2, rng.choice([0.0, 3.0]), device)
    softness = rng.choice([1.0, radius * rng.uniform(0.1, 0.6)])
    place = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height)
    opacity = rng.uniform(0.15, 0.55)
    return Draft(kind, number, surface, shape, max(1.0, softness), opacity, place, shape.half, 0.2)
