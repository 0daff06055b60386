"""Motion segmentation: what moves apart from the rest of the frame, by two flows alone and without any model.

A few parametric motions are found one by one, each the one that most of what is left agrees on (Torr, "Geometric Motion
Segmentation and Model Selection", Phil. Trans. R. Soc. A 356, 1998; candidates are affine motions of blocks, as by Wang
and Adelson, "Representing Moving Images with Layers", IEEE Trans. Image Processing 3(5), 1994): first the rest's, which
is the camera's in most shots, then the objects'. Pixels then choose among them together with their neighbours (mean
field of a Potts model, Kraehenbuehl and Koltun, NeurIPS 2011). Nothing is drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kairos.engines.hierarchical.masks.parametric import (
    AFFINE,
    PLANAR,
    Array,
    Motion,
    Vectors,
    noise,
    predicted,
    proposed,
    refined,
    residual,
)
from kairos.motion.occlusion import confidence, consistency
from kairos.motion.regions import areas, followed, shared

Labels = npt.NDArray[np.int16]

_BORDER = 1.5
"""What moves along the frame's border weighs so much more when the rest is looked for: objects seldom fill it."""

_MOTIONS = 8
"""Most motions looked for beside the rest's; a thing may consist of several."""

_VOTERS = 4000
"""About so many points compare the candidates."""

_TAKEN = 2.0
"""What a motion explains to so many squared slacks is taken when the next one is looked for."""

_CAP = 4.0
"""The most a pixel's vector says against a motion, in squared slacks."""

_UNSURE = 0.3
"""What is said against objects where no vector tells: what is hidden lies behind."""

_TRUST = 4.0
"""What the other frame's label says against others where the vector is sure."""

_STRENGTH, _ROUNDS = 4.0, 4
"""What neighbours say against disagreeing with them all, and how often they are asked."""

_WIDTH = 0.006
"""Standard deviation of the neighbourhood, part of the grid's longer side."""

_SAME = 0.7
"""Part of an object's vectors that another motion has to explain for both to be one."""

_NOISE = 16
"""Side of the blocks in which a flow's noise is measured, points of the grid."""

_CRUMB = 0.1
"""Parts smaller than this part of the least object belong to what they border on most, whatever their motion."""


@dataclass(frozen=True)
class Settings:
    """How motion is told apart.

    Attributes:
        objects: most objects found.
        side: the longer side of the grid that is worked on, about, pixels.
        slack, share: a vector agrees with a motion within this many pixels, plus this part of its length.
        least: part of the frame that an object covers at least.
        noise: how much of a flow's own noise is let pass besides.
        jump: how far two motions differ along their common border, in slacks, where two things meet and not two parts
            of one.
        together: parts that differ less from each other than this part of what both differ from the rest are one thing.
    """

    objects: int = 8
    side: int = 320
    slack: float = 1.0
    share: float = 0.03
    least: float = 0.0075
    noise: float = 2.0
    jump: float = 1.5
    together: float = 0.8


def moving_apart(there: Tensor, back: Tensor, settings: Settings = Settings()) -> Tuple[Tensor, Tensor]:
    """What moves apart from the rest, in both frames of a pair.

    Args:
        there: (2, H, W) pixels, x right, y down, from the first frame's pixels to the second.
        back: (2, H, W) pixels, the other way.
        settings: see :class:`Settings`.

    Returns:
        Both frames' label maps, (H, W) int16 on the flows' device, with the same labels: 0 what moves as most of the
        frame does, then objects, the largest in the first frame first. A still or evenly moving shot is all 0.

    Raises:
        ValueError: flows that are not (2, H, W) or differ in size.
    """
    if there.ndim != 3 or there.shape[0] != 2 or there.shape != back.shape:
        raise ValueError(f"flows have to be (2, H, W) both, not {tuple(there.shape)} and {tuple(back.shape)}")
    size = (there.shape[1], there.shape[2])
    device = there.device
    there, back = (torch.nan_to_num(flow.detach().float().cpu(), 0.0, 0.0, 0.0).contiguous() for flow in (there, back))
    first, second = _grid(there, back, settings), _grid(back, there, settings)
    motions = _motions(first, settings)
    if len(motions) > 1:
        motions = _settled(first, motions)
    if len(motions) == 1:
        empty = torch.zeros(size, dtype=torch.int16, device=device)
        return empty, empty.clone()
    things = _things(first, _smoothed(_costs(first, motions)).argmax(0).astype(np.int16), motions, settings)
    one = _enlarged(_planes(things), size)
    # The second frame shows the same things where its vectors are sure; what is hidden in the first lies behind.
    arrived = _planes(_sampled(followed(one, back), settings), int(things.max()) + 1)
    costs = _TRUST * second.weight * (1 - arrived)
    costs[1:] += _UNSURE * (1 - second.weight)
    other = _enlarged(_smoothed(costs), size)
    return _ordered(*(each.to(device) for each in shared(one, other)))


def _sampled(plane: Tensor, settings: Settings) -> npt.NDArray[Any]:
    """A plane (H, W) at the points of the grid."""
    height, width = plane.shape
    step = max(1, round(max(height, width) / settings.side))
    return np.asarray(plane[min(step // 2, height - 1) :: step, min(step // 2, width - 1) :: step].numpy())


def _grid(flow: Tensor, back: Tensor, settings: Settings) -> Vectors:
    """The vectors of a frame at every so many pixels."""
    height, width = flow.shape[1:]
    half = max(height, width) / 2
    y, x = torch.meshgrid(
        (torch.arange(height) - (height - 1) / 2) / half, (torch.arange(width) - (width - 1) / 2) / half, indexing="ij"
    )
    sure = confidence(consistency(flow, back), flow)[0]
    slack = settings.slack + settings.share * flow.square().sum(0).sqrt()
    grid = Vectors(*(np.ascontiguousarray(_sampled(p, settings), np.float32) for p in (x, y, *flow, sure, slack)))
    return grid._replace(slack=np.asarray(grid.slack + settings.noise * noise(grid, _NOISE), np.float32))


def _motions(grid: Vectors, settings: Settings) -> List[Motion]:
    """The rest's motion, then those of objects, each the one that most of what is left agrees on."""
    sides = sorted({max(4, max(grid.x.shape) // part) for part in (24, 12, 6, 3)})
    candidates = np.concatenate([np.zeros((1, AFFINE)), *(proposed(grid, side) for side in sides)])
    every = Vectors(*(plane.reshape(-1) for plane in grid))
    thin = max(1, round((grid.x.size / _VOTERS) ** 0.5))
    voters = Vectors(*(plane[thin // 2 :: thin, thin // 2 :: thin].reshape(-1) for plane in grid))
    agree = np.stack([np.maximum(0, 1 - residual(voters, motion)) for motion in candidates])
    edge = np.maximum(*(np.abs(place) / max(1e-6, float(np.abs(place).max())) for place in (voters.x, voters.y)))
    found: List[Motion] = []
    while len(found) <= _MOTIONS:
        weight = voters.weight * np.where(edge > 0.85, _BORDER, 1.0) if not found else voters.weight
        motion = refined(every, candidates[int((agree @ weight).argmax())], AFFINE, 4)
        if not found:
            motion = refined(every, motion, PLANAR, 6)
        support = (voters.weight * (residual(voters, motion) < 1)).sum()
        if found and support < settings.least * len(voters.x):
            break
        found.append(motion)
        every, voters = (
            each._replace(weight=each.weight * (residual(each, motion) > _TAKEN)) for each in (every, voters)
        )
    return found


def _settled(grid: Vectors, motions: Sequence[Motion]) -> List[Motion]:
    """Motions fitted again to the pixels that chose them, without those that nobody chooses or another explains."""
    kept = list(motions)
    for _ in range(2):
        labels = _smoothed(_costs(grid, kept)).argmax(0)
        chosen = [grid.at((labels == index) & (grid.weight > 0.1)) for index in range(len(kept))]
        again: List[Motion] = []
        for vectors, motion in zip(chosen, kept):
            if again and len(vectors.x) < 3:
                continue
            explained = [float((residual(vectors, other) < 1).mean()) for other in again]
            if max(explained, default=0.0) < _SAME:
                again.append(refined(vectors, motion, len(motion), 3) if len(vectors.x) >= 3 else motion)
        kept = again
    return kept


def _costs(grid: Vectors, motions: Sequence[Motion]) -> Array:
    """(K, h, w): what every pixel's own vector says against each motion."""
    costs = np.stack([np.minimum(residual(grid, motion), _CAP) * grid.weight for motion in motions])
    costs[1:] += _UNSURE * (1 - grid.weight)
    return costs


def _smoothed(costs: Array) -> Array:
    """(K, h, w): how likely every label is when neighbours speak too."""
    deviation = max(1.0, _WIDTH * max(costs.shape[1:]))
    belief = _softmax(costs)
    for _ in range(_ROUNDS):
        for plane in belief:
            cv2.GaussianBlur(plane, (0, 0), deviation, plane, borderType=cv2.BORDER_REPLICATE)
        belief = _softmax(costs - _STRENGTH * belief)
    return belief


def _softmax(costs: Array) -> Array:
    powers = np.exp(costs.min(0) - costs)
    return np.asarray(powers / powers.sum(0), np.float32)


def _things(grid: Vectors, labels: Labels, motions: Sequence[Motion], settings: Settings) -> Labels:
    """Whole things of the parts that chose a motion each: (h, w), 0 the rest.

    Parts whose motions meet along their common border hang together: limbs with their body, near ground with far. What
    is left apart and large enough is a thing; what is not belongs to what it borders on most.
    """
    parts = _parts(labels)
    meeting = _borders(parts, labels, grid, motions)
    area = np.bincount(parts.reshape(-1)).astype(np.float64)
    group = list(range(len(area)))

    def join(one: int, other: int) -> None:
        """The second becomes part of the first, with its borders."""
        group[other] = one
        area[one] += area[other]
        for pair in [pair for pair in meeting if other in pair]:
            jumps = meeting.pop(pair)
            third = pair[0] if pair[1] == other else pair[1]
            if third != one:
                key = (min(one, third), max(one, third))
                meeting[key] = np.concatenate([meeting.get(key, jumps[:0]), jumps])

    least = settings.least * labels.size
    # Crumbs first, that say little of motion; then what hangs together best.
    for crumb in np.argsort(area, kind="stable"):
        beside = {pair: len(jumps) for pair, jumps in meeting.items() if crumb in pair}
        if area[crumb] < _CRUMB * least and beside:
            pair = max(beside, key=lambda pair: (beside[pair], -sum(pair)))
            join(pair[0] if pair[1] == crumb else pair[1], int(crumb))
    away = _away(parts, labels, grid, motions)
    while meeting:
        jump, pair = min((_jump(jumps, away[list(pair)], settings), pair) for pair, jumps in meeting.items())
        if jump > settings.jump:
            break
        one, other = pair
        away[one] = min(away[one], away[other])
        join(one, other)
    roots = [index for index in range(len(group)) if group[index] == index]
    edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    weight = area.copy()
    for index, count in enumerate(np.bincount(edge, minlength=len(area))):
        weight[_root(group, index)] += _BORDER * count * max(parts.shape) / 8
    rest = max(roots, key=lambda index: (weight[index], -index))
    largest = sorted((index for index in roots if index != rest), key=lambda index: (-area[index], index))
    chosen = [rest, *(index for index in largest[: settings.objects] if area[index] >= least)]
    for index in largest:
        if index not in chosen:
            beside = {pair: len(jumps) for pair, jumps in meeting.items() if index in pair}
            pair = max(beside, key=lambda pair: (beside[pair], -sum(pair)), default=(rest, index))
            join(pair[0] if pair[1] == index else pair[1], index)
    number = {root: place for place, root in enumerate(chosen)}
    table = np.array([number[_root(group, index)] for index in range(len(group))], np.int16)
    return np.asarray(table[parts], np.int16)


def _away(
    parts: npt.NDArray[np.int32], labels: Labels, grid: Vectors, motions: Sequence[Motion]
) -> npt.NDArray[np.float64]:
    """How far every part's motion differs from the rest's, in slacks."""
    says = np.stack([predicted(grid.x, grid.y, motion) for motion in motions])
    own = np.take_along_axis(says, labels[None, None].astype(np.int64), 0)[0]
    apart = np.hypot(*(own - says[0])) / grid.slack
    count = np.bincount(parts.reshape(-1))
    return np.asarray(np.bincount(parts.reshape(-1), apart.reshape(-1)) / np.maximum(count, 1), np.float64)


def _jump(jumps: Array, away: npt.NDArray[np.float64], settings: Settings) -> float:
    """How far the motions of two parts differ along their border; less between those that both leave the rest."""
    alike = settings.together * float(away.min())
    return float(np.median(jumps)) * min(1.0, settings.jump / max(alike, 1e-9))


def _root(group: Sequence[int], index: int) -> int:
    """What a part has become part of."""
    while group[index] != index:
        index = group[index]
    return index


def _parts(labels: Labels) -> npt.NDArray[np.int32]:
    """(h, w) numbers from 0 of the connected parts of every label."""
    parts = np.zeros(labels.shape, np.int32)
    count = 0
    for label in range(int(labels.max()) + 1):
        found, pieces = cv2.connectedComponents((labels == label).astype(np.uint8), connectivity=4)
        parts = np.where(pieces > 0, pieces + (count - 1), parts)
        count += found - 1
    return np.asarray(parts, np.int32)


def _borders(
    parts: npt.NDArray[np.int32], labels: Labels, grid: Vectors, motions: Sequence[Motion]
) -> Dict[Tuple[int, int], Array]:
    """By pairs of parts that touch, lower number first: how far their motions differ at each place of their border, in
    slacks.
    """
    found: Dict[Tuple[int, int], List[Array]] = {}
    says = [predicted(grid.x, grid.y, motion) for motion in motions]
    across, down = (np.stack([each[axis] for each in says]) for axis in (0, 1))
    for here, there in (((slice(None), slice(0, -1)), (slice(None), slice(1, None))),
                        ((slice(0, -1), slice(None)), (slice(1, None), slice(None)))):  # fmt: skip
        y, x = np.nonzero(parts[here] != parts[there])
        one, other = labels[here][y, x], labels[there][y, x]
        u, v = (plane[one, y, x] - plane[other, y, x] for plane in (across, down))
        jumps = np.hypot(u, v) / grid.slack[y, x]
        pairs = np.sort(np.stack([parts[here][y, x], parts[there][y, x]]), axis=0)
        order = np.lexsort(pairs[::-1])
        pairs, jumps = pairs[:, order], jumps[order]
        starts = np.flatnonzero(np.any(np.diff(pairs, axis=1, prepend=-1), axis=0))
        for start, run in zip(starts, np.split(jumps, starts[1:])):
            found.setdefault((int(pairs[0, start]), int(pairs[1, start])), []).append(run)
    return {pair: np.concatenate(runs) for pair, runs in found.items()}


def _planes(labels: npt.NDArray[Any], count: int = 0) -> Array:
    """(K, h, w): 1 where a label is, else 0."""
    count = max(count, int(labels.max()) + 1)
    return np.asarray(labels == np.arange(count)[:, None, None], np.float32)


def _enlarged(belief: Array, size: Tuple[int, int]) -> Tensor:
    """(H, W) int16: the likeliest label of every pixel."""
    height, width = size
    planes = np.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in belief])
    return torch.from_numpy(planes.argmax(0).astype(np.int16))


def _ordered(first: Tensor, second: Tensor) -> Tuple[Tensor, Tensor]:
    """Both label maps with 1, 2, ... by falling area in the first."""
    sizes = areas(first)
    sizes[0] = 0
    numbers = sizes.argsort(descending=True, stable=True)
    table = torch.zeros(len(sizes), dtype=torch.int16, device=first.device)
    there = numbers[sizes[numbers] > 0]
    table[there] = torch.arange(1, len(there) + 1, dtype=torch.int16, device=first.device)
    return table[first.long()], table[second.long()]
