"""Steps on disk: whole or not there, and known by what they were made from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kairos.engines.inbetween import store
from kairos.engines.inbetween.preview import TILE, colours_of, picture_of, sheet, write_sheet
from kairos.engines.inbetween.recipe import State
from kairos.engines.inbetween.store import Kept, Place
from kairos.errors import KairosError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("KAIROS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def kept(step: int = 3) -> Kept:
    generator = torch.Generator().manual_seed(step)
    latents, clean = (torch.randn(1, 5, 4, 2, 3, generator=generator) for _ in range(2))
    return Kept(State(step, latents, clean, generator.get_state()), {"maps": "half", "split": "False"}, 12.5)


def test_a_state_comes_back_bit_by_bit() -> None:
    place, wanted = Place("a" * 64), kept()
    assert place.read() is None
    place.write(kept(2))
    place.write(wanted)
    found = place.read()
    assert found is not None and found.state.step == 3 and found.switches == wanted.switches and found.seconds == 12.5
    for name in ("latents", "clean", "generator"):
        assert torch.equal(getattr(found.state, name), getattr(wanted.state, name))


def test_a_state_of_something_else_or_damaged_is_none(cache: Path) -> None:
    place = Place("b" * 64)
    place.write(kept())
    # The same folder, since names are cut short, and another mark.
    assert Place("b" * 63 + "c").read() is None
    (file,) = (cache / store.FOLDER).rglob("*.safetensors")
    data = file.read_bytes()
    for broken in (data[:-5], b"", b"nothing of the kind"):
        file.write_bytes(broken)
        assert place.read() is None
    file.write_bytes(data)
    assert place.read() is not None


def test_what_was_longest_unused_goes_first_and_what_is_at_work_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [Place(letter * 64) for letter in "abc"]
    # What a desktop leaves lying about is nobody's generation.
    places[0].sheet.parent.parent.mkdir(parents=True)
    (places[0].sheet.parent.parent / ".DS_Store").write_bytes(b"")
    for age, place in enumerate(places):
        place.write(kept())
        for path in (place.sheet.parent, *place.sheet.parent.iterdir()):
            os.utime(path, (1000 + age, 1000 + age))
    size = sum(path.stat().st_size for path in places[0].sheet.parent.iterdir())
    monkeypatch.setattr(store, "KEPT", 2 * size)
    places[0].tidy()
    assert places[0].read() is not None and places[1].read() is None and places[2].read() is not None


def test_a_cache_that_cannot_be_written_is_told(cache: Path) -> None:
    cache.write_text("no folder")
    with pytest.raises(KairosError, match=r"cannot be written.*permissions"):
        Place("a" * 64).write(kept())


def test_a_full_disk_is_told_and_the_state_before_is_kept() -> None:
    resource = pytest.importorskip("resource")
    place = Place("a" * 64)
    place.write(kept(2))
    # Run as an administrator, no folder is closed: a limit on files' sizes stands in for the full disk.
    least = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, least[1]))
    try:
        with pytest.raises(KairosError, match=r"cannot be written: File too large.*disk"):
            place.write(kept(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, least)
    found = place.read()
    assert found is not None and found.state.step == 2
    assert [path.name for path in place.sheet.parent.iterdir()] == ["state.safetensors"]


def test_two_jobs_at_once_do_not_write_into_each_others_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second job of the same generation keeps a state while the first has written one that has no name yet."""
    synced, other = os.fsync, []

    def slow(handle: int) -> None:
        synced(handle)
        if not other:
            other.append(Place("a" * 64))
            other[0].write(kept(4))

    monkeypatch.setattr(os, "fsync", slow)
    place = Place("a" * 64)
    place.write(kept(3))
    found = place.read()
    assert other and found is not None and found.state.step == 3
    assert [path.name for path in place.sheet.parent.iterdir()] == ["state.safetensors"]


def test_the_contact_sheet_shows_what_latents_look_like_by_the_keys_alone(tmp_path: Path) -> None:
    """A latent whose channels are a mixture of the colours: the mixture is found from two keys, and shown again."""
    generator = torch.Generator().manual_seed(4)
    pictures = torch.rand(2, 3, 16, 24, generator=generator)
    mixing = torch.randn(4, 3, generator=generator)
    small = torch.nn.functional.interpolate(pictures, size=(2, 3), mode="area")
    latents = torch.einsum("ck,nkhw->nchw", mixing, small) + 0.3
    colours = colours_of(latents, pictures)
    assert float((picture_of(latents, colours) - small).abs().max()) < 0.05
    shown = sheet(picture_of(latents.repeat(3, 1, 1, 1)[:5], colours), "step 2 of 50")
    path = tmp_path / "sheet.png"
    write_sheet(path, shown)
    read = np.asarray(Image.open(path))
    # Five pictures in three columns and two rows, of the keys' aspect.
    assert read.shape[1] > 3 * TILE and read.shape[0] > 2 * round(TILE * 2 / 3) and np.array_equal(read, shown)
    assert not list(tmp_path.glob(".*"))


def test_a_key_of_one_colour_gives_a_sheet_too() -> None:
    colours = colours_of(torch.zeros(2, 4, 2, 3), torch.full((2, 3, 16, 24), 0.25))
    assert torch.allclose(picture_of(torch.zeros(1, 4, 2, 3), colours), torch.full((1, 3, 2, 3), 0.25), atol=1e-3)
