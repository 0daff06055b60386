"""Objects of a real Blender's Cryptomatte lead a retime, from names in the manifest to borders that stay whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest

from kairos.bench.region_band import compare, mean
from kairos.images import open_shot
from kairos.images.cryptomatte import cryptomattes, manifest
from kairos_installer.lock import locked
from kairos_nodes.cache import CACHE_VARIABLE
from support.blender import Blender, blender_python
from support.exr import read_exr
from support.jobs import kairos, kairos_here

SIZE = (320, 180)
FRAMES = (5, 6, 7, 8, 9)
"""Of the toy street: the ones where most cross. 6 and 8 are withheld."""

THINGS = {"ball", "board", "bus", "car", "kite", "ring"}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Any]:
    """The street as one Blender renders it: once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "blender-street"
    folder.mkdir(exist_ok=True)
    facts = folder / "facts.json"
    with locked(folder / "lock", lambda line: None):
        if not facts.exists():
            blender = Blender("4.5", blender_python("4.5"), folder)
            width, height = SIZE
            told = {"folder": folder, "width": width, "height": height, "frames": FRAMES, "pace": 1}
            facts.write_text(json.dumps(blender.run("crossing.py", **told)))
    return {"plate": str(folder / "shot.####.exr"), **json.loads(facts.read_text())}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


def colour(path: Path) -> Any:
    """(3, H, W)."""
    planes = read_exr(path)
    return np.stack([planes[f"ViewLayer.Combined.{letter}"] for letter in "RGB"])


@pytest.mark.slow
def test_blenders_cryptomatte_names_the_objects_and_a_retime_takes_them(
    street: Dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with open_shot(street["plate"]) as shot:
        header, folder = shot.header(0), shot.path(0).parent
        (name,) = cryptomattes(header)
        assert set(street["things"]) == THINGS and set(manifest(header, name, folder)) > THINGS
    command = ["retime", street["plate"], "--speed", "0.5", "--range", "5-7", "--engine", "swift", "--device", "cpu"]
    ways = {"plain": [], "all": ["--regions", "crypto:"], "some": ["--regions", "crypto:=b*;?ar"]}
    for way, regions in ways.items():
        arguments = [*command[:2], str(tmp_path / way / "out.%04d.exr"), *command[2:], *regions]
        # As an artist runs it, once; the others in this process.
        done = kairos(*arguments) if way == "some" else kairos_here(capfd, *arguments)
        assert done.returncode == 0, done.stderr
        written = sorted(each.name for each in (tmp_path / way).glob("*.exr"))
        assert written == [f"out.{number:04d}.exr" for number in range(5, 10)]
    made = {way: colour(tmp_path / way / "out.0006.exr") for way in ways}
    assert not np.array_equal(made["plain"], made["all"]) and not np.array_equal(made["all"], made["some"])
    # A source frame is the render itself, with regions or without.
    first = colour(Path(street["plate"].replace("####", "0005")))
    assert all(np.array_equal(colour(tmp_path / way / "out.0005.exr"), first) for way in ways)
    nothing = str(tmp_path / "none.%04d.exr")
    refused = kairos_here(capfd, *command[:2], nothing, *command[2:], "--regions", "crypto:=tram")
    assert refused.returncode == 2 and "no object 'tram'" in refused.stderr


@pytest.mark.slow
def test_borders_of_objects_are_better_with_cryptomatte_than_without(street: Dict[str, Any]) -> None:
    found = compare(street["plate"], "crypto:", [("swift", ""), ("swift", "crypto:")], device="cpu")
    assert found.numbers == [6, 8]
    without, regions = found.rows
    within, whole = found.gain(regions)
    print(f"band {mean(without.band):.2f} dB without regions, {within:+.2f} dB with them; the whole {whole:+.2f} dB")
    # Half a decibel is what regions are for; at 640x360 they gain 2.
    assert within >= 0.5
    assert whole >= 0.5
