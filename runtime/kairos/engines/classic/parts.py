"""Objects that the artist told apart as layers that keep their shape, in the order in which they hide one another.

Label maps are (H, W) int16, see :meth:`kairos.engines.base.ShotView.regions`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import reduce
from typing import AbstractSet, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kairos.engines.classic import counted
from kairos.engines.classic.motion import LEAST_TRUST, Layer
from kairos.engines.classic.reach import Reach, reach_around
from kairos.engines.classic.regions import Box, Labels, boxes, labels_of
from kairos.motion.fill import fill_halved, fill_weighted
from kairos.motion.inbetween import Inbetween
from kairos.motion.region_choice import RegionRule
from kairos.motion.warp import backward_warp, nearest_warp

_ASTRAY = 0.1
"""What is left of the trust in a vector that ends on another object."""

_DOUBTED = 0.2
"""Trust up to which a vector says nothing, and from its opposite on it is not changed."""

_SURE = 0.5
"""Trust at its end over which such a vector tells which of both is in front."""

_VOTERS = 600_000
"""Pixels that are asked at most."""

_FEWEST = 12.0
"""Believed pixels over which an object's motion as a whole is known."""

_STIFF = 1e-4
"""How far an object's motion is held to be the same all over it, against what its pixels say."""

_DOUBT = 16.0
"""Votes that count as none."""

_AGREED, _KNOWN = 0.8, 0.2
"""Part of the trusted pixels of an object, in either frame, that both outlines must agree on, and part of its pixels
that must be trusted for that to be asked.
"""

_APART = 8
"""Pixels between objects that never meet, so that the same layer may hold them."""

_WORTH = 1 << 15
"""Pixels that a layer of its own may cost besides those that it can be seen in."""

_PAIRS = (0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)
"""Of an affine motion's terms, those that are multiplied with one another."""


def parted(
    layer: Layer,
    labels0: Tensor,
    labels1: Tensor,
    rules: Optional[Mapping[int, RegionRule]] = None,
    together: bool = False,
) -> Tuple[Layer, ...]:
    """The motion of the whole frame as layers, furthest first, each holding the objects of one depth.

    Which of two objects is in front the artist says, or else what vanishes under the other. Objects that are held still
    are in no layer. A vector that ends on another object is hardly believed. An object whose outlines in both frames
    are not what motion makes of each other is no layer of its own, unless the artist gave it a place in the order: by
    a mask that is off it would be cut apart.

    Args:
        layer: of everything.
        labels0, labels1: of both frames; what only one of them shows is of the rest.
        rules: by an object's number.
        together: objects of one depth are one layer, however far apart they lie: for those whom every layer costs a
            whole frame.
    """
    rules = rules or {}
    both = labels_of(labels0, labels1)
    if both is None:
        return (layer,)
    before, after = (boxes(each) for each in both)
    common = before.keys() & after.keys()
    one, two = (_without(each, found.keys() - common) for each, found in zip(both, (before, after)))
    off = _astray(layer, one, two, rules)
    one, two = _without(one, off), _without(two, off)
    where = {number: _together(before[number], after[number]) for number in common - off}
    rest = _rest(one, two)
    where.update({} if rest is None else {0: rest})
    for held in [number for number, rule in rules.items() if rule.hold]:
        where.pop(held, None)
    layers = []
    for numbers in _depths(_order(_votes(layer, one, two), rules), where):
        for some in [numbers] if together else _near(numbers, where):
            box = reduce(_together, (where[number] for number in some))
            ends = box.top, box.bottom, box.left, box.right
            layers.append(_own(layer, (one, two), some, reach_around(ends, (one.shape[0], one.shape[1]))))
    if len(layers) == 1:
        return (layers[0].in_frame(),)
    return tuple(layers) or (layer,)


def _rest(one: Labels, two: Labels) -> Optional[Box]:
    """Where either frame shows what is no object; None for nowhere."""
    height, width = one.shape
    sides = [one[0], one[-1], one[:, 0], one[:, -1]], [two[0], two[-1], two[:, 0], two[:, -1]]
    if all((a == 0).any() or (b == 0).any() for a, b in zip(*sides)):
        return Box(0, height, 0, width)
    places = (one == 0) | (two == 0)
    rows, columns = (np.flatnonzero(places.any(axis)) for axis in (1, 0))
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1) if len(rows) else None


def _near(numbers: Sequence[int], where: Mapping[int, Box]) -> List[List[int]]:
    """Objects of one depth by layer: together where that is hardly more to work out than each for itself."""
    layers: List[List[int]] = []
    for number in numbers:
        own = where[number]
        for layer in layers:
            theirs = reduce(_together, (where[each] for each in layer))
            if _area(_together(theirs, own)) <= _area(theirs) + _area(own) + _WORTH:
                layer.append(number)
                break
        else:
            layers.append([number])
    return layers


def _area(box: Box) -> int:
    return (box.bottom - box.top) * (box.right - box.left)


def _share(labels: Labels, numbers: Sequence[int], like: Tensor) -> Tensor:
    """(1, H, W) on the device of another: 1 where these objects are, 0 elsewhere."""
    if counted.usable(like):
        return counted.shares(labels, numbers)
    table = np.zeros(1 + max(int(labels.max()), *numbers), np.float32)
    table[list(numbers)] = 1.0
    return torch.from_numpy(table[labels])[None].to(like.device)


def _own(layer: Layer, labels: Tuple[Labels, Labels], numbers: Sequence[int], reach: Optional[Reach]) -> Layer:
    """The motion of some objects of both frames, which can be seen there."""
    part, here = layer, (slice(None), slice(None))
    if reach is not None:
        # What is read over and over lies together.
        there, back, front0, front1 = map(reach.cut, (layer.there, layer.back, layer.front0, layer.front1))
        part = replace(reach.over(layer), there=there, back=back, front0=front0, front1=front1, reach=reach)
        here = slice(reach.top, reach.bottom), slice(reach.left, reach.right)
    share0, share1 = (_share(each[here], numbers, layer.there) for each in labels)
    part = replace(part, share0=share0, share1=share1)
    if counted.usable(layer.there, layer.back, layer.trust0, layer.trust1, share0):
        return _owned(layer, part)
    lands0, lands1 = backward_warp(part.share1, part.there), backward_warp(part.share0, part.back)
    trust0, trust1 = (
        trust * (_ASTRAY + (1 - _ASTRAY) * lands) * share
        for trust, lands, share in ((part.trust0, lands0, part.share0), (part.trust1, lands1, part.share1))
    )
    # What is not believed moves as what is believed of these objects around it; what others do says nothing.
    there, back = fill_weighted(part.there, _believed(trust0)), fill_weighted(part.back, _believed(trust1))
    trust0, trust1 = trust0.clamp(min=LEAST_TRUST), trust1.clamp(min=LEAST_TRUST)
    return replace(part, there=there, back=back, trust0=trust0, trust1=trust1)


def _owned(layer: Layer, part: Layer) -> Layer:
    """The same by compiled kernels, from the motion of everything and what of it is in the part."""
    corner = (0, 0) if part.reach is None else (part.reach.top, part.reach.left)
    found = []
    for flow, trusts, inside, share, other in (
        (layer.there, layer.trust0, part.there, part.share0, part.share1),
        (layer.back, layer.trust1, part.back, part.share1, part.share0),
    ):
        way = flow, trusts, share, other
        trust, weight, halved = counted.believed(way, inside, corner, _ASTRAY, _DOUBTED, LEAST_TRUST)
        found.append((fill_halved(inside, weight, halved), trust))
    (there, trust0), (back, trust1) = found
    return replace(part, there=there, back=back, trust0=trust0, trust1=trust1)


def _believed(trust: Tensor) -> Tensor:
    """Trust without what is doubted, where there is anything better: much of it would outvote little truth."""
    part = ((trust - _DOUBTED) / (1 - 2 * _DOUBTED)).clamp(0, 1)
    return (part * part * (3 - 2 * part)).maximum(LEAST_TRUST * trust)


def held_still(answer: Inbetween, labels0: Tensor, labels1: Tensor, rules: Mapping[int, RegionRule]) -> Inbetween:
    """The in-between with the objects that are to be held as the nearer frame shows them, unmoved."""
    numbers = torch.tensor([number for number, rule in rules.items() if rule.hold], device=labels0.device)
    is_first = answer.time <= 0.5
    here = torch.isin((labels0 if is_first else labels1).long(), numbers.long())[None]
    if answer.time in (0.0, 1.0) or not bool(here.any()):
        return answer
    weight = 1.0 if is_first else 0.0
    return replace(
        answer,
        flow_to_0=torch.where(here, 0.0, answer.flow_to_0),
        flow_to_1=torch.where(here, 0.0, answer.flow_to_1),
        blend=torch.where(here, weight, answer.blend),
        occlusion_0=torch.where(here, 1 - weight, answer.occlusion_0),
        occlusion_1=torch.where(here, weight, answer.occlusion_1),
        confidence=torch.where(here, 1.0, answer.confidence),
        residual=None if answer.residual is None else torch.where(here, 0.0, answer.residual),
    )


def _without(labels: Labels, numbers: AbstractSet[int]) -> Labels:
    """A label map in which these objects are of the rest."""
    if not numbers:
        return labels
    table = np.arange(1 + max(int(labels.max()), *numbers), dtype=np.int16)
    table[list(numbers)] = 0
    return table[labels]


def _astray(layer: Layer, one: Labels, two: Labels, rules: Mapping[int, RegionRule]) -> Set[int]:
    """Objects that motion does not take from one outline to the other.

    Of one whose motion is hardly known, its outlines are all there is.
    """
    count = 1 + int(max(one.max(), two.max()))
    hits, met, known, area = (np.zeros(count) for _ in range(4))
    for flow, trust, labels, other in (
        (layer.there, layer.trust0, one, two),
        (layer.back, layer.trust1, two, one),
    ):
        if counted.usable(flow, trust):
            stays, comes, all_of_it, begins = counted.ends(flow, trust, labels, other, count, _SURE)
            hits, met, known, area = hits + stays, met + begins + comes, known + begins, area + all_of_it
            continue
        ends = (
            nearest_warp(torch.from_numpy(other).to(flow.device)[None].float(), flow)[0].cpu().numpy().astype(np.int16)
        )
        sure = (trust[0] > _SURE).cpu().numpy()
        hits += np.bincount(labels[sure & (labels == ends)], minlength=count)
        for told in (labels[sure], ends[sure & (labels != ends)]):
            met += np.bincount(told, minlength=count)
        known += np.bincount(labels[sure], minlength=count)
        area += np.bincount(labels.ravel(), minlength=count)
    off = (hits < _AGREED * met) & (known > _KNOWN * area)
    keeps = [0, *(number for number, rule in rules.items() if number < count and (rule.order or rule.hold))]
    off[keeps] = False
    return {int(number) for number in np.flatnonzero(off)}


def _votes(layer: Layer, one: Labels, two: Labels) -> npt.NDArray[np.float64]:
    """(N, N): how many pixels of an object (row) vanish under another (column), in either frame.

    Each object goes on as what is believed of it goes: what vanishes shows no motion of its own.
    """
    count = 1 + int(max(one.max(), two.max()))
    votes = np.zeros((count, count))
    height, width = one.shape
    step = math.ceil(math.sqrt(height * width / _VOTERS))
    for flow, trusts, labels, other in (
        (layer.there, (layer.trust0, layer.trust1), one, two),
        (layer.back, (layer.trust1, layer.trust0), two, one),
    ):
        if counted.usable(flow, *trusts):
            fitted, known = _fitted(counted.fits(flow, trusts[0], labels, count, step, _SURE))
            motions = np.where(known[:, None, None], fitted, np.nan)
            votes += step * step * counted.votes(motions, labels, other, trusts[1], step, _SURE)
            continue
        trust, sure = (each[0].cpu().numpy() for each in trusts)
        some = labels[::step, ::step]
        # Nobody asks whether anything vanishes under the rest, or the rest under anything.
        rows, columns = np.nonzero(some)
        numbers = some[rows, columns].astype(np.int64)
        vectors = flow[:, ::step, ::step].cpu().numpy()[:, rows, columns]
        # Places in frame widths around its middle keep the equations well conditioned.
        places = (columns - some.shape[1] / 2) / some.shape[1], (rows - some.shape[0] / 2) / some.shape[1]
        moved, known = _rigid(vectors, trust[::step, ::step][rows, columns], places, numbers, count)
        goes = np.rint(moved).clip(-1e6, 1e6).astype(np.int64)
        x, y = columns * step + goes[0], rows * step + goes[1]
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        x, y = x.clip(0, width - 1), y.clip(0, height - 1)
        ends = other[y, x]
        gone = inside & known[numbers] & (ends != numbers) & (sure[y, x] > _SURE)
        np.add.at(votes, (numbers[gone], ends[gone].astype(np.int64)), float(step * step))
    return votes


def _rigid(
    flow: npt.NDArray[np.float32],
    trust: npt.NDArray[np.float32],
    places: Tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    numbers: npt.NDArray[np.int64],
    count: int,
) -> Tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Every object's motion as an affine one, fitted by weighted least squares to what is believed of it.

    Args:
        flow: (2, P) pixels, of some pixels.
        trust: (P,) in 0..1.
        places: (P,) each, x and y, about 0..1 apart.
        numbers: (P,) of their objects, below ``count``.

    Returns:
        (2, P), and for each number whether enough is believed.
    """
    sure = np.flatnonzero(np.isfinite(flow).all(0) & (trust > _SURE))
    of, weight = numbers[sure], trust[sure].astype(np.float64)
    terms = [np.ones(len(sure)), *(place[sure] for place in places)]
    weighted, values = [term * weight for term in terms], flow[:, sure].astype(np.float64)
    pairs = [weighted[row] * terms[column] for row, column in _PAIRS]
    moves = [weighted[row] * value for value in values for row in range(3)]
    fitted, known = _fitted(np.stack([np.bincount(of, each, count) for each in (*pairs, *moves)], 1))
    first, across, down = (fitted[:, row].T[:, numbers] for row in range(3))
    moved: npt.NDArray[np.float64] = first + across * places[0] + down * places[1]
    return moved, known


def _fitted(sums: npt.NDArray[np.float64]) -> Tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """(N, 3, 2) affine motions of so many objects, and (N,) whether enough of each is believed.

    Args:
        sums: (N, 12), see ``fit_rows`` of :mod:`kairos.engines.classic.region_kernels`.
    """
    matrix = np.empty((len(sums), 3, 3))
    for number, (row, column) in enumerate(_PAIRS):
        matrix[:, row, column] = matrix[:, column, row] = sums[:, number]
    right, total = sums[:, 6:].reshape(-1, 2, 3).transpose(0, 2, 1), sums[:, 0]
    matrix += _STIFF * np.diag([0.0, 1.0, 1.0]) * total[:, None, None] + np.eye(3) * 1e-9
    return np.asarray(np.linalg.solve(matrix, right), np.float64), total >= _FEWEST


def _order(votes: npt.NDArray[np.float64], rules: Mapping[int, RegionRule]) -> List[int]:
    """Objects by their numbers, the furthest first.

    The rest is behind all that nobody says otherwise of: of many things, some over an object and some under it, it has
    no depth that votes could tell.
    """
    above = ((votes.T - votes) / (votes.T + votes + _DOUBT))[:, 1:].sum(1)
    above[0] = -np.inf
    wanted = {number: rules[number].order if number in rules else 0 for number in range(len(votes))}
    return sorted(wanted, key=lambda number: (wanted[number], above[number], number))


def _depths(order: Sequence[int], where: Mapping[int, Box]) -> List[List[int]]:
    """Objects by depth: one is over all those before it in the order that it may meet on its way. Everything may meet
    the rest.
    """
    depth: Dict[int, int] = {}
    for number in order:
        if number in where:
            under = [depth[each] for each in depth if 0 in (each, number) or _meet(where[each], where[number])]
            depth[number] = 1 + max(under, default=-1)
    levels = 1 + max(depth.values(), default=-1)
    return [[number for number in depth if depth[number] == level] for level in range(levels)]


def _together(a: Box, b: Box) -> Box:
    return Box(min(a.top, b.top), max(a.bottom, b.bottom), min(a.left, b.left), max(a.right, b.right))


def _meet(a: Box, b: Box) -> bool:
    down = a.top < b.bottom + _APART and b.top < a.bottom + _APART
    return down and a.left < b.right + _APART and b.left < a.right + _APART
