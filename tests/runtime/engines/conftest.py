"""Networks by both ways that convolutions have on the CPU."""

from __future__ import annotations

from typing import Any, Iterator, List

import pytest
import torch

from kairos.engines import winograd


@pytest.fixture(params=["torch", "winograd"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every convolution that can goes by :mod:`kairos.engines.winograd`, or none does."""
    if request.param == "torch":
        monkeypatch.setattr(winograd, "worth", lambda *given: False)
        yield
        return
    least = dict.fromkeys((winograd.SAME, winograd.HALF, winograd.TWICE), (1, 1))
    for name, value in {"_WORTH": 0, "_LEAST": least, "_LIGHT": 1 << 62}.items():
        monkeypatch.setattr(winograd, name, value)
    taken: List[Any] = []
    convolve = winograd.convolve

    def counted(planes: torch.Tensor, packed: winograd.Packed) -> torch.Tensor:
        taken.append(packed)
        return convolve(planes, packed)

    monkeypatch.setattr(winograd, "convolve", counted)
    yield
    assert taken, "no convolution went this way"
