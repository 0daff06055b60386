"""Where a plate lies on the network's canvas, and back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kairos.engines.inbetween.canvas import laid
from kairos.errors import BadRequest


def ramp(height: int, width: int) -> Tensor:
    """(2, H, W) places: x and y of pixel centres, as parts of the sides."""
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
    return torch.stack([x, y])


@pytest.mark.parametrize("plate", [(100, 239), (234, 100), (150, 200), (31, 57)], ids=["scope", "tall", "4:3", "small"])
@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_what_goes_onto_the_canvas_comes_back_to_its_place(plate: tuple[int, int], fit: str) -> None:
    canvas = laid(plate, (64, 128), fit)
    places = ramp(*plate)
    shown = canvas.show(places)
    assert shown.shape == (2, 64, 128)
    inside = canvas.inside(places.device)[0] == 1
    assert inside.float().mean() > (0.1 if fit == "crop" else 0.99)
    # Both ways are linear between pixels, and so is the ramp: half a pixel of either side is repeated at the border.
    back = canvas.back(shown)
    worst = 0.75 / min(*plate, *canvas.scaled)
    assert (back - places).abs()[:, inside].max() < worst


def test_pad_keeps_the_aspect_and_mirrors_the_border() -> None:
    canvas = laid((100, 100), (64, 128), "pad")
    assert (canvas.scaled, canvas.top, canvas.left) == ((64, 64), 0, 32)
    shown = canvas.show(ramp(100, 100))
    assert torch.equal(shown[:, :, 31], shown[:, :, 32])
    assert torch.equal(shown[:, :, 0], shown[:, :, 63])
    holds = canvas.holds(shown.device)
    assert bool(holds[0, :, 32:96].all()) and not bool(holds[0, :, :32].any() | holds[0, :, 96:].any())


def test_crop_keeps_the_aspect_and_fills_the_canvas() -> None:
    canvas = laid((100, 100), (64, 128), "crop")
    assert (canvas.scaled, canvas.top, canvas.left) == ((128, 128), -32, 0)
    inside = canvas.inside(torch.device("cpu"))
    assert inside[0, :24].max() == 0 and inside[0, 50].min() == 1
    assert bool(canvas.holds(torch.device("cpu")).all())


def test_motion_comes_back_in_pixels_of_the_plate_and_goes_on_outside_a_crop() -> None:
    canvas = laid((200, 200), (64, 128), "crop")
    flow = torch.stack([torch.full((64, 128), 3.0), torch.full((64, 128), -1.0)])
    back = canvas.back_flow(flow, torch.ones(1, 64, 128))
    assert back.shape == (2, 200, 200)
    scale = 200 / 128
    assert (back[0] - 3.0 * scale).abs().max() < 1e-4 and (back[1] + scale).abs().max() < 1e-4


def test_between_two_motions_there_is_no_third_at_whatever_scale_of_either_side() -> None:
    canvas = laid((200, 100), (64, 128), "stretch")
    flow = torch.tensor([4.0, 2.0])[:, None, None] * torch.where(torch.arange(128) < 64, 1.0, -1.0).expand(2, 64, 128)
    back = canvas.back_flow(flow, torch.ones(1, 64, 128))
    # In pixels of the plate: 100 of 128 across, 200 of 64 down.
    wanted = torch.tensor([4.0 * 100 / 128, 2.0 * 200 / 64])[:, None, None]
    assert torch.minimum((back - wanted).abs().amax(0), (back + wanted).abs().amax(0)).max() < 1e-4
    assert bool((back[0, :, :50] > 0).all()) and bool((back[0, :, 50:] < 0).all())


def test_outside_a_crop_trusted_motion_goes_on_and_not_what_is_not_trusted() -> None:
    canvas = laid((200, 200), (64, 128), "crop")
    flow, trust = torch.full((2, 64, 128), 2.0), torch.ones(1, 64, 128)
    flow[:, :6], trust[:, :6] = -40.0, 0.0
    back = canvas.back_flow(flow, trust)
    assert back[:, :40].min() > 0


def test_a_smaller_picture_shows_everything_where_it_was() -> None:
    plate = ramp(270, 480)
    small = laid((270, 480), (128, 256), "pad").show(plate)
    # Of 270 pixels, a tenth of one: pixels that are covered in part still count by their middles. Means over whole
    # pixels would be off by up to half of one.
    assert (small[1, :, 128] - (torch.arange(128) + 0.5) / 128).abs().max() < 0.1 / 270


@pytest.mark.parametrize(("size", "fit", "said"), [((100, 128), "pad", "64"), ((64, 64), "squash", "pad, crop")])
def test_what_does_not_fit_is_refused_with_the_remedy(size: tuple[int, int], fit: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        laid((100, 100), size, fit)


def test_outside_a_crop_a_turn_goes_on() -> None:
    canvas = laid((200, 200), (64, 128), "crop")
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(128) - 63.5, indexing="ij")
    back = canvas.back_flow(torch.stack([0.05 * y, -0.05 * x]), torch.ones(1, 64, 128))
    rows, columns = torch.meshgrid(torch.arange(200) - 99.5, torch.arange(200) - 99.5, indexing="ij")
    assert (back - torch.stack([0.05 * rows, -0.05 * columns])).abs().max() < 0.3
