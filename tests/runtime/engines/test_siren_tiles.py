"""Large frames in the engine ``siren``: tiles that leave no seam, and no more memory than a few of them take."""

from __future__ import annotations

import gc
import math
import weakref
from pathlib import Path
from typing import Any, List, Tuple

import pytest
import torch
from torch import Tensor

from kairos.engines.base import EngineSettings, Pair, Session
from kairos.engines.registry import engine
from kairos.engines.siren import fit as siren_fit
from kairos.engines.siren import fits as siren_fits
from kairos.engines.siren.clip import look_at
from kairos.engines.siren.tiles import OVERLAP, POINTS, tiles
from kairos.errors import BadRequest, Cancelled
from kairos.events import Event
from support.scenes import MemoryShot
from support.siren import decibels, scene, silent

SPEED = (0.8, 0.3)

QUICK = {"width": 8, "steps": 4, "batch": 256, "base": "none", "tile": 32}
"""Fits of no worth, in no time; six tiles of 40x56."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("KAIROS_CACHE", str(folder))
    return folder


def shot_of(height: int = 40, width: int = 56, frames: int = 3) -> MemoryShot:
    """A texture that moves by SPEED, and says so."""
    at = scene(height, width, SPEED)

    def motion(source: int, target: int) -> Tensor:
        return torch.tensor(SPEED)[:, None, None].expand(2, height, width) * (target - source)

    return MemoryShot([at(index) for index in range(frames)], motion=motion)


def opened(shot: MemoryShot, listener: Any = silent, **options: Any) -> Session:
    return engine("siren").open(shot, EngineSettings(options={**QUICK, **options}), listener)


def shown(session: Session) -> Tensor:
    """Half-way from the first frame to the second."""
    (answer,) = session.at(Pair(0, 1, after=2), [0.5])
    assert answer.image is not None
    return answer.image


@pytest.mark.parametrize(("size", "side"), [((40, 56), 32), ((97, 33), 48), ((131, 1000), 100), ((2160, 4096), 0)])
def test_the_shares_of_overlapping_tiles_sum_to_one_everywhere(size: Tuple[int, int], side: int) -> None:
    whole = torch.zeros(size)
    found = tiles(size, 9, side)
    for tile in found:
        share = tile.weight(torch.device("cpu"))
        assert share.shape == tile.size and float(share.min()) >= 0
        tile.of(whole).add_(share)
    assert torch.allclose(whole, torch.ones(size), atol=1e-5) and len(found) > 1
    most = side or math.isqrt(POINTS // 9)
    assert all(max(tile.size) <= most for tile in found)


def test_a_frame_is_cut_only_where_its_window_is_too_large() -> None:
    assert [tile.size for tile in tiles((540, 960), 9)] == [(540, 960)]
    assert tiles((540, 960), 9)[0].is_whole and tiles((540, 960), 9, 2000)[0].is_whole
    assert len(tiles((540, 960), 25)) > 1
    for frames in (9, 200):
        assert all(math.prod(tile.size) * frames <= POINTS for tile in tiles((4320, 7680), frames))
    assert tiles((1080, 1920), 9)[0].fades == (0, OVERLAP, 0, OVERLAP)


def test_a_tiles_clip_is_its_part_of_the_whole_frames_clip() -> None:
    shot = shot_of()
    moving = engine("classic").open(shot, EngineSettings(), silent)
    whole = look_at(shot, moving, (0, 1, 2), lambda position: None, based=True)
    tile = tiles(shot.size, 3, 32)[2]
    part = look_at(shot, moving, (0, 1, 2), lambda position: None, based=True, tile=tile)
    for name in ("frames", "ahead", "behind", "sure_ahead", "sure_behind"):
        own = getattr(part, name)
        assert torch.equal(own, tile.of(getattr(whole, name))), name
        # Nothing of the whole frames is held on to.
        assert own.untyped_storage().nbytes() == own.numel() * own.element_size()
    assert part.base is not None and whole.base is not None
    # Splines reach a few pixels in from an edge of their own.
    inner = tile.of(whole.base)[..., 10:-10, 10:-10]
    assert torch.allclose(part.base[..., 10:-10, 10:-10], inner, atol=1e-4)


def test_tiles_show_what_the_whole_shows_and_no_seam() -> None:
    shot, truth = shot_of(40, 100), scene(40, 100, SPEED)
    options = {"width": 24, "steps": 100, "batch": 2048}
    whole, tiled = (shown(opened(shot, **options, tile=tile)) for tile in (0, 64))
    assert len(tiles(shot.size, 3, 64)) == 2
    wanted = MemoryShot([truth(0.5)])
    wanted.exposure = shot.exposure
    wanted_proxy = wanted.proxy(0)
    # A whole fit's own score goes from 46 to 52 dB with its seed.
    assert min(decibels(whole, wanted_proxy), decibels(tiled, wanted_proxy)) > 45
    assert decibels(tiled, whole) > 44
    # How much the error changes from column to column: within the overlap, and at its ends, no more than elsewhere.
    steps = (tiled - wanted_proxy).diff(dim=-1).square().mean((0, 1)).sqrt()
    left, right = tiles(shot.size, 3, 64)
    shared = steps[right.left - 1 : left.width]
    assert float(shared.max()) < 1.2 * float(steps.max())
    assert float(shared.mean()) < 1.2 * float(steps.mean())


def test_progress_covers_all_tiles_and_a_killed_window_goes_on_with_the_unfinished_one(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr(siren_fit, "TOLD", 0.0)
    shot, told, count = shot_of(), [], len(tiles((40, 56), 3, 32))

    def listen(event: Event) -> None:
        if event.data["stage"] == "fit":
            told.append((event.data["done"], event.data["total"], event.data["eta"]))
            # In the third tile.
            if len(told) == 10:
                raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        shown(opened(shot, listen))
    assert [done for done, _, _ in told] == list(range(1, 11))
    assert {total for _, total, _ in told} == {4 * count}
    # What is left of this tile is less than what is left of the window.
    assert told[-1][2] is not None and told[-1][2] > 0
    assert len(list((cache / siren_fits.FOLDER).iterdir())) == 3
    picture = shown(opened(shot, listen))
    assert [done for done, _, _ in told[10:]] == list(range(11, 4 * count + 1))
    assert len(list((cache / siren_fits.FOLDER).iterdir())) == count

    def never(*given: Any, **named: Any) -> Any:
        raise AssertionError("fitted again")

    monkeypatch.setattr(siren_fits, "fit", never)
    assert torch.equal(shown(opened(shot, listen)), picture)


def test_a_windows_fits_are_kept_however_large_and_others_go_first(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    shown(opened(shot_of(), seed=1, tile=0))
    (other,) = (cache / siren_fits.FOLDER).iterdir()
    monkeypatch.setattr(siren_fits, "KEPT", 1)
    shown(opened(shot_of()))
    left = list((cache / siren_fits.FOLDER).iterdir())
    assert other not in left and len(left) == len(tiles((40, 56), 3, 32))


def test_no_more_than_two_tiles_fields_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    known: List[Any] = []
    most: List[int] = []
    stored = siren_fits.stored

    def counted(*given: Any, **named: Any) -> Any:
        found = stored(*given, **named)
        gc.collect()
        if found is not None:
            known.append(weakref.ref(found.field))
            most.append(sum(each() is not None for each in known))
        return found

    shot = shot_of()
    picture = shown(opened(shot))
    monkeypatch.setattr(siren_fits, "stored", counted)
    session = opened(shot)
    both = [answer.image for answer in session.at(Pair(0, 1, after=2), [0.25, 0.5])]
    assert both[1] is not None and torch.equal(both[1], picture)
    assert len(known) == len(tiles((40, 56), 3, 32)) and max(most) <= 2


def test_painting_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    shot = shot_of()
    shown(opened(shot))
    monkeypatch.setattr(siren_fits, "TOLD", 0.0)

    def listen(event: Event) -> None:
        if event.data["stage"] == "paint":
            raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        shown(opened(shot, listen))


@pytest.mark.parametrize("tile", [1, 31, "small"])
def test_a_tile_that_cannot_be_is_refused_in_words(tile: Any) -> None:
    with pytest.raises(BadRequest, match=f"tile '?{tile}'? cannot be"):
        opened(shot_of(), tile=tile)
