"""Where objects that the artist told apart have gone, each as a whole.

Label maps are (H, W) int16, see :meth:`kairos.engines.base.ShotView.regions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kairos.engines.classic import counted
from kairos.engines.classic.search import Flow
from kairos.motion.warp import backward_warp

Labels = counted.Labels
"""(H, W) int16, 0 = the rest."""

Places = npt.NDArray[np.int64]

_UNLIKE, _CLEARLY = 0.25, 0.8
"""Difference of proxies that counts as nothing alike, as does ending on another object; and the part of a flow's cost
that another's has to stay under.
"""

SLIGHT = 0.02
"""Difference of proxies that says nothing where regions are no more than found."""

_FEWEST = 12
"""Pixels that an object must have in both frames for its place to tell anything."""


@dataclass(frozen=True)
class Box:
    """Where an object lies, pixels; ``bottom`` and ``right`` are one behind."""

    top: int
    bottom: int
    left: int
    right: int

    def pixels(self, labels: Labels, number: int) -> Tuple[Places, Places]:
        """Rows and columns of an object's pixels."""
        rows, columns = np.nonzero(labels[self.top : self.bottom, self.left : self.right] == number)
        return rows + self.top, columns + self.left


def labels_of(first: Optional[Tensor], second: Optional[Tensor]) -> Optional[Tuple[Labels, Labels]]:
    """Both label maps; None where either is missing or tells nothing apart."""
    if first is None or second is None:
        return None
    one, two = (np.ascontiguousarray(labels.cpu(), np.int16) for labels in (first, second))
    return (one, two) if one.any() and two.any() else None


def travelled(labels: Labels, other: Labels, otherwise: Flow) -> Flow:
    """Motion (H, W, 2) of every object as a whole, pixels; of the rest that of another search.

    By how far an object's middle has come. Along an axis on which the frame cuts the object off at one side, by how
    far the other side has come; where it cuts both off the middle is all there is.
    """
    return travelled_both((labels, other), (otherwise,))[0]


def travelled_both(labels: Tuple[Labels, Labels], otherwise: Sequence[Flow]) -> List[Flow]:
    """The same from the first frame to the second, and back where that has been searched too."""
    found, where = [flow.copy() for flow in otherwise], [boxes(each) for each in labels]
    height, width = labels[0].shape
    for number in where[0].keys() & where[1].keys():
        start, end = where[0][number], where[1][number]
        places = [start.pixels(labels[0], number), end.pixels(labels[1], number)]
        if min(len(rows) for rows, _ in places) < _FEWEST:
            continue
        down, across = (each[0] for each in places), (each[1] for each in places)
        way_x = _gone((start.left, start.right), (end.left, end.right), width, *across)
        way_y = _gone((start.top, start.bottom), (end.top, end.bottom), height, *down)
        for flow, (rows, columns), sign in zip(found, places, (1.0, -1.0)):
            flow[rows, columns] = sign * way_x, sign * way_y
    return found


def better(
    flow: Tensor,
    other: Tensor,
    pictures: Tuple[Tensor, Tensor],
    regions: Tuple[Tensor, Tensor],
    slight: float = 0.0,
) -> Optional[Tensor]:
    """(H, W) bool: objects that another flow takes to where they look clearly more alike; None for none of them.

    Args:
        flow, other: (2, H, W) pixels, from the first picture to the second.
        pictures: (3, H, W) each.
        regions: (H, W) label maps of both.
        slight: added to what both differ by: of two that hardly differ neither is clearly the better one.
    """
    if counted.usable(flow, other, *pictures):
        told = _numbers(regions[0]), _numbers(regions[1])
        shared, mine, others = counted.unlike(pictures, (flow, other), told, _UNLIKE).T
        cost, rival = (total / np.maximum(shared, 1.0) for total in (mine, others))
        won = (rival + slight < _CLEARLY * (cost + slight)) & (shared >= _FEWEST)
        return torch.from_numpy(won[told[0]]) if won.any() else None
    labels = regions[0].long()
    many = max(int(labels.max()), 1) + 1
    unlikes = []
    for way in (flow, other):
        moved = backward_warp(torch.cat([pictures[1], regions[1][None].to(pictures[1].dtype)]), way)
        unlike = (moved[:3] - pictures[0]).abs().mean(0).clamp(max=_UNLIKE)
        unlikes.append(torch.where((moved[3] - labels).abs() < 0.5, unlike, _UNLIKE))
    # What the other frame hides is like nothing, wherever it is taken.
    shown = torch.minimum(*unlikes) < _UNLIKE
    area = torch.bincount(labels[shown], minlength=many)
    costs = [torch.bincount(labels[shown], unlike[shown], many) / area.clamp(min=1) for unlike in unlikes]
    wins = (costs[1] + slight < _CLEARLY * (costs[0] + slight)) & (area >= _FEWEST)
    wins[0] = False
    return wins[labels] if bool(wins.any()) else None


def departed(flows: Tensor, others: Tensor, pictures: Tuple[Tensor, Tensor], told: Tuple[Labels, Labels]) -> Tensor:
    """Motion both ways, with another's for the objects alone that it takes to where they look clearly more alike.

    What was found in the shot itself may be wrong: where it does not help, everything stays as it is without it.

    Args:
        flows, others: (2, 2, H, W) pixels on the CPU: first to second, then second to first.
        pictures: (3, H, W) each.
        told: label maps of both.
    """
    chosen = flows.clone()
    pictures = pictures[0].cpu(), pictures[1].cpu()
    regions = torch.from_numpy(told[0]), torch.from_numpy(told[1])
    for side in (0, 1):
        ends = (pictures[side], pictures[1 - side]), (regions[side], regions[1 - side])
        wins = better(flows[side], others[side], *ends, SLIGHT)
        if wins is not None:
            chosen[side] = torch.where(wins, others[side], flows[side])
    return chosen


def _numbers(labels: Tensor) -> Labels:
    return np.ascontiguousarray(labels.to(torch.int16).numpy())


def _gone(before: Tuple[int, int], after: Tuple[int, int], length: int, places: Places, places_after: Places) -> float:
    """How far an object has come along an axis, by its first and last place (and one) and all its pixels' places."""
    starts, ends = min(before[0], after[0]) > 0, max(before[1], after[1]) < length
    if starts == ends:
        return float(places_after.mean() - places.mean())
    return float(after[0] - before[0] if starts else after[1] - before[1])


def boxes(labels: Labels) -> Dict[int, Box]:
    """Of all objects, by number."""
    if counted.usable():
        found = counted.boxes(np.ascontiguousarray(labels))
        return {number: Box(*map(int, box)) for number, box in enumerate(found) if box[1]}
    rows, columns = np.nonzero(labels > 0)
    numbers = labels[rows, columns]
    many = int(numbers.max(initial=0)) + 1
    ends = []
    for places, length in zip((rows, columns), labels.shape):
        first, last = np.full(many, length), np.full(many, -1)
        np.minimum.at(first, numbers, places)
        np.maximum.at(last, numbers, places)
        ends += [first, last + 1]
    return {int(number): Box(*(int(end[number]) for end in ends)) for number in np.flatnonzero(ends[1])}
