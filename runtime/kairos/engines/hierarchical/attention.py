"""Attention between the cells of two grids: within regions of the same label, and near an expected displacement.

Both are what the hierarchical method compares frames by ("Aligning Anything: Hierarchical Motion Estimation for Video
Frame Interpolation", HIR-L and HIR-S). Nothing of the size of all cells squared is ever made: regions are sorted, and
long ones are worked through in chunks of queries. Shares and places are float32 under half precision too.
"""

from __future__ import annotations

import math
from functools import partial
from types import ModuleType
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.fetching import pixels
from kairos.motion import fast

RADIUS = 4
"""Cells around an expected place that :func:`attend_near` compares: 81 of them."""

_CHUNK, _LARGE_CHUNK = 1 << 22, 1 << 28
"""Bytes of what is compared at once: what a core's cache holds, and on a GPU."""

_BOTH_CHUNK = 1 << 23
"""The same for both ways at once: of fewer and larger chunks, threads wait for each other less often."""

_MILD = 60.0
"""Likeness up to which its exponential, and that of its opposite, can be summed up in float32 as it is."""

_VECTOR = 16
"""Numbers that the CPU computes with at once."""

_FOUR, _FEW = 4, 8
"""Cells of the first grid, and columns of values, that compiled kernels take together, and one by one at most."""

_PARTS = 4
"""Parts that the comparison of two grids is shared out in."""


class Attended(NamedTuple):
    """What every query was told.

    Attributes:
        values: (S0, E) float32, 0 where nobody could answer.
        answered: (S0,) bool, the query's region has cells in the other frame.
    """

    values: Tensor
    answered: Tensor


class Near(NamedTuple):
    """What every cell found around its expected place.

    Attributes:
        values: (B, E, h, w) float32, 0 where the whole window lies outside.
        offset: (B, 2, h, w) float32 cells, the expected way from the middle of the window.
    """

    values: Tensor
    offset: Tensor


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, labels0: Tensor, labels1: Tensor, limit: Optional[int] = None
) -> Attended:
    """Softmax attention of every query with the keys of its own label alone.

    The same as dense attention under the mask ``labels0[:, None] == labels1``, at the cost of the sum over the labels
    of queries times keys.

    Args:
        queries: (S0, D).
        keys: (S1, D).
        values: (S1, E); coordinates among them have to come as float32.
        labels0, labels1: (S0,) and (S1,) integers from 0 on.
        limit: bytes of shares that are worked out at once; by default what suits the device. Where gradients are
            wanted all shares are kept beyond that.
    """
    asked, known, told, found, answered = _sorted(queries, keys, values, labels0, labels1)
    limit = limit or _chunk(queries)
    parts: List[Tensor] = []
    for first, second in found.spans:
        if second.start == second.stop:
            parts.append(told.new_zeros(first.stop - first.start, told.shape[1]))
            continue
        rows = max(1, limit // (4 * (second.stop - second.start)))
        for start in range(first.start, first.stop, rows):
            likeness = asked[start : min(start + rows, first.stop)] @ known[second].T
            parts.append(torch.softmax(likeness.float(), 1) @ told[second])
    whole = torch.cat(parts) if parts else told.new_zeros(0, told.shape[1])
    return Attended(torch.empty_like(whole).index_copy(0, found.order, whole), answered)


def attend_both(
    keys: Tuple[Tensor, Tensor],
    values: Tuple[Tensor, Tensor],
    labels: Tuple[Tensor, Tensor],
    limit: Optional[int] = None,
) -> Tuple[Attended, Attended]:
    """What :func:`attend` tells the first grid of the second, and the second of the first, keys being queries too.

    Where nobody wants gradients and likeness is mild, cells are compared once for both ways.

    Args:
        keys: (S0, D) and (S1, D).
        values: (S0, E) and (S1, E).
        labels: (S0,) and (S1,) integers from 0 on.
        limit: bytes of shares that are worked out at once.
    """
    if not _mild(keys, values):
        there = attend(keys[0], keys[1], values[1], *labels, limit)
        return there, attend(keys[1], keys[0], values[0], *labels[::-1], limit)
    marks = [each.long() for each in labels]
    count = 1 + max(int(each.max()) for each in marks)
    counts = torch.stack([torch.bincount(each, minlength=count) for each in marks])
    orders = [torch.argsort(each, stable=True) for each in marks]
    kernels = fast.compiled("kairos.engines.hierarchical.region_attention_kernels")
    if kernels is not None and limit is None:
        sums = _compared(kernels, keys, values, orders, counts.tolist())
    else:
        sums = _multiplied(keys, values, orders, counts.tolist(), limit or _BOTH_CHUNK)
    found = []
    for total, order, mark, others, value in zip(sums, orders, marks, counts.flip(0), values):
        wide = value.shape[1]
        # Who cannot be answered has sums of 0, and no share of anybody.
        whole = total[:, :wide] / total[:, wide : wide + 1].clamp(min=torch.finfo(total.dtype).tiny)
        found.append(Attended(torch.empty_like(whole).index_copy(0, order, whole), others.index_select(0, mark) > 0))
    return found[0], found[1]


def _multiplied(
    keys: Tuple[Tensor, Tensor],
    values: Tuple[Tensor, Tensor],
    orders: Sequence[Tensor],
    counts: List[List[int]],
    limit: int,
) -> List[Tensor]:
    """(S0, W) and (S1, W), by region: values summed up by shares, and in the column behind them the shares."""
    known = [each.index_select(0, order) for each, order in zip(keys, orders)]
    asked = known[0] * keys[0].shape[1] ** -0.5
    told = [_with_one(each.index_select(0, order)) for each, order in zip(values, orders)]
    sums = [torch.zeros_like(each) for each in told]
    for first, second in _spans(counts):
        many = second.stop - second.start
        rows = max(1, limit // (4 * max(1, many)))
        for start in range(first.start, first.stop if many else first.start, rows):
            some = slice(start, min(start + rows, first.stop))
            shares = torch.mm(asked[some], known[1][second].T).exp_()
            torch.mm(shares, told[1][second], out=sums[0][some])
            sums[1][second].addmm_(shares.T, told[0][some])
    return sums


def _compared(
    kernels: ModuleType,
    keys: Tuple[Tensor, Tensor],
    values: Tuple[Tensor, Tensor],
    orders: Sequence[Tensor],
    counts: List[List[int]],
) -> List[Tensor]:
    """The same by compiled kernels."""
    width, wide, broad = keys[0].shape[1], values[0].shape[1], kernels.BROAD
    spans = [each for each in _spans(counts) if each[1].stop > each[1].start]
    sides = [_padded([span[side] for span in spans], step) for side, step in ((0, _FOUR), (1, broad))]
    if not spans:
        return [each.new_zeros(len(each), wide + 1) for each in values]
    # A few columns over whole blocks are summed up as lines; more of them are worth another block.
    blocks = wide // broad if wide % broad < _FEW else wide // broad + 1
    lines = max(0, wide - blocks * broad) + 1
    asked, known = (_placed(each, order, side) for each, order, side in zip(keys, orders, sides))
    asked *= width**-0.5 * math.log2(math.e)
    known = known.view(-1, broad, width).transpose(1, 2).contiguous()
    told, marked = [], []
    for value, order, side in zip(values, orders, sides):
        planes = _placed(F.pad(value, (0, max(0, blocks * broad - wide))), order, side)
        told.append(planes[:, : blocks * broad].reshape(len(planes), blocks, broad).transpose(0, 1).contiguous())
        one = torch.zeros(len(planes), 1).index_fill_(0, side.places, 1.0)
        marked.append(torch.cat([planes[:, blocks * broad :], one], 1).T.contiguous())
    tiles, edges = _tiles(sides, kernels.SOME)
    found = [torch.zeros_like(told[0]), told[1].new_zeros(_PARTS, *told[1].shape)]
    sums = [torch.zeros_like(marked[0]), marked[1].new_zeros(_PARTS, *marked[1].shape)]
    given = [each.view(-1).numpy() for each in (asked, known, *told, *marked, *found, *sums)]
    work = partial(kernels.both_ways, *given, tiles, edges, width, blocks, lines)
    fast.in_parts(work, _PARTS, min(_PARTS, torch.get_num_threads()))
    found[1], sums[1] = found[1].sum(0), sums[1].sum(0)
    answers = []
    for planes, line, side, value in zip(found, sums, sides, values):
        cells = torch.cat([planes.transpose(0, 1).flatten(1)[:, :wide], line.T], 1)
        answer = value.new_zeros(len(value), wide + 1)
        answers.append(answer.index_copy_(0, side.sorted, cells.index_select(0, side.places)))
    return answers


class _Padded(NamedTuple):
    """Where the cells of a grid stand that have somebody to be compared with.

    Attributes:
        sorted: (N,) among the cells sorted by region.
        places: (N,) where every region begins at a multiple of something.
        edges: of these places the first of every region, and where it ends, with what fills it up.
        length: of all places.
    """

    sorted: Tensor
    places: Tensor
    edges: List[Tuple[int, int]]
    length: int


def _padded(spans: Sequence[slice], step: int) -> _Padded:
    """Regions that stand at these places among the sorted cells, each begun at a multiple of ``step``."""
    length, edges, places, cells = 0, [], [], []
    for span in spans:
        size = span.stop - span.start
        places.append(torch.arange(length, length + size))
        cells.append(torch.arange(span.start, span.stop))
        edges.append((length, length - -size // step * step))
        length = edges[-1][1]
    return _Padded(_joined(cells), _joined(places), edges, length)


def _joined(parts: List[Tensor]) -> Tensor:
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.long)


def _placed(rows: Tensor, order: Tensor, side: _Padded) -> Tensor:
    """(length, C): the rows of sorted cells at their places, 0 elsewhere."""
    cells = rows.index_select(0, order.index_select(0, side.sorted))
    return rows.new_zeros(side.length, rows.shape[1]).index_copy_(0, side.places, cells)


def _tiles(sides: Sequence[_Padded], some: int) -> Tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """What is compared at once: (N, 4), see ``both_ways`` of the kernels; and the edges of :data:`_PARTS` parts of it,
    of about the same work whatever the threads, so that sums are the same for any.
    """
    tiles = [
        (start, min(start + some, end), *known)
        for (begin, end), known in zip(sides[0].edges, sides[1].edges)
        for start in range(begin, end, some)
    ]
    table = np.array(tiles, np.int64)
    work = np.cumsum((table[:, 1] - table[:, 0]) * (table[:, 3] - table[:, 2]))
    edges = np.searchsorted(work, work[-1] * np.arange(_PARTS + 1) / _PARTS)
    edges[-1] = len(table)
    return table, edges.astype(np.int64)


def _mild(keys: Tuple[Tensor, Tensor], values: Tuple[Tensor, Tensor]) -> bool:
    """Whether both ways can be worked out at once: of likeness neither the greatest nor a sum overflows or vanishes."""
    if not all(each.dtype is torch.float32 and each.device.type == "cpu" and each.numel() for each in (*keys, *values)):
        return False
    if torch.is_grad_enabled() and any(each.requires_grad for each in (*keys, *values)):
        return False
    greatest = [float(each.square().sum(1).amax()) for each in keys]
    return greatest[0] * greatest[1] <= _MILD**2 * keys[0].shape[1]


def _with_one(values: Tensor) -> Tensor:
    """(S, W): values (S, E), a column of ones, by which shares are summed up, and 0 up to whole vectors."""
    count, wide = values.shape
    table = values.new_zeros(count, -(-(wide + 1) // _VECTOR) * _VECTOR)
    table[:, :wide], table[:, wide] = values, 1.0
    return table


class _Regions(NamedTuple):
    """How queries were sorted, and by label where its queries and keys stand."""

    order: Tensor
    spans: List[Tuple[slice, slice]]


def _sorted(
    queries: Tensor, keys: Tensor, values: Tensor, labels0: Tensor, labels1: Tensor
) -> Tuple[Tensor, Tensor, Tensor, _Regions, Tensor]:
    """Queries (by the root of their width smaller), keys and values (float32) by label, and who can be answered."""
    first, second = labels0.long(), labels1.long()
    count = 1 + max((int(labels.max()) for labels in (first, second) if labels.numel()), default=0)
    counts = torch.stack([torch.bincount(labels, minlength=count) for labels in (first, second)])
    order0, order1 = (torch.argsort(labels, stable=True) for labels in (first, second))
    spans = list(_spans(counts.tolist()))
    asked = (queries * queries.shape[1] ** -0.5).index_select(0, order0)
    answered = counts[1].index_select(0, first) > 0
    known, told = keys.index_select(0, order1), values.float().index_select(0, order1)
    return asked, known, told, _Regions(order0, spans), answered


def _spans(counts: List[List[int]]) -> Iterator[Tuple[slice, slice]]:
    """Of every label that anybody asks for: where its queries, and where its keys stand."""
    first = second = 0
    for queries, keys in zip(*counts):
        if queries:
            yield slice(first, first + queries), slice(second, second + keys)
        first, second = first + queries, second + keys


def attend_near(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    displacement: Tensor,
    radius: int = RADIUS,
    limit: Optional[int] = None,
) -> Near:
    """Softmax attention of every cell with those around where it is expected in another grid.

    The keys are those that bilinear interpolation would fetch at the expected place and at whole cells around it. As
    all places of one window lie between cells in the same way, and likeness is linear in the keys, the whole cells are
    compared and their likeness is interpolated: as exact as fetching, 100 comparisons in place of 81, and gradients
    reach the displacement, which a rounded place would cut off.

    Args:
        queries, keys: (B, D, h, w).
        values: (B, E, h, w).
        displacement: (B, 2, h, w) float32 cells, x right, y down.
        radius: of the window, cells.
        limit: bytes of keys that are gathered at once; by default what suits the device.
    """
    batch, width, height, across = queries.shape
    asked = (queries * width**-0.5).permute(0, 2, 3, 1).reshape(-1, width, 1)
    known = keys.permute(0, 2, 3, 1).reshape(-1, width)
    told = values.float().permute(0, 2, 3, 1).reshape(-1, values.shape[1])
    window = _Window(displacement, radius)
    kernels = _kernels(queries, keys, values, displacement) if limit is None else None
    if kernels is not None:
        out, way = torch.empty(len(asked), told.shape[1]), torch.empty(len(asked), 2)
        # Noughts behind both make no cell more alike.
        compared = [F.pad(each, (0, -width % kernels.LANES)) for each in (asked[..., 0], known)]
        planes = (each.contiguous().view(-1).numpy() for each in (*compared, told, *window.middles, out, way))
        sizes = compared[0].shape[1], told.shape[1], height, across, radius
        fast.in_bands(partial(kernels.near_cells, *planes, *sizes), len(asked), (2 * radius + 2) ** 2)
        answer, offset = (each.view(batch, height, across, -1).permute(0, 3, 1, 2) for each in (out, way))
        return Near(answer, offset)
    found, offsets = [], []
    rows = max(1, (limit or _chunk(queries)) // ((2 * radius + 2) ** 2 * width * known.element_size()))
    for start in range(0, asked.shape[0], rows):
        chunk = slice(start, start + rows)
        places = window.places(chunk)
        near = F.embedding(places, known)
        likeness = torch.bmm(near, asked[chunk])[..., 0].float()
        shares = window.shares(likeness, chunk)
        offsets.append(window.expected(shares))
        weights = window.spread(shares, chunk)
        found.append(F.embedding_bag(places, told, mode="sum", per_sample_weights=weights))
    answer, offset = (
        torch.cat(parts).view(batch, height, across, -1).permute(0, 3, 1, 2) for parts in (found, offsets)
    )
    return Near(answer, offset)


class _Window:
    """The cells around where every cell is expected, for all cells of a batch in a row (N of them)."""

    def __init__(self, displacement: Tensor, radius: int) -> None:
        x, y = pixels(displacement)
        moved = displacement.float().nan_to_num(0.0)
        self._size = (displacement.shape[-2], displacement.shape[-1])
        self._radius, beyond = radius, radius + 2
        height, width = self._size
        # So far outside, nothing within reach lies inside.
        self._x = (x + moved[:, 0]).clamp(-beyond, width + beyond).flatten()
        self._y = (y + moved[:, 1]).clamp(-beyond, height + beyond).flatten()
        self._steps = torch.arange(-radius, radius + 1, device=displacement.device)

    @property
    def middles(self) -> Tuple[Tensor, Tensor]:
        """(N,) each: column and row of every window's middle."""
        return self._x, self._y

    def places(self, chunk: slice) -> Tensor:
        """(n, (2 radius + 2)^2) numbers of the whole cells among all of the batch, the border repeated."""
        height, width = self._size
        steps = torch.cat([self._steps, self._steps[-1:] + 1])
        columns = (self._x[chunk].detach().floor().long()[:, None] + steps).clamp(0, width - 1)
        rows = (self._y[chunk].detach().floor().long()[:, None] + steps).clamp(0, height - 1)
        cells = torch.arange(chunk.start, min(chunk.stop, self._x.shape[0]), device=rows.device)
        rows = rows + (torch.div(cells, height * width, rounding_mode="floor") * height)[:, None]
        return (rows[:, :, None] * width + columns[:, None]).flatten(1)

    def shares(self, likeness: Tensor, chunk: slice) -> Tensor:
        """(n, 2 radius + 1, 2 radius + 1): the window's shares, from the likeness of the whole cells."""
        height, width = self._size
        side = 2 * self._radius + 2
        square = likeness.view(-1, side, side)
        right, below = self._between(chunk)
        square = torch.lerp(square[:, :-1], square[:, 1:], below)
        square = torch.lerp(square[:, :, :-1], square[:, :, 1:], right)
        inside = self._inside(self._y[chunk], height)[:, :, None] * self._inside(self._x[chunk], width)[:, None]
        logits = square + inside.log().clamp(min=torch.finfo(square.dtype).min / 2)
        # Where all lies outside, all would have the same share.
        return torch.softmax(logits.flatten(1), 1).view_as(square) * (inside > 0)

    def expected(self, shares: Tensor) -> Tensor:
        """(n, 2): the mean way from the window's middle."""
        steps = self._steps.to(shares.dtype)
        return torch.stack([shares.sum(1) @ steps, shares.sum(2) @ steps], 1)

    def spread(self, shares: Tensor, chunk: slice) -> Tensor:
        """The same shares over the whole cells (n, (2 radius + 2)^2)."""
        right, below = self._between(chunk)
        wide = F.pad(shares * (1 - right), (0, 1)) + F.pad(shares * right, (1, 0))
        return (F.pad(wide * (1 - below), (0, 0, 0, 1)) + F.pad(wide * below, (0, 0, 1, 0))).flatten(1)

    def _between(self, chunk: slice) -> Tuple[Tensor, Tensor]:
        """(n, 1, 1) each: how far right of and below a whole cell the places lie."""
        x, y = self._x[chunk, None, None], self._y[chunk, None, None]
        return x - x.detach().floor(), y - y.detach().floor()

    def _inside(self, place: Tensor, side: int) -> Tensor:
        """(n, 2 radius + 1): how far places of a row or column lie on the grid, 1 to 0 within a cell beyond its edge.

        By steps, a little more motion would change what a window tells by much.
        """
        places = place.detach()[:, None] + self._steps
        return (torch.minimum(places, side - 1 - places) + 1).clamp(0, 1)


def _kernels(queries: Tensor, *others: Tensor) -> Optional[ModuleType]:
    """Those that do all cells' windows in one pass, where they can."""
    usable = queries.numel() > 0 and fast.usable(queries, *others)
    return fast.compiled("kairos.engines.hierarchical.attention_kernels") if usable else None


def _chunk(like: Tensor) -> int:
    return _LARGE_CHUNK if like.is_cuda else _CHUNK
