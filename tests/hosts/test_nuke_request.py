"""What a render of a Kairos node in Nuke comes to, and what is refused: by node, knob and frame."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Iterator

import pytest

from kairos_nodes.errors import BadRequest, Cancelled, KairosError
from kairos_nodes.nuke_import import import_retime
from kairos_nodes.timing import TimeMap
from support import nuke_session
from support.nuke_scripts import SCRIPTS
from support.nuke_session import kairos_group, made_up, plate_node, plugin, read_node


@pytest.fixture
def nuke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    yield from nuke_session.session(monkeypatch, tmp_path)


# What a request is.


@pytest.mark.parametrize("name", SCRIPTS)
def test_importing_a_nodes_text_gives_the_same_time_map(nuke: Any, name: str) -> None:
    group = made_up(nuke, 1021)
    script = SCRIPTS[name]
    plugin("panel").import_settings(group, script.text)
    read = group.input(0)
    read["first"].setValue(group["input_first"].value())
    read["last"].setValue(group["input_last"].value())
    request = plugin("request").request_of(group)
    expected = import_retime(script.text, source_range="1001-1021").time_map
    assert request.output == (script.start, script.start + len(expected) - 1)
    assert list(request.times) == pytest.approx(list(expected), abs=1e-9)


def test_what_an_import_leaves_out_is_told_and_what_it_cannot_take_changes_nothing(
    nuke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, panel = made_up(nuke), plugin("panel")
    nuke.GUI = True
    monkeypatch.setattr(panel, "_clipboard", lambda: SCRIPTS["Kronos, clipboard of 13"].text)
    panel.pressed_import(group)
    assert "motionEstimation, vectorDetailReg" in nuke.messages[0]
    before = {name: knob.toScript() for name, knob in group.knobs().items()}
    monkeypatch.setattr(panel, "_clipboard", lambda: "Kronos {\n timingOutputSpeed {{frame/2}}\n name K\n}")
    panel.pressed_import(group)
    assert "K: the knob timingOutputSpeed holds 'frame/2'" in nuke.messages[1]
    assert {name: knob.toScript() for name, knob in group.knobs().items()} == before


def test_a_retime_node_that_plays_from_another_frame_keeps_its_place(nuke: Any) -> None:
    group = made_up(nuke)
    text = "Retime {\n input.first 1001\n input.last 1005\n output.first 11\n output.first_lock true\n speed 0.5\n}"
    plugin("panel").import_settings(group, text)
    request = plugin("request").request_of(group)
    assert request.output == (11, 19)
    assert list(request.times) == list(import_retime(text).time_map)


def test_imported_settings_arrive_in_the_knobs(nuke: Any) -> None:
    group = made_up(nuke)
    text = (
        "Kronos {\n input.first 1002\n input.last 1004\n timingOutputSpeed 0.25\n shutterSamples 4\n shutterTime 0.5\n}"
    )
    plugin("panel").import_settings(group, text)
    job = plugin("request").request_of(group).job
    assert (job.speed, job.range, job.shutter, job.shutter_samples) == ("0.25", "1002-1004", 180.0, 4)


def test_the_cache_knows_a_changed_knob_and_a_changed_source_but_not_where_a_node_lies(nuke: Any) -> None:
    group = made_up(nuke)
    blur = nuke.nodes.Blur(name="Blur1", size=3)
    blur.setInput(0, group.input(0))
    group.setInput(0, blur)
    ask = plugin("request").request_of
    first = ask(group)
    blur.setXYpos(500, 500)
    group["kairos_result"].setValue("elsewhere")
    assert ask(group) == first
    group["timingOutputSpeed"].setValue(0.25)
    second = ask(group)
    assert second.result != first.result and second.plate == first.plate
    blur["size"].setValue(4)
    third = ask(group)
    assert third.plate != first.plate and third.result != second.result
    blur.input(0)["file"].setValue("other.%04d.exr")
    assert ask(group).plate != third.plate


def test_the_cache_knows_a_source_file_that_was_rendered_again(nuke: Any, tmp_path: Path) -> None:
    group = plate_node(nuke, tmp_path / "plate")
    before = plugin("request").request_of(group)
    file = Path(str(group.input(0)["file"].value()) % 1002)
    os.utime(file, (1, 1))
    assert plugin("request").request_of(group).plate != before.plate


def test_a_fingerprint_does_not_depend_on_where_the_cache_lies(nuke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    group = made_up(nuke)
    here = plugin("request").request_of(group)
    monkeypatch.setenv("KAIROS_CACHE", "/farm/cache")
    there = plugin("request").request_of(group)
    assert there.result != here.result and there.place.name == here.place.name


def test_a_node_below_another_is_told_apart_by_what_that_one_shows_not_by_where_it_lies(nuke: Any) -> None:
    above = made_up(nuke)
    above.setName("KairosAbove")
    below = kairos_group(above)
    ask = plugin("request").request_of
    not_rendered = ask(below).place.name
    above["kairos_result"].setValue("/cache/results/0123456789/result.%04d.exr")
    rendered = ask(below).place.name
    assert rendered != not_rendered
    above["kairos_result"].setValue("X:/mount/results/0123456789/result.%04d.exr")
    assert ask(below).place.name == rendered


def test_nukes_own_temporary_folder_is_the_cache_where_none_is_named(
    nuke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAIROS_CACHE")
    monkeypatch.setenv("NUKE_TEMP_DIR", "/var/tmp/nuke-u1000")
    assert plugin("request").request_of(made_up(nuke)).plate.startswith("/var/tmp/nuke-u1000/kairos/plates/")


def test_the_frame_rate_of_the_script_counts_exactly(nuke: Any) -> None:
    group = made_up(nuke, 1048)
    group["timing2"].setValue("Frame Rate")
    group["to_fps"].setValue("24")
    nuke.root()["fps"].setValue(23.976023976)
    request = plugin("request").request_of(group)
    assert (request.job.fps, request.times) == ("23.976", TimeMap.to_rate("24000/1001", "24", 1001, 1048))


def test_the_vectors_node_asks_for_vectors_of_every_source_frame(nuke: Any) -> None:
    group = kairos_group(read_node(nuke, "plate.%04d.exr", 1001, 1005), "MotionVectors")
    group.setInput(1, read_node(nuke, "roto.%04d.exr", 1001, 1005, "Roto"))
    request = plugin("request").request_of(group)
    assert (request.job.kind, request.job.vectors, request.job.masks) == ("vectors", "nuke", True)
    assert request.job.matte == request.matte and request.matte
    assert request.output == request.source == (1001, 1005)


def test_a_preview_needs_but_the_source_frames_around_it(nuke: Any) -> None:
    group = made_up(nuke, 1100)
    request = plugin("request").preview_of(group, 1050)
    # Half speed: output 1050 shows 1025.5, its neighbours 1025 and 1026; two frames more on each side.
    assert (request.source, request.output, request.job.range) == ((1023, 1028), (1050, 1050), "1023-1028")
    assert (request.job.frames, request.job.start) == ("1050", 1049)
    assert list(TimeMap.from_text(request.map, 1001, 1100)) == [1025, 1025.5, 1026]
    with pytest.raises(BadRequest, match="no output frame 5000; it has 1001-1199"):
        plugin("request").preview_of(group, 5000)


# What cannot be.


def test_what_cannot_be_is_said_in_the_artists_words(nuke: Any) -> None:
    ask = plugin("request").request_of
    with pytest.raises(BadRequest, match="KairosRetime1 has no Source"):
        ask(plugin("build").build(plugin("build").kairos_node("Retime")))
    group = made_up(nuke)
    for first, last, said in (
        (1001, 9, "Input last 9 lies before Input first 1001"),
        (990, 1005, "990-1005 goes beyond Plate, which has 1001-1005"),
        (1001, 1006, "1001-1006 goes beyond Plate"),
    ):
        group["input_first"].setValue(first)
        group["input_last"].setValue(last)
        with pytest.raises(BadRequest, match=f"KairosRetime1: .*{said}"):
            ask(group)
    plugin("panel").pressed_range(group)
    group["timingOutputSpeed"].fromScript("{curve x1001 0.5 x1005 1}")
    with pytest.raises(BadRequest, match=r"Speed is animated.*animate Frame"):
        ask(group)
    group["timingOutputSpeed"]._curve = None
    group["timingOutputSpeed"].setValue(0)
    nuke.GUI = True
    plugin("panel").pressed_render(group)
    assert "KairosRetime1: --speed: 0" in nuke.messages[0]


def test_a_still_may_be_asked_for_any_frames(nuke: Any) -> None:
    group = kairos_group(read_node(nuke, "still.exr", 1, 1))
    group["input_first"].setValue(1001)
    group["input_last"].setValue(1010)
    assert plugin("request").request_of(group).source == (1001, 1010)


def test_an_error_that_nobody_foresaw_is_a_message_too(nuke: Any, caplog: pytest.LogCaptureFixture) -> None:
    nuke.GUI = True
    plugin("panel").guarded(lambda: {}["gone"])
    assert nuke.messages == ["Kairos could not go on: 'gone'"]
    assert "KeyError" in caplog.text


def test_a_frame_that_nuke_cannot_write_is_named_with_its_node(nuke: Any, tmp_path: Path) -> None:
    group = plate_node(nuke, tmp_path / "plate")
    Path(str(group.input(0)["file"].value()) % 1002).unlink()
    with pytest.raises(KairosError, match=r"KairosRetime1: Nuke could not write frames 1001-1003 of Plate: .*1002"):
        plugin("render").render(group)


def test_a_write_that_is_cancelled_ends_quietly(nuke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = plate_node(nuke, tmp_path / "plate")

    def cancelled(*_: object) -> None:
        raise RuntimeError("Cancelled")

    monkeypatch.setattr(nuke, "execute", cancelled)
    with pytest.raises(Cancelled):
        plugin("render").render(group)
    nuke.GUI = True
    plugin("panel").pressed_render(group)
    assert nuke.messages == []


def test_a_cache_that_cannot_be_written_is_named(nuke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = plate_node(nuke, tmp_path / "plate")
    (tmp_path / "a file").touch()
    monkeypatch.setenv("KAIROS_CACHE", str(tmp_path / "a file"))
    with pytest.raises(KairosError, match=r"a file/.* cannot be made: .*KAIROS_CACHE"):
        plugin("render").render(group)


def test_only_frames_that_are_missing_are_written_and_never_at_proxy_size(nuke: Any, tmp_path: Path) -> None:
    group = plate_node(nuke, tmp_path / "plate")
    nuke.root()["proxy"].setValue(True)
    request = plugin("request").request_of(group)
    plugin("render").prepare(group, request)
    Path(request.plate % 1002).unlink()
    plugin("render").prepare(group, request)
    assert nuke.executed == [("PlateWrite", 1001, 1003, False), ("PlateWrite", 1002, 1002, False)]
    assert nuke.root()["proxy"].value() is True


def test_results_of_an_earlier_plate_go_when_the_plate_is_written_again(nuke: Any, tmp_path: Path) -> None:
    group = plate_node(nuke, tmp_path / "plate")
    request = plugin("request").request_of(group)
    plugin("render").prepare(group, request)
    request.place.mkdir(parents=True)
    (request.place / "result.1001.exr").touch()
    plugin("render").prepare(group, request)
    assert (request.place / "result.1001.exr").exists()
    shutil.rmtree(Path(request.plate).parent)
    plugin("render").prepare(group, request)
    assert not (request.place / "result.1001.exr").exists()


# Writes below, and farms.


def test_a_write_below_a_node_that_is_not_rendered_stops_with_its_name(nuke: Any) -> None:
    group = made_up(nuke)
    inside = nuke.nodes.Group(name="Group1")
    inside.setInput(0, group)
    write = nuke.nodes.Write(name="Write1")
    write.setInput(0, inside)
    check = plugin("farm").check_before_render
    with pytest.raises(RuntimeError, match=r"KairosRetime1 is not rendered\. Press Render on KairosRetime1"):
        check()
    request = plugin("request").request_of(group)
    plugin("render").show_result(group, request)
    with pytest.raises(RuntimeError, match="lacks frame 1001"):
        check()
    request.place.mkdir(parents=True)
    for frame in range(request.output[0], request.output[1] + 1):
        Path(request.result % frame).touch()
    check()
    group["timingOutputSpeed"].setValue(0.25)
    with pytest.raises(RuntimeError, match="not rendered for its settings"):
        check()
    group["timingOutputSpeed"].setValue(0.5)
    group["kairos_rendered"].setValue(False)
    with pytest.raises(RuntimeError, match="shows its source"):
        check()
    group["disable"].setValue(True)
    check()


def test_a_node_further_up_comes_first(nuke: Any) -> None:
    above = made_up(nuke)
    above.setName("KairosAbove")
    below = kairos_group(above)
    with pytest.raises(BadRequest, match=r"KairosRetime1: KairosAbove is not rendered\. Render that node first"):
        plugin("render").render(below)
    assert plugin("farm").in_order([below, above]) == [above, below]


def test_a_farm_is_told_which_nodes_a_script_has(nuke: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(nuke)
    assert plugin("farm").main(["shot.nk", "KairosOther"]) == BadRequest.exit_status
    assert "no Kairos node KairosOther. It has KairosRetime1." in capsys.readouterr().err
    assert nuke.saved == []
