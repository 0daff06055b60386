"""What ``swift`` knows of the motion before its network looks."""

from __future__ import annotations

from typing import List, Optional, Tuple

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.engines.classic.landmarks import landmark_motion
from kairos.engines.classic.motion import Found, layer_of
from kairos.engines.classic.search import Flow, Picture
from kairos.engines.swift import prior
from kairos.engines.swift.prior import classical_prior


def _plate(height: int, width: int, seed: int = 4) -> np.ndarray[Tuple[int, ...], np.dtype[np.float32]]:
    """A picture with detail of many sizes."""
    random = np.random.default_rng(seed)
    plate = np.zeros((height, width), np.float32)
    for cells in (4, 9, 20, 45):
        coarse = random.random((cells, cells * width // height), np.float32)
        plate += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.5
    return (plate - plate.min()) / (plate.max() - plate.min())


def _moved(height: int, width: int, x: float, y: float) -> Tuple[Tensor, Tensor]:
    """A window of the plate, and the same after the plate has moved by x and y."""
    margin = 100
    plate = _plate(height + 2 * margin, width + 2 * margin)
    back = np.array([[1, 0, -x], [0, 1, -y]], np.float32)
    later = cv2.warpAffine(plate, back, plate.shape[::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    frames = [each[margin : margin + height, margin : margin + width] for each in (plate, later)]
    first, second = (torch.from_numpy(np.ascontiguousarray(each))[None].repeat(3, 1, 1) for each in frames)
    return first, second


# The second is too small to be halved, the third has odd sides.
@pytest.mark.parametrize("size", [(144, 192), (72, 100), (135, 201)])
@pytest.mark.parametrize("move", [(0.0, 0.0), (2.4, -1.3)])
def test_a_pan_is_found_both_ways(size: Tuple[int, int], move: Tuple[float, float]) -> None:
    there, back = classical_prior(*_moved(*size, *move))
    assert there.shape == back.shape == (2, *size)
    for flow, sign in ((there, 1), (back, -1)):
        apart = flow - sign * torch.tensor(move)[:, None, None]
        assert float(apart.square().sum(0).sqrt().median()) < 0.1


def test_landmarks_find_what_moved_too_far_for_the_search() -> None:
    height, width, far = 192, 288, 90
    there, _ = classical_prior(*_moved(height, width, far, 0.0))
    inside = slice(0, width - far)
    error = (there[:, :, inside] - torch.tensor([far, 0.0])[:, None, None]).square().sum(0).sqrt()
    assert float((error < 1).float().mean()) > 0.9


@pytest.mark.parametrize(("far", "asked"), [(3.0, 0), (90.0, 1)])
def test_what_the_plain_search_has_solved_is_not_searched_again(
    monkeypatch: pytest.MonkeyPatch, far: float, asked: int
) -> None:
    calls: List[int] = []

    def counted(*pictures: Picture) -> Optional[Tuple[Flow, Flow]]:
        calls.append(1)
        return landmark_motion(*pictures)

    monkeypatch.setattr(prior, "landmark_motion", counted)
    there, _ = classical_prior(*_moved(288, 384, far, 0.0))
    assert len(calls) == asked
    assert float((there[0, :, : 384 - 90] - far).abs().median()) < 0.1


def test_the_same_frames_give_the_same_answer() -> None:
    frames = _moved(144, 192, 7.0, 3.0)
    assert torch.equal(classical_prior(*frames), classical_prior(*frames))


def test_what_was_found_at_half_size_is_judged_there_much_as_at_full_size() -> None:
    """Trust and front of an object over ground, for flows that are smooth enough for half the size."""
    height, width = 96, 128
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")

    def inside(left: int) -> Tensor:
        return ((x >= left) & (x < left + 40) & (y >= 30) & (y < 70)).float()

    there, back = torch.zeros(2, 2, height, width).unbind()
    there[0], back[0] = 12 * inside(30), -12 * inside(42)
    whole = torch.ones(1, height, width)
    full, half = (layer_of(Found(there, back, scale=scale), whole, whole) for scale in (1.0, 0.5))
    for name in ("trust0", "trust1", "front0", "front1"):
        one, two = getattr(full, name), getattr(half, name)
        assert one.shape == two.shape
        assert float((one - two).abs().mean()) < 0.03
    # The ground that the object comes to hide is not to be trusted, the object is.
    hides = (inside(42) * (1 - inside(30)))[None].bool()
    assert float(half.trust0[hides].mean()) < 0.4 < float(half.trust0[inside(30)[None].bool()].mean())
