"""Label maps: which object every pixel shows.

A label map is (H, W) int16: 0 is the rest, 1 to n are objects, and the same number is the same object in every frame of
a shot. All functions answer on their input's device.
"""

from __future__ import annotations

from typing import Tuple

import torch
from torch import Tensor

from kairos.motion.warp import nearest_warp

MOST = torch.iinfo(torch.int16).max
"""The highest number a label map can hold."""


def partition(masks: Tensor) -> Tensor:
    """One label map of masks that may overlap: mask i becomes label i + 1, the rest 0.

    Pixels of several masks go to the smallest of them, which keeps thin objects; of equally large ones to the first.

    Args:
        masks: (N, H, W) bool, N from 0.

    Returns:
        (H, W) int16.

    Raises:
        ValueError: masks of another type or shape, or more than :data:`MOST`.
    """
    if masks.ndim != 3 or masks.dtype is not torch.bool:
        raise ValueError(f"masks have to be (N, H, W) bool, not {tuple(masks.shape)} {masks.dtype}")
    if len(masks) > MOST:
        raise ValueError(f"{len(masks)} masks are more than the {MOST} that a label map can tell apart")
    sizes = [int(torch.count_nonzero(mask)) for mask in masks]
    # The higher a mask's rank, the smaller it is: of all masks at a pixel the highest rank wins.
    order = sorted(range(len(masks)), key=lambda index: (-sizes[index], -index))
    ranks = torch.zeros(masks.shape[1:], dtype=torch.int16, device=masks.device)
    for rank, index in enumerate(order, 1):
        torch.maximum(ranks, masks[index].to(torch.int16).mul_(rank), out=ranks)
    return _looked_up(torch.tensor([0, *(index + 1 for index in order)], dtype=torch.int16), ranks)


def _looked_up(table: Tensor, labels: Tensor) -> Tensor:
    """``table[labels]``, the quick way: (H, W) of the table's type."""
    return table.to(labels.device).index_select(0, labels.reshape(-1).int()).reshape(labels.shape)


def areas(labels: Tensor) -> Tensor:
    """(n + 1,) int64: pixels of every label up to the highest, from 0 on.

    Raises:
        ValueError: no label map (see :func:`check`).
    """
    check(labels)
    return torch.bincount(labels.reshape(-1).int(), minlength=1)


def check(labels: Tensor) -> None:
    """Raises ValueError where a tensor is no label map: not (H, W), not int16, or negative."""
    if labels.ndim != 2 or labels.dtype is not torch.int16:
        raise ValueError(f"a label map has to be (H, W) int16, not {tuple(labels.shape)} {labels.dtype}")
    if labels.numel() and int(labels.min()) < 0:
        raise ValueError("a label map holds no negative numbers")


def at_cells(labels: Tensor, size: Tuple[int, int]) -> Tensor:
    """A label map at the cells of a feature map: what most of a cell's pixels show.

    A pixel belongs to the cell that its centre lies in, so sizes need not be multiples. Where labels tie, the smallest
    that is not 0 wins. Along an axis with more cells than pixels, a cell shows the pixel that its centre lies in.

    Args:
        labels: (H, W) int16.
        size: h and w, at least 1.

    Returns:
        (h, w) int16.

    Raises:
        ValueError: no label map, an empty one, or a size below 1.
    """
    present = areas(labels).nonzero().reshape(-1)
    if min(size) < 1 or not labels.numel():
        raise ValueError(f"a label map of {tuple(labels.shape)} cannot be had at {tuple(size)} cells")
    for axis, cells in enumerate(size):
        if cells > labels.shape[axis]:
            labels = labels.index_select(axis, _centres(cells, labels.shape[axis], labels.device))
    if labels.shape == tuple(size):
        return labels.clone()
    # Ranks in order of preference: objects by number, then the rest. Numbers that are not there take no room.
    order = torch.cat([present[present > 0], present[present == 0]])
    kinds = len(order)
    ranks = torch.zeros(int(order.max()) + 1, dtype=torch.int32, device=labels.device)
    ranks[order] = torch.arange(kinds, dtype=torch.int32, device=labels.device)
    rows, columns = (_centres(pixels, cells, labels.device) for pixels, cells in zip(labels.shape, size))
    cell = (rows[:, None] * size[1] + columns).int() * kinds
    votes = torch.bincount((cell + _looked_up(ranks, labels)).reshape(-1), minlength=size[0] * size[1] * kinds)
    # No two kinds of a cell have one and the same key, so that the greatest is certain on every device.
    keys = votes.reshape(-1, kinds) * kinds + torch.arange(kinds - 1, -1, -1, device=labels.device)
    return order[keys.argmax(1)].to(torch.int16).reshape(size)


def _centres(count: int, cells: int, device: torch.device) -> Tensor:
    """(count,) int64: of ``count`` places along an axis, which of ``cells`` their centres lie in."""
    return (2 * torch.arange(count, device=device) + 1) * cells // (2 * count)


def shared(first: Tensor, second: Tensor) -> Tuple[Tensor, Tensor]:
    """Two label maps with the labels alone that both show; those empty in either become 0.

    Args:
        first, second: (H, W) int16, of any two sizes.

    Returns:
        Both, (H, W) int16.

    Raises:
        ValueError: no label maps.
    """
    seen = [areas(each) > 0 for each in (first, second)]
    count = min(len(each) for each in seen)
    both = seen[0][:count] & seen[1][:count]
    return _kept(first, both), _kept(second, both)


def _kept(labels: Tensor, keep: Tensor) -> Tensor:
    """A label map without the labels that are not to be kept, and those past the end of the list."""
    table = torch.zeros(int(labels.max()) + 1 if labels.numel() else 1, dtype=torch.int16, device=labels.device)
    numbers = torch.arange(min(len(table), len(keep)), dtype=torch.int16, device=labels.device)
    table[: len(numbers)] = numbers * keep[: len(numbers)]
    return _looked_up(table, labels)


def followed(labels: Tensor, back_flow: Tensor) -> Tensor:
    """A label map carried to the next frame along the motion; numbers are never mixed.

    Args:
        labels: (H, W) int16 of one frame.
        back_flow: (2, H, W) pixels, x right, y down, from the next frame's pixels to this one. What comes from outside
            the frame shows the nearest border pixel's label.

    Returns:
        (H, W) int16 of the next frame.

    Raises:
        ValueError: no label map, or a flow of another size.
    """
    check(labels)
    if back_flow.shape != (2, *labels.shape):
        raise ValueError(f"labels of {tuple(labels.shape)} cannot follow a flow of {tuple(back_flow.shape)}")
    # As bits of float32, which the quick way moves unchanged.
    moved = nearest_warp(labels[None].int().view(torch.float32), back_flow)
    return moved[0].view(torch.int32).to(torch.int16)


def numbered(previous: Tensor, back_flow: Tensor, current: Tensor, taken: int = 0) -> Tensor:
    """The next frame's label map with the numbers of the frame before it.

    The pairs of labels that overlap most, after the earlier map has followed the motion, get the same number, greatest
    overlap (intersection over union) first. What nothing overlaps gets a number that is free.

    Args:
        previous: (H, W) int16 of one frame.
        back_flow: (2, H, W) pixels, from the next frame's pixels to this one.
        current: (H, W) int16 of the next frame, numbered in its own way.
        taken: the highest number in use in the shot so far; what is new gets higher ones, so that an object that has
            gone does not lend its number to another.

    Returns:
        (H, W) int16.

    Raises:
        ValueError: no label maps, different sizes, or no free number left.
    """
    carried, found = followed(previous, back_flow), areas(current)
    if current.shape != previous.shape:
        raise ValueError(f"label maps of {tuple(previous.shape)} and {tuple(current.shape)} cannot be compared")
    before = areas(carried)
    joint = torch.bincount(
        (carried.int() * len(found) + current.int()).reshape(-1), minlength=len(before) * len(found)
    ).reshape(len(before), len(found))
    union = (before[:, None] + found[None] - joint).clamp(min=1)
    overlap = joint.double() / union
    pairs = sorted(
        ((float(overlap[old, new]), old, new) for old, new in joint[1:, 1:].nonzero().add(1).tolist()),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    renamed = {0: 0}
    for _, old, new in pairs:
        if new not in renamed and old not in renamed.values():
            renamed[new] = old
    free = max(taken, len(areas(previous)) - 1)
    for new in found.nonzero().reshape(-1).tolist():
        if new not in renamed:
            free += 1
            renamed[new] = free
    if free > MOST:
        raise ValueError(f"a label map can tell {MOST} objects apart and no more")
    table = torch.tensor([renamed.get(new, 0) for new in range(len(found))], dtype=torch.int16)
    return _looked_up(table, current)
