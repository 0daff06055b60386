"""Objects that nobody named: what moves apart from the rest, followed through the shot."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.base import ShotView
from kairos.engines.classic.motion import Look, estimate_classic
from kairos.engines.hierarchical.masks.segment import moving_apart
from kairos.engines.hierarchical.masks.store import Store
from kairos.motion.cuts import is_cut
from kairos.motion.regions import at_cells, followed, numbered

METHOD = 2
"""Raise when the same shot begins to give other objects."""

LONGEST = 512
"""Longer side at which motion is found and segmented, pixels: objects are whole at any size."""

_THUMB = 96
_KEPT = 4


class _Apart(NamedTuple):
    """What moves apart between two frames: both label maps, and the motion from the second to the first."""

    first: Tensor
    second: Tensor
    back: Tensor


class MovingObjects:
    """Label maps of what moves apart, with one number for an object over the whole shot.

    A number is known by the frames before: positions are found in order, from the first on, and kept in the store. An
    object that comes to rest stays one; after a cut, numbers that were not in use begin.

    Args:
        shot: what an engine sees.
        store: of this shot.
    """

    def __init__(self, shot: ShotView, store: Store) -> None:
        self._shot, self._store = shot, store
        self._small: OrderedDict[int, Tensor] = OrderedDict()
        self._apart: OrderedDict[int, _Apart] = OrderedDict()
        self._last: Optional[Tuple[int, Tensor, int]] = None

    def labels(self, position: int) -> Tensor:
        """(H, W) int16 at the proxies' size, on the shot's device."""
        kept = self._kept(position)
        labels = kept[0] if kept is not None else self._upto(position)
        return at_cells(labels, self._shot.size).to(self._shot.device)

    def _upto(self, position: int) -> Tensor:
        """Finds what is missing, in order. (h, w) int16 of the position, at the small size."""
        start, labels, taken = self._before(position)
        for at in range(start, position + 1):
            labels = self._found(at, labels, taken)
            taken = max(taken, int(labels.max()))
            self._store.keep(at, {"labels": labels.numpy(), "taken": np.array(taken)})
            self._last = at, labels, taken
        assert labels is not None
        return labels

    def _before(self, position: int) -> Tuple[int, Optional[Tensor], int]:
        """Where to begin: one past the last position that is known, its labels, and the highest number used so far."""
        if self._last is not None and self._last[0] < position:
            at, labels, taken = self._last
            return at + 1, labels, taken
        for at in range(position - 1, -1, -1):
            kept = self._kept(at)
            if kept is not None:
                return at + 1, *kept
        return 0, None, 0

    def _kept(self, position: int) -> Optional[Tuple[Tensor, int]]:
        held = self._store.get(position)
        if held is None or not {"labels", "taken"} <= set(held):
            return None
        return torch.from_numpy(np.asarray(held["labels"], np.int16)), int(held["taken"])

    def _found(self, at: int, previous: Optional[Tensor], taken: int) -> Tensor:
        """One position's labels, numbered after those of the position before."""
        joined = previous is not None and not self._cut(at - 1)
        if at + 1 < self._shot.count and not self._cut(at):
            current = self._moving(at).first
        elif joined:
            current = self._moving(at - 1).second
        else:
            current = torch.zeros_like(self._view(at)[0], dtype=torch.int16)
        if previous is None or not joined:
            return torch.where(current > 0, current + taken, 0).to(torch.int16)
        back = self._moving(at - 1).back
        if not bool(current.any()):
            return followed(previous, back)
        return numbered(previous, back, current, taken)

    def _moving(self, first: int) -> _Apart:
        if first not in self._apart:
            found = estimate_classic(Look(self._view(first), None), Look(self._view(first + 1), None))
            labels0, labels1 = moving_apart(found.there, found.back)
            self._apart[first] = _Apart(labels0, labels1, found.back)
            while len(self._apart) > 2:
                self._apart.popitem(last=False)
        return self._apart[first]

    def _cut(self, first: int) -> bool:
        """Whether a scene ends with a position."""
        around = range(first - 1, first + 3)
        thumbs = [_thumb(self._view(at)) if 0 <= at < self._shot.count else None for at in around]
        before, one, two, after = thumbs
        assert one is not None and two is not None
        return is_cut(one, two, before, after)

    def _view(self, position: int) -> Tensor:
        """(3, h, w): the proxy at the small size, in main memory."""
        if position not in self._small:
            proxy = self._shot.proxy(position).float().cpu()
            share = min(1.0, LONGEST / max(proxy.shape[1:]))
            size = [max(1, round(side * share)) for side in proxy.shape[1:]]
            self._small[position] = F.interpolate(proxy[None], size, mode="area")[0]
            while len(self._small) > _KEPT:
                self._small.popitem(last=False)
        return self._small[position]


def _thumb(view: Tensor) -> Tensor:
    height = min(_THUMB, view.shape[1])
    width = max(1, round(view.shape[2] * height / view.shape[1]))
    return F.interpolate(view[None], (height, width), mode="area")[0]
