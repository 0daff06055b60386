"""How the things of a scene move, and the camera."""

from __future__ import annotations

from typing import List, Optional

import numpy as np

from kairos.training.scenes.layer import OPAQUE, SHADOW
from kairos.training.scenes.motion import PARTS, ROLL, Numbers, Paths, Ripple
from kairos.training.scenes.objects import Draft
from kairos.training.scenes.shapes import POINTS

Generator = np.random.Generator


def draw_paths(rng: Generator, drafts: List[Draft], height: int, width: int, still: str) -> Paths:
    """Motion of everything at unit speed: about one pixel at the layer's edge from each part that moves."""
    count = len(drafts)
    size = np.array([np.hypot(*draft.half) for draft in drafts])
    own, bend = np.zeros((count, PARTS)), np.zeros((count, PARTS))
    pivot = rng.normal(0.0, 0.35, (count, 2)) * size[:, None]
    jointed = {draft.number for draft in drafts if draft.pivot is not None}
    swinging = {number: rng.uniform() < 0.8 for number in sorted(jointed)}
    ripples: List[Optional[Ripple]] = []
    for k, draft in enumerate(drafts):
        heading = rng.normal(0.0, 0.5) + rng.choice([0.0, np.pi]) if rng.uniform() < 0.6 else rng.uniform(0, 6.2832)
        pace = 0.0 if rng.uniform() < 0.3 else np.exp(rng.uniform(np.log(0.2), 0.0))
        wide = draft.shape is None or draft.shape.half[0] >= max(height, width)
        odds = np.array([0.0, 0.0, 0.35, 0.35, 0.2, 0.25] if wide else [0.5, 0.5, 0.2, 0.2, 0.2, 0.2])
        parts = rng.normal(0.0, 1.0, 6) * (rng.uniform(size=6) < odds) * pace / size[k]
        own[k] = [pace * np.cos(heading), pace * np.sin(heading), *(parts * [0.5, 0.35, 0.8, 0.8, 0.3, 0.4])]
        if wide:
            own[k, :2] = 0.0
        bend[k] = rng.uniform(-0.8, 0.8, PARTS) * (rng.uniform() < 0.5)
        ripple = _ripple(rng, size[k])
        rigid = draft.kind == SHADOW or draft.number in jointed
        ripples.append(ripple if rng.uniform() < (0.25 if wide else 0.45) and not rigid else None)
        if draft.pivot is not None:
            pivot[k] = draft.pivot
            own[k] = 0.0
            if swinging[draft.number]:
                own[k, ROLL] = rng.normal(0.0, 0.45) / size[k]
    for k, draft in enumerate(drafts):
        if draft.follows >= 0:
            slip = rng.uniform(0.6, 1.2)
            own[k] = own[draft.follows] * slip
            own[k, :2] += rng.normal(0.0, 0.12, 2)
            bend[k] = bend[draft.follows]
    camera = np.zeros(4)
    shake = np.zeros(4)
    reachable = np.hypot(height, width) / 2
    if rng.uniform() >= 0.3 and still == "":
        pan = rng.normal(0.0, 1.0, 2) * np.array([1.3, 0.6]) * (rng.uniform() < 0.8)
        turns = rng.normal(0.0, 0.5, 2) * (rng.uniform(size=2) < np.array([0.25, 0.4])) / reachable
        # Often the camera outruns all that it shows.
        camera = np.array([*pan, *turns]) * (3.0 if rng.uniform() < 0.4 else 1.0)
        if rng.uniform() < 0.2:
            shake = rng.normal(0.0, 0.3, 4) * np.array([1.0, 1.0, 0.4 / reachable, 0.2 / reachable])
    if still == "others":
        mover = int(rng.integers(1, count))
        for k in range(count):
            if drafts[k].number != drafts[mover].number:
                own[k] = 0.0
                ripples[k] = None
    elif not own.any() and not camera.any():
        own[-1, :2] = rng.normal(0.0, 1.0, 2)
    spread = 0.0 if rng.uniform() < 0.35 else rng.uniform(0.2, 1.0)
    depth = np.array([draft.depth for draft in drafts])
    return Paths(
        np.array([draft.place for draft in drafts]), pivot,
        np.array([draft.half for draft in drafts]), np.stack([_points(draft) for draft in drafts]), own, bend,
        tuple(draft.parent for draft in drafts), camera,        rng.uniform(-0.6, 0.6, 4) * (rng.uniform() < 0.5),
        1.0 + spread * (0.4 - depth) * 0.8, shake, rng.uniform(4.0, 11.0, 4), rng.uniform(0, 6.2832, 4),
        ((width - 1) / 2, (height - 1) / 2), tuple(ripples),
    )  # fmt: skip


def _points(draft: Draft) -> Numbers:
    """Where a layer's motion is measured: inside its outline, or all over the frame."""
    if draft.kind != OPAQUE:
        return np.full((POINTS, 2), np.nan)
    if draft.shape is not None:
        return draft.shape.points
    x, y = np.meshgrid(np.linspace(-1.0, 1.0, 8), np.linspace(-1.0, 1.0, 5))
    grid: Numbers = np.stack([x.ravel(), y.ravel()], 1) * np.array(draft.half)
    return grid


def _ripple(rng: Generator, size: float) -> Ripple:
    count = int(rng.integers(1, 4))
    length = size * np.exp(rng.uniform(np.log(0.5), np.log(2.5), count))
    angle, way = rng.uniform(0, 2 * np.pi, count), rng.uniform(0, 2 * np.pi, count)
    waves = (2 * np.pi / length)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    sway = rng.uniform(0.05, 0.4, count)[:, None] * np.stack([np.cos(way), np.sin(way)], 1)
    return Ripple(
        waves, rng.uniform(0, 2 * np.pi, count), sway, rng.uniform(0.6, 2.6, count), rng.normal(0.0, 0.5, count)
    )
