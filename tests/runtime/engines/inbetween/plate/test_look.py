"""What the network is shown of encoded keys."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kairos.engines.inbetween.look import KNEE, look_of
from kairos.errors import BadRequest
from kairos.motion.encode import decode, encode, measure_exposure


def plate(stops: float = 0.0, peak: float = 1.0) -> Tensor:
    """(3, H, W) scene-linear: evenly spread stops under the exposure, with a highlight."""
    levels = 2.0 ** torch.linspace(-8, 0, 64 * 64).reshape(64, 64) * 2.0**stops
    linear = levels.expand(3, -1, -1).clone()
    linear[:, -3:, -3:] = peak
    return linear


def shown_twice(linear: Tensor) -> tuple[Tensor, Tensor]:
    key = encode(linear, measure_exposure([linear]))
    look = look_of(key, key)
    return look.show(key), look.encode(look.show(key)) - key


@pytest.mark.parametrize("peak", [1.0, 1.5, 2.5])
def test_what_is_shown_comes_back(peak: float) -> None:
    shown, error = shown_twice(plate(peak=peak))
    assert shown.min() >= 0 and shown.max() <= 1
    assert error.abs().max() < 2e-4


def test_highlights_are_told_apart_in_the_shoulder() -> None:
    linear = plate(peak=3.0)
    linear[:, :3, :3] = 1.5
    shown, _ = shown_twice(linear)
    assert KNEE + 0.05 < shown[0, 0, 0] < shown[0, -1, -1] - 0.01


def test_what_is_shown_white_comes_back_as_no_more_than_two_stops_over_the_exposure() -> None:
    linear = plate(peak=3000.0)
    shown, error = shown_twice(linear)
    assert shown[0, -1, -1] == 1 and error[:, :-4].abs().max() < 2e-4
    exposure = measure_exposure([linear])
    key = encode(linear, exposure)
    white = decode(look_of(key, key).encode(torch.ones(3, 1, 1)), exposure)
    assert float(white.max()) == pytest.approx(4 * exposure, rel=0.1)


def test_exposure_is_shown_alike_whatever_the_plate_s() -> None:
    dark, bright = (shown_twice(plate(stops, 2.0**stops))[0] for stops in (-6.0, 5.0))
    assert (dark[:, 1:-4] - bright[:, 1:-4]).abs().max() < 1e-3


def test_middle_grey_is_shown_as_on_a_display() -> None:
    linear = plate()
    key = encode(linear, measure_exposure([linear]))
    grey = encode(torch.full((3, 1, 1), 0.18), measure_exposure([linear]))
    # 0.18 of diffuse white is 0.46 in sRGB; white itself is shown a little lower than there to leave room above.
    assert 0.33 < float(look_of(key, key).show(grey)[0, 0, 0]) < 0.46


def test_display_referred_keys_are_shown_as_they_are() -> None:
    key = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    look = look_of(key, key)
    assert torch.equal(look.show(key), key) and torch.equal(look.encode(key), key)


@pytest.mark.parametrize("part", [0.1, 0.35, 0.45, 0.6], ids=lambda part: f"{part:.0%} faint")
def test_a_log_plate_is_known_by_its_exposure_however_much_of_it_is_next_to_black(part: float) -> None:
    generator = torch.Generator().manual_seed(0)
    linear = 2.0 ** (1.5 * torch.randn(3, 100, 200, generator=generator) - 2).clamp(max=4)
    # Light that spills, twelve stops down: the exposure is measured without it unless it is most of the picture.
    faint = torch.rand(100, 200, generator=generator) < part
    linear = torch.where(faint, 1e-4 * torch.rand(3, 100, 200, generator=generator), linear)
    key = encode(linear, measure_exposure([linear]))
    assert key.min() >= 0 and key.max() <= 1
    assert look_of(key, key).log


def test_the_curve_can_be_told() -> None:
    key = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    assert look_of(key, key, "log").log and not look_of(key, key, "auto").log
    with pytest.raises(BadRequest, match="auto, log, display"):
        look_of(key, key, "rec709")


def test_negative_values_and_highlights_are_known_to_be_beyond_the_look() -> None:
    linear = plate(peak=20.0)
    linear[0, :3, :3] = -0.2
    exposure = measure_exposure([plate()])
    key = encode(linear, exposure)
    beyond = look_of(key, key, "log").beyond(key)
    assert beyond[0, 0, 0] == 1 and beyond[0, -1, -1] == 1
    assert beyond[0, 3:-8].max() == 0


def test_black_keys_are_shown_black() -> None:
    key = torch.zeros(3, 16, 16)
    look = look_of(key, key)
    assert torch.equal(look.show(key), key) and look.encode(key).abs().max() == 0
