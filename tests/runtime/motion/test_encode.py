"""The log proxy."""

from __future__ import annotations

import pytest
import torch

from kairos.motion.encode import Codec, decode, encode, measure_exposure, repair, shot_exposure


def line(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(1, 1, -1).expand(3, 1, -1).contiguous()


@pytest.mark.parametrize("exposure", [1e-3, 0.7, 300.0])
def test_decoding_inverts_encoding_from_minus_8_to_65504(exposure: float) -> None:
    plate = line(-8, -0.01, 0, 1e-6, 0.18, 1, 16, 5000, 65504)
    assert torch.allclose(decode(encode(plate, exposure), exposure), plate, rtol=2e-5, atol=1e-9)


def test_negatives_mirror_and_zero_stays_zero() -> None:
    plate = line(0.0, 0.003, 8.0)
    assert torch.equal(encode(-plate, 0.5), -encode(plate, 0.5))
    assert not encode(line(0.0), 0.5).any()


def test_the_curve_rises_and_nothing_is_clamped() -> None:
    plate = torch.linspace(-70000, 70000, 4001).reshape(1, 1, -1).expand(3, 1, -1)
    assert (encode(plate, 0.5).diff(dim=-1) > 0).all()
    assert encode(line(65504), 0.5).max() > 1.5


def test_the_proxy_is_finite_and_a_broken_pixel_changes_no_other() -> None:
    plate = torch.rand(3, 16, 16)
    broken = plate.clone()
    broken[0, 4, 4], broken[1, 5, 5], broken[2, 6, 6] = torch.nan, torch.inf, -torch.inf
    found = encode(broken, 0.5)
    assert found.isfinite().all()
    same = broken.isfinite()
    assert torch.equal(found[same], encode(plate, 0.5)[same])
    assert repair(broken)[1, 5, 5] <= 1.0


def test_a_broken_pixel_beside_the_largest_floats_is_repaired_all_the_same() -> None:
    planes = torch.full((3, 16, 24), torch.finfo(torch.float32).max)
    planes[:, 4, 5] = torch.nan
    assert bool(encode(planes, 0.18).isfinite().all())


def test_premultiplied_edges_do_not_look_dark() -> None:
    alpha = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0]).reshape(1, 1, -1)
    premultiplied = (0.4 * alpha).expand(3, 1, -1)
    found = encode(premultiplied, 0.5, alpha)
    assert torch.allclose(found[:, :, 1:], encode(line(*[0.4] * 4), 0.5), atol=1e-6)


def test_exposure_ignores_black_surrounds_and_broken_pixels() -> None:
    lit = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0)) + 0.2
    framed = torch.zeros(3, 400, 400)
    framed[:, 100:140, 100:140] = lit
    framed[0, 0, 0], framed[1, 0, 1] = torch.nan, torch.inf
    assert measure_exposure([framed]) == pytest.approx(measure_exposure([lit]), rel=1e-6)
    assert measure_exposure([lit * 100]) == pytest.approx(100 * measure_exposure([lit]), rel=1e-5)
    assert measure_exposure([torch.zeros(3, 8, 8)]) == 1.0


def test_a_shots_exposure_is_that_of_a_few_of_its_frames_and_follows_the_light() -> None:
    rolls = [torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(seed)) for seed in range(9)]
    measured = [measure_exposure(some) for some in (rolls, rolls[2:5])]
    assert measured[0] != measured[1] and shot_exposure(rolls) == shot_exposure(rolls[2:5])
    for gain in (2.0**-20, 1.0, 1000.0, 60000.0):
        lit = [gain * plate for plate in rolls]
        assert 2**-0.25 <= shot_exposure(lit) / measure_exposure(lit) <= 2**0.25
    assert shot_exposure([torch.zeros(3, 8, 8)]) == 1.0


def test_an_ordinary_plate_lies_within_0_and_1() -> None:
    stops = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(1)) * 1.5
    plate = 0.18 * 2.0**stops
    found = encode(plate, measure_exposure([plate]))
    assert found.min() >= 0 and float(found.quantile(0.999)) < 1.0


def test_a_display_referred_codec_leaves_pixels_alone() -> None:
    plate = torch.rand(3, 4, 4)
    assert torch.equal(Codec().decode(Codec().encode(plate)), plate)
