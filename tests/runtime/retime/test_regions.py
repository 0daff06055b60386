"""Objects that the artist names reach the engine: from ID layers, mattes and Cryptomatte, under one number each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kairos.bench.texture import grid
from kairos.color import ColorConfig
from kairos.demo.cryptomatte import id_value, metadata
from kairos.errors import BadRequest, FrameError, KairosError
from kairos.frame import Frame, Part, Window
from kairos.images import open_shot, write_image
from kairos.motion.region_choice import RegionRule
from kairos.retime.footage import Footage, Reduced
from kairos.retime.hints import open_hints
from kairos.retime.layout import read_layout
from kairos.retime.plate import Plate
from kairos_nodes.cache import CACHE_VARIABLE
from kairos_nodes.jobs import RetimeJob
from support import made
from support.exr import Planes, read_exr, write_exr
from support.jobs import kairos, kairos_here, retime
from support.layered import layered

Labels = NDArray[np.int16]
SIZE = (24, 40)
FRAMES = 3


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    yield


class Opened:
    """A plate with its hints, as a job opens it."""

    def __init__(self, spec: str, regions: str, proxy: int = 1, **fields: Any) -> None:
        config = ColorConfig.load()
        whole = open_shot(spec, config=config)
        shot: Footage = whole if proxy == 1 else Reduced(whole, proxy)
        layout = read_layout(shot, "", "all")
        job = RetimeJob(spec, "out.%04d.exr", speed="0.5", regions=regions, proxy=str(proxy), **fields)
        hints = open_hints(job, shot, layout, config)
        self.plate = Plate(shot, layout, torch.device("cpu"), config, True, 1.0, hints)
        self.view = self.plate.view(layout.views[0])

    def __getitem__(self, position: int) -> Labels:
        labels = self.view.regions(position)
        assert labels is not None and labels.dtype is torch.int16 and tuple(labels.shape) == self.view.size
        return labels.numpy()

    @property
    def rules(self) -> Dict[int, RegionRule]:
        return dict(self.view.region_rules())


def shapes(position: int) -> Labels:
    """Two boxes that move, labels 1 and 2."""
    labels = np.zeros(SIZE, np.int16)
    labels[4:14, 3 + 2 * position : 15 + 2 * position] = 1
    labels[8:20, 24 - position : 32 - position] = 2
    return labels


def plate(folder: Path, extra: Any = None, attributes: Any = None) -> str:
    """A small plate; ``extra(position)`` gives more channels, all of them float."""
    x, _ = grid(*SIZE)
    for position in range(FRAMES):
        colour = {name: (0.2 + 0.01 * (x + position)).astype(np.float32) for name in "RGB"}
        channels = {**colour, **(extra(position) if extra else {})}
        write_exr(folder / f"plate.{1001 + position}.exr", channels, "float", attributes=attributes)
    return str(folder / "plate.%04d.exr")


def beside(folder: Path, channels: Any, first: int = 1001, count: int = FRAMES) -> str:
    for position in range(count):
        write_exr(folder / f"ids.{first + position}.exr", channels(position), "float")
    return str(folder / "ids.%04d.exr")


def ids(values: Dict[int, float]) -> Any:
    """An ID layer of the shapes, with other values for the labels."""
    table = np.array([values.get(label, 0) for label in range(3)], np.float32)
    return lambda position: {"objectId.id": table[shapes(position)]}


def test_whole_numbers_of_an_id_layer_are_the_objects_numbers(tmp_path: Path) -> None:
    opened = Opened(plate(tmp_path, ids({1: 7, 2: 250})), "objectId")
    for position in range(FRAMES):
        assert np.array_equal(opened[position], np.array([0, 7, 250], np.int16)[shapes(position)])


def test_any_floats_are_ids_and_an_object_keeps_its_number_when_others_are_missing(tmp_path: Path) -> None:
    def only_one_in_front(position: int) -> Dict[str, Planes]:
        values = {1: 0.125, 2: -3.7} if position else {1: 0.125}
        return ids(values)(position)

    opened = Opened(plate(tmp_path, only_one_in_front), "objectId.id", region_rules="0.125=hold")
    assert np.array_equal(opened[0], np.where(shapes(0) == 1, 2, 0)), "numbered in the order of the shot's values"
    assert np.array_equal(opened[1], np.array([0, 2, 1], np.int16)[shapes(1)])
    assert opened.rules == {2: RegionRule(hold=True)}


def test_integer_ids_too_large_for_a_number_are_told_apart_exactly(tmp_path: Path) -> None:
    # Both round to the same float32.
    values = np.array([0, 4_000_000_001, 4_000_000_002], np.uint32)
    for position in range(FRAMES):
        bits = values[shapes(position)].view(np.float32)[None]
        part = Part(("ids.id",), bits, Window(0, 0, SIZE[1], SIZE[0]), ("uint",))
        write_image(tmp_path / f"ids.{1001 + position}.exr", Frame(1001 + position, part.window, (part,)))
    opened = Opened(plate(tmp_path / "plate"), str(tmp_path / "ids.####.exr"))
    assert np.array_equal(opened[2], shapes(2))


def test_filtered_edges_of_ids_take_the_nearest_whole_number(tmp_path: Path) -> None:
    def filtered(position: int) -> Dict[str, Planes]:
        plane = ids({1: 3, 2: 9})(position)["objectId.id"]
        plane[4, 3 + 2 * position] = 1.37
        return {"objectId.id": plane}

    opened = Opened(plate(tmp_path, filtered), "objectId")
    assert set(np.unique(opened[0])) == {0, 3, 9}


def test_each_channel_of_a_matte_layer_is_an_object_and_overlaps_go_to_the_smaller(tmp_path: Path) -> None:
    def mattes(position: int) -> Dict[str, Planes]:
        labels = shapes(position)
        small = (labels == 2).astype(np.float32)
        return {"roto.hero": ((labels == 1) | (labels == 2)).astype(np.float32), "roto.sign": small * 0.75}

    opened = Opened(plate(tmp_path, mattes), "roto", region_rules="sign=front,hero=hold+back")
    assert np.array_equal(opened[1], shapes(1))
    assert opened.rules == {1: RegionRule(hold=True, order=-1), 2: RegionRule(order=1)}


def test_a_sequence_beside_the_plate_is_matched_by_frame_number(tmp_path: Path) -> None:
    spec = beside(tmp_path / "ids", lambda position: ids({1: 1, 2: 2})(position - 2), first=999, count=FRAMES + 2)
    opened = Opened(plate(tmp_path), f"{spec}:objectId")
    assert all(np.array_equal(opened[position], shapes(position)) for position in range(FRAMES))


def test_engines_are_told_that_what_moves_apart_was_found_and_layers_were_given(tmp_path: Path) -> None:
    spec = plate(tmp_path, ids({1: 1, 2: 2}))
    assert Opened(spec, "auto").view.regions_found()
    assert not Opened(spec, "objectId").view.regions_found()
    assert not Opened(spec, "").view.regions_found()


def test_regions_of_another_size_and_of_a_proxy_are_picked_never_mixed(tmp_path: Path) -> None:
    spec = beside(tmp_path / "ids", lambda position: {"id": np.kron(shapes(position) * 5, np.ones((2, 2), np.float32))})
    small = plate(tmp_path)
    assert np.array_equal(Opened(small, spec)[1], shapes(1) * 5)
    # Pixel (1, 1) of every block of two by two.
    assert np.array_equal(Opened(small, spec, proxy=2)[1], (shapes(1) * 5)[1::2, 1::2])
    # A name that says nothing: the plate's own reduction would average it.
    named = plate(tmp_path / "named", lambda position: {"data.v": shapes(position) * np.float32(5)})
    assert set(np.unique(Opened(named, "ids:data.v", proxy=2)[1])) == {0, 5, 10}


def test_a_matte_beside_the_plate_fits_its_proxy(tmp_path: Path) -> None:
    spec = beside(tmp_path / "ids", lambda position: {"A": (shapes(position) > 0).astype(np.float32)})
    matte = Opened(plate(tmp_path), "", proxy=2, matte=spec).view.matte(1)
    assert matte is not None
    assert np.array_equal(matte[0].numpy() == 1, (shapes(1) > 0).reshape(12, 2, 20, 2).all((1, 3)))


@pytest.mark.parametrize(("names", "second"), [("crypto:CryptoObject=ball;card", "card"), ("crypto:=b*;c?rd", "c?rd")])
def test_cryptomatte_names_choose_objects_in_the_artists_order(names: str, second: str, tmp_path: Path) -> None:
    clip = layered(tmp_path, frames=2)
    opened = Opened(clip.pattern, names, region_rules=f"{second}=2")
    truth = clip.truth(1)["Z"]
    for number, depth in ((1, 3.0), (2, 6.0)):
        wrong = (opened[1] == number) != (truth == depth)
        assert wrong.sum() < 10, "but for single pixels that show all three"
    assert opened.rules == {2: RegionRule(order=2)}


def test_cryptomatte_names_by_comma_are_one_object(tmp_path: Path) -> None:
    clip = layered(tmp_path, frames=2)
    both = Opened(clip.pattern, "crypto:CryptoObject=ball,card")[1]
    apart = Opened(clip.pattern, "crypto:CryptoObject=ball;card")[1]
    # Where ball and card share a pixel with the ground, together they may cover more of it than the ground.
    assert np.array_equal(np.unique(both), [0, 1]) and (both >= (apart > 0)).all()
    assert set(np.unique(Opened(clip.pattern, "crypto:")[1])) == {1, 2, 3}, "every name is an object"


def test_a_cryptomatte_without_a_manifest_goes_by_hashes_and_one_beside_it_is_read(tmp_path: Path) -> None:
    def ranks(position: int) -> Dict[str, Planes]:
        table = np.array([0, id_value("hero"), id_value("sign")], np.float32)[shapes(position)]
        planes = dict.fromkeys(("c00.B", "c00.A"), np.zeros(SIZE, np.float32))
        return {"c00.R": table, "c00.G": (table != 0).astype(np.float32), **planes}

    attributes = {key: value.value for key, value in metadata("c", ("hero", "sign")).items()}
    key = next(key for key in attributes if key.endswith("manifest"))
    manifest = attributes.pop(key)
    opened = Opened(plate(tmp_path / "bare", ranks, attributes), "crypto:c=sign;hero")
    assert np.array_equal(opened[1], np.array([0, 2, 1], np.int16)[shapes(1)])

    attributes[key.replace("manifest", "manif_file")] = "names.json"
    spec = plate(tmp_path / "file", ranks, attributes)
    (tmp_path / "file" / "names.json").write_text(str(manifest))
    with pytest.raises(BadRequest, match=r"no object 'her'.*hero"):
        Opened(spec, "crypto:c=her")
    assert np.array_equal(Opened(spec, "crypto:c")[1] > 0, shapes(1) > 0)


@pytest.mark.parametrize(
    ("regions", "rules", "said"),
    [
        ("objectid", "", r"no such layer.*objectId"),
        ("nowhere/ids.####.exr", "", r"nowhere"),
        ("crypto:Nobody=a", "", r"no such Cryptomatte"),
        ("crypto:", "", r"no single Cryptomatte"),
        ("objectId", "12=hold", r"no object '12'.*1, 2"),
        ("", "hero=hold", r"no objects.*--regions"),
        ("auto", "hero=hold", r"numbers"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(regions: str, rules: str, said: str, tmp_path: Path) -> None:
    spec = plate(tmp_path, ids({1: 1, 2: 2}))
    with pytest.raises(KairosError, match=said) as refused:
        Opened(spec, regions, region_rules=rules)
    assert refused.value.remedy and "\n" not in str(refused.value)


def test_a_shot_is_told_apart_by_a_matte_or_by_regions(tmp_path: Path) -> None:
    spec = plate(tmp_path, ids({1: 1, 2: 2}))
    with pytest.raises(BadRequest, match=r"--matte or by --regions"):
        Opened(spec, "objectId", matte="objectId")


def test_an_engine_that_keeps_no_objects_apart_says_which_do(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=2, size=SIZE)
    spec = beside(tmp_path / "ids", ids({1: 1}))
    with pytest.raises(
        BadRequest, match=r"siren cannot keep objects apart: --regions is for classic, swift and hierarchical"
    ):
        retime(clip, tmp_path / "out", speed=0.5, regions=spec, engine="siren")


def test_missing_frames_and_another_format_are_refused(tmp_path: Path) -> None:
    spec, plane = plate(tmp_path), ids({1: 1})
    short = beside(tmp_path / "short", plane, count=2)
    with pytest.raises(FrameError, match=r"1001-1002.*1001-1003"):
        Opened(spec, short)
    gap = beside(tmp_path / "gap", plane)
    (tmp_path / "gap" / "ids.1002.exr").unlink()
    with pytest.raises(FrameError, match=r"lack frame 1002"):
        Opened(spec, gap)
    wide = beside(tmp_path / "wide", lambda position: {"id": np.ones((24, 60), np.float32)})
    with pytest.raises(FrameError, match=r"60x24.*40x24"):
        Opened(spec, wide)


def test_a_filtered_picture_is_no_id_layer(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).random((40, 60)).astype(np.float32) * 9
    for position in range(FRAMES):
        write_exr(tmp_path / f"plate.{1001 + position}.exr", {**dict.fromkeys("RGB", noise), "n.id": noise}, "float")
    with pytest.raises(BadRequest, match=r"different IDs.*mattes:"):
        Opened(str(tmp_path / "plate.%04d.exr"), "n")


def test_frames_are_made_anew_when_their_regions_change(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=3, size=SIZE)
    folder = tmp_path / "ids"
    spec = beside(folder, ids({1: 1, 2: 2}))
    job: Dict[str, Any] = {"speed": 0.5, "regions": spec, "region_rules": "2=front"}
    assert len(retime(clip, tmp_path / "out", **job).outcome.rendered) == 5
    assert len(retime(clip, tmp_path / "out", **job).outcome.skipped) == 5
    with pytest.raises(BadRequest, match="other settings"):
        retime(clip, tmp_path / "out", **{**job, "region_rules": "2=back"})
    beside(folder, ids({1: 2, 2: 1}))
    with pytest.raises(BadRequest, match="other settings"):
        retime(clip, tmp_path / "out", **job)


def test_regions_written_are_read_again_bit_for_bit_with_their_names(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = layered(tmp_path, frames=2)
    first = Opened(clip.pattern, "crypto:CryptoObject=card;ball")
    out = tmp_path / "ids" / "ids.####.exr"
    ran = kairos("regions", clip.pattern, "--regions", "crypto:CryptoObject=card;ball", "--out", str(out))
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "ids" / "ids.png").stat().st_size > 1000
    assert "card" in ran.stdout
    again = Opened(clip.pattern, str(out), region_rules="ball=front")
    assert all(np.array_equal(first[position], again[position]) for position in range(2))
    assert again.rules == {2: RegionRule(order=1)}
    written = read_exr(tmp_path / "ids" / f"ids.{made.FIRST}.exr")
    assert np.array_equal(written["regions.id"], first[0])
    refused = kairos_here(capfd, "regions", clip.pattern, "--regions", "crypto:", "--out", str(out))
    assert refused.returncode != 0 and "--overwrite" in refused.stderr


def test_a_shot_is_read_through_for_its_ids_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = plate(tmp_path, ids({1: 0.25, 2: 0.75}))
    expected = Opened(spec, "objectId")[2]
    kept = list((tmp_path / "cache" / "regions").rglob("*.npz"))
    assert len(kept) == 1 and not list((tmp_path / "cache").rglob(".regions~*"))
    monkeypatch.setattr("kairos.retime.region_sheets.np.unique", None)
    assert np.array_equal(Opened(spec, "objectId")[2], expected)
    monkeypatch.undo()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    kept[0].write_bytes(b"torn")
    assert np.array_equal(Opened(spec, "objectId")[2], expected), "a damaged file is as good as none"


def test_names_of_a_written_label_map_are_json(tmp_path: Path) -> None:
    names = json.dumps({"2": "sign", "1": "hero"})
    spec = plate(tmp_path, ids({1: 1, 2: 2}), {"kairos:regions": names})
    assert Opened(spec, "objectId", region_rules="sign=hold").rules == {2: RegionRule(hold=True)}
