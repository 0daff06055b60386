"""The artist's words about regions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kairos_nodes.errors import BadRequest
from kairos_nodes.regions import RegionChoice, RegionSource, from_here, parse_region_rules, parse_regions, split_place


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", RegionSource("auto")),
        ("objectId", RegionSource("layers", "objectId")),
        ("ids:roto/a.####.exr:hero", RegionSource("layers", "roto/a.####.exr:hero", "ids")),
        ("mattes:A", RegionSource("layers", "A", "mattes")),
        ('tags:"Dog. person. dog"', RegionSource("tags", tags=("dog", "person"))),
        ("crypto:", RegionSource("crypto")),
        ("crypto:Asset=hero, hair;car*", RegionSource("crypto", "Asset", objects=(("hero", "hair"), ("car*",)))),
        ("crypto:c.####.exr:Asset=a", RegionSource("crypto", "c.####.exr:Asset", objects=(("a",),))),
    ],
)
def test_regions_say_where_objects_come_from(text: str, expected: RegionSource) -> None:
    assert parse_regions(text) == expected


@pytest.mark.parametrize("text", ["tags:", "tags: . ", "crypto:Asset=", "crypto:Asset=a;b,a", "ids:", "  "])
def test_regions_that_name_nothing_are_refused(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_regions(text)
    assert refused.value.remedy


def test_rules_say_what_is_done_with_each_object() -> None:
    assert parse_region_rules("hero=front, /root/car=hold+back,3=-7,rest=retime") == {
        "hero": RegionChoice(order=1),
        "/root/car": RegionChoice(hold=True, order=-1),
        "3": RegionChoice(order=-7),
        "rest": RegionChoice(),
    }


@pytest.mark.parametrize("text", ["hero", "=hold", "hero=fly", "hero=1001", "hero=hold,hero=front", "hero="])
def test_rules_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="--region-rules"):
        parse_region_rules(text)


def test_a_drives_letter_is_part_of_the_file() -> None:
    assert split_place("C:/shots/ids.####.exr") == ("C:/shots/ids.####.exr", "")
    assert split_place("C:\\shots\\ids.####.exr:hero") == ("C:\\shots\\ids.####.exr", "hero")


def test_files_are_seen_from_the_hosts_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = os.path.abspath("ids.####.exr")  # noqa: PTH100 - a pattern is no plain path
    assert from_here("mattes:ids.####.exr:hero") == f"mattes:{place}:hero"
    assert from_here("crypto:Asset=a/b") == "crypto:Asset=a/b"
    assert from_here("objectId") == "objectId"


def test_none_says_that_all_is_one() -> None:
    assert parse_regions(" none ") == RegionSource("none") and from_here("none") == "none"
    assert parse_regions("ids:none") == RegionSource("layers", "none", "ids"), "a layer of that name is still to be had"
