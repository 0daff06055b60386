"""Objects that are found rather than given: what moves apart (``auto``), or what open-world models see (``tags``)."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Dict, List, Mapping, Optional, Protocol, Tuple

import numpy as np
import torch
from torch import Tensor

from kairos.engines.hierarchical.masks.models import Models, identity_of, load_models
from kairos.engines.hierarchical.masks.open_world import words
from kairos.engines.hierarchical.masks.store import Store
from kairos.motion.encode import decode
from kairos.motion.region_choice import RegionRule
from kairos.motion.region_rules import agreed, key
from kairos_nodes.cache import fingerprint
from kairos_nodes.regions import RegionSource

from .footage import Footage
from .plate import Plate

KEPT = 12
"""Label maps kept, of any view."""

AHEAD = 2
"""Frames after a position that have a say in what moves apart there: the motion to the next, and the cut's proof."""


class Finder(Protocol):
    """Finds objects in one view of a shot."""

    def labels(self, position: int) -> Tensor:
        """(H, W) int16 on the shot's device."""


class FoundRegions:
    """Objects found in the shot, one number for each over all frames, kept on disk.

    Args:
        source: ``auto`` or ``tags``.
        shot: the plate.
        rules: by number.
    """

    def __init__(self, source: RegionSource, shot: Footage, rules: Mapping[int, RegionRule]) -> None:
        self._source, self._shot = source, shot
        self.names: Mapping[int, str] = dict(enumerate(source.tags, 1))
        self.rules = rules
        self._finders: Dict[str, Finder] = {}
        self._kept: OrderedDict[Tuple[str, int], Tensor] = OrderedDict()
        self._digests: List[str] = []
        self._models = ""
        self._lock = threading.Lock()

    def labels(self, plate: Plate, view: str, position: int) -> Tensor:
        """(H, W) int16 on the view's canvas."""
        key = (view, position)
        with self._lock:
            if key not in self._kept:
                if view not in self._finders:
                    self._finders[view] = self._finder(plate, view)
                self._kept[key] = self._finders[view].labels(position)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    @property
    def by_motion(self) -> bool:
        """Whether they are known by their motion alone, so that their edges are guesses."""
        return self._source.kind == "auto"

    def identity(self, position: int) -> str:
        """What the labels are known by: for ``auto`` all frames up to this one, and what follows it; for ``tags`` the
        models. Raises KairosError where their weights are missing or damaged.
        """
        if self._source.kind == "tags":
            self._models = self._models or identity_of()
            return self._models
        if not self._digests:
            from kairos.engines.hierarchical.masks.moving import METHOD

            digest = hashlib.sha256(f"auto {METHOD}".encode())
            for each in range(len(self._shot)):
                digest.update(self._shot.identity(each).encode())
                self._digests.append(digest.hexdigest())
        return self._digests[min(position + AHEAD, len(self._digests) - 1)]

    def close(self) -> None:
        """Lets go of the label maps."""
        self._kept.clear()
        self._finders.clear()

    def _finder(self, plate: Plate, view: str) -> Finder:
        facts = {
            "frames": [self._shot.identity(position) for position in range(len(self._shot))],
            "view": view,
            "canvas": plate.layout.canvases[view],
            "exposure": plate.exposure,
            "linear": self._shot.scene_linear,
        }
        if self._source.kind == "auto":
            from kairos.engines.hierarchical.masks.moving import METHOD, MovingObjects

            return MovingObjects(plate.view(view), Store(fingerprint({"auto": METHOD, **facts})))
        return TaggedObjects(plate, view, self._source.tags, facts)


class TaggedObjects:
    """What open-world models see in each frame; a tag's place in the list is its number.

    Args:
        plate: what pictures come from.
        view: of it.
        tags: words.
        facts: about the shot, for the store.
    """

    def __init__(self, plate: Plate, view: str, tags: Tuple[str, ...], facts: Mapping[str, object]) -> None:
        self._plate, self._view, self._tags = plate, plate.view(view), tags
        self._models: Optional[Models] = None
        self._store = Store(fingerprint({"tags": tags, "models": identity_of(), **facts}))

    def labels(self, position: int) -> Tensor:
        """(H, W) int16."""
        kept = self._store.get(position)
        if kept is not None and "labels" in kept:
            return torch.from_numpy(np.asarray(kept["labels"], np.int16)).to(self._view.device)
        # What was kept needs no networks: they are built for the first frame that was not.
        self._models = self._models or load_models(self._plate.device)
        seen = words(self._picture(position), self._tags, self._models)
        names, labels, _ = agreed(seen, seen, size=self._view.size)
        numbers = {key(tag): number for number, tag in enumerate(self._tags, 1)}
        table = torch.tensor([0, *(numbers[key(name)] for name in names)], dtype=torch.int16)
        labels = table[labels.cpu().int()]
        self._store.keep(position, {"labels": labels.numpy()})
        return labels.to(self._view.device)

    def _picture(self, position: int) -> Tensor:
        """(3, H, W) in 0..1, display-referred, the exposure a little under white."""
        proxy = self._view.proxy(position)
        if not self._plate.shot.scene_linear:
            return proxy.clamp(0, 1)
        light = decode(proxy, 1.0).clamp(0, 1)
        return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)
