"""Networks by both ways that convolutions have on the CPU."""

from __future__ import annotations

from typing import Any, Iterator, List

import pytest
import torch

from kairos.engines import winograd


@pytest.fixture(params=["torch", "winograd"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every 3x3 convolution that can goes by :mod:`kairos.engines.winograd`, or none does."""
    if request.param == "torch":
        monkeypatch.setattr(winograd, "worth", lambda *given: False)
        yield
        return
    for name, value in {"_WORTH": 0, "_LEAST_INPUTS": 1, "_LEAST_OUTPUTS": 1, "_LIGHT": 1 << 62}.items():
        monkeypatch.setattr(winograd, name, value)
    taken: List[Any] = []
    convolve = winograd.convolve

    def counted(planes: torch.Tensor, packed: winograd.Packed) -> torch.Tensor:
        taken.append(packed)
        return convolve(planes, packed)

    monkeypatch.setattr(winograd, "convolve", counted)
    yield
    assert taken, "no convolution went this way"
