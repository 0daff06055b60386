"""Objects that nobody named are followed through the shot, and found once."""

from __future__ import annotations

from pathlib import Path
from typing import List

import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.engines.hierarchical.masks import moving
from kairos.engines.hierarchical.masks.moving import MovingObjects
from kairos.engines.hierarchical.masks.store import Store
from kairos_nodes.cache import CACHE_VARIABLE
from support.scenes import HEIGHT, WIDTH, MemoryShot, cover, grid, plate, texture


def box(time: float) -> np.ndarray:
    return cover((50.0 + 9.0 * time, 55.0 + 2.0 * time), (24.0, 24.0))


def passing(frames: int = 4) -> MemoryShot:
    """A textured box that moves to the right over a ground that moves to the left."""
    ground, skin = [texture(seed) for seed in (1, 2, 3)], [texture(seed) for seed in (4, 5, 6)]
    columns, rows = grid()
    pictures: List[Tensor] = []
    for time in range(frames):
        front = box(time)
        below = (each(columns + 5.0 * time, rows) for each in ground)
        above = (each(columns - 9.0 * time, rows - 2.0 * time) for each in skin)
        pictures.append(plate(*(one * (1 - front) + other * front for one, other in zip(below, above))))
    return MemoryShot(pictures)


def test_an_object_has_one_number_in_every_frame_and_is_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    shot = passing()
    found = MovingObjects(shot, Store("shot"))
    last, first = found.labels(3), found.labels(0)
    for time, labels in ((0, first), (3, last)):
        assert labels.dtype is torch.int16 and tuple(labels.shape) == (HEIGHT, WIDTH)
        truth = torch.from_numpy(box(time) >= 0.5)
        shown = labels == int(labels[truth].mode().values)
        assert int(labels[truth].mode().values) == int(first[first > 0].mode().values)
        assert (shown & truth).sum() / (shown | truth).sum() > 0.75, "intersection over union"
    monkeypatch.setattr(moving, "estimate_classic", None)
    assert torch.equal(MovingObjects(shot, Store("shot")).labels(3), last), "read from the store"
    with pytest.raises(TypeError):
        MovingObjects(shot, Store("another")).labels(0)
