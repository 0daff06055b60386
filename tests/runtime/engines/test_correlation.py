"""All pairs of features, kept or worked out where they are looked at."""

from __future__ import annotations

from typing import Tuple

import pytest
import torch
from torch import Tensor

from kairos.engines import correlation
from kairos.engines.correlation import LIMIT, Correlation


def features(batch: int, channels: int, height: int, width: int) -> Tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    one, two = torch.randn(2, batch, channels, height, width, generator=generator)
    return one, two


def places(batch: int, height: int, width: int) -> Tuple[Tensor, Tensor]:
    """Anywhere, far beyond the border, and on whole pixels."""
    generator = torch.Generator().manual_seed(8)
    x, y = torch.rand(2, batch, height, width, generator=generator) * 1.6 - 0.3
    x, y = x * width, y * height
    x[:, 0, 0], y[:, 0, 0] = 1e6, -1e6
    x[:, 1], y[:, 1] = x[:, 1].round(), y[:, 1].round()
    return x, y


@pytest.mark.parametrize("radius", [3, 4])
@pytest.mark.parametrize("batch, channels, height, width", [(2, 16, 13, 21), (1, 84, 8, 8), (1, 5, 24, 17)])
def test_what_is_worked_out_on_looking_is_what_would_have_been_kept(
    batch: int, channels: int, height: int, width: int, radius: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Several parts to a frame, the last one shorter.
    monkeypatch.setattr(correlation, "_GATHERED", 50 * 4 * channels * (2 * radius + 2) ** 2)
    pair, where = features(batch, channels, height, width), places(batch, height, width)
    kept, bounded = Correlation(*pair), Correlation(*pair, limit=0)
    assert kept.kept > 0 == bounded.kept
    wanted, found = kept.around(*where, radius), bounded.around(*where, radius)
    assert found.shape == wanted.shape == (batch, 4 * (2 * radius + 1) ** 2, height, width)
    assert float(wanted.abs().max()) > 0.5
    assert torch.allclose(found, wanted, atol=1e-5)


def test_no_more_than_the_limit_is_kept() -> None:
    pair = features(1, 4, 16, 24)
    # 384 places with 384 + 96 + 24 + 6 others, 4 bytes each.
    need = 4 * 384 * 510
    assert Correlation(*pair, limit=need).kept == need
    assert Correlation(*pair, limit=need - 1).kept == 0
    # 1280 x 720 is kept, 1920 x 1080 is not: places at 1/8, 85/64 of their square, 4 bytes.
    assert 4 * (90 * 160) ** 2 * 85 / 64 < LIMIT < 4 * (135 * 240) ** 2 * 85 / 64


def test_a_recorded_graph_keeps_all_products() -> None:
    def kept(first: Tensor, second: Tensor) -> Tensor:
        found = Correlation(first, second, limit=0)
        assert len(found._levels) == 4
        return first

    torch.jit.trace(kept, features(1, 4, 16, 24), check_trace=False)  # type: ignore[no-untyped-call]
