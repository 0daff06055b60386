"""The TimeStretcher script on a stand-in of a Fusion composition, and the text of Fusion setups."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import pytest

from kairos_nodes.errors import BadRequest
from kairos_nodes.fusion_text import Clip, Tagged, blur_tools, composition_text, lua, setting_text
from support import lua as reading
from support import made
from support.exr import read_exr
from support.fusion import Flow, Operator, Socket
from support.resolve import PoolItem, Studio, own_kairos

FIRST = 1001
NUMBERS = range(FIRST, FIRST + 8)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runtime of this checkout's own, and nothing of the user's."""
    with own_kairos(tmp_path_factory.mktemp("fusion")) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAIROS_SETTINGS", json.dumps({"engine": "classic", "device": "cpu"}))
        yield folder


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> made.Clip:
    """A disc that moves 6 px right a frame, frames 1001 to 1008."""
    return made.moving_disc(tmp_path_factory.mktemp("plate"), frames=8)


def stretched(plate: made.Clip, curve: Any, first: int = 10, last: int = 16) -> tuple[Flow, Operator, Socket]:
    """Loader (composition time 8 is file 1001, 2 frames trimmed) > TimeStretcher > something that takes it."""
    flow = Flow(first, last)
    attrs = {
        "TOOLST_Clip_Name": {1.0: str(plate.files[0])},
        "TOOLNT_Clip_Start": {1.0: 10.0},
        "TOOLIT_Clip_TrimIn": {1.0: 2},
        "TOOLIT_Clip_Length": {1.0: 8},
    }
    loader = Operator("Loader", "Loader1", **attrs)
    tool = Operator("TimeStretcher", "TimeStretcher1", (3.0, 2.0))
    tool.Input.ConnectTo(loader.Output)
    spline = Operator("BezierSpline", "TimeStretcher1SourceTime")
    spline.keys = {10.0: {1: 10.0}, 16.0: {1: 13.0}}
    tool.SourceTime.ConnectTo(spline.Output)
    tool.inputs["SourceTime"] = curve
    taker = Socket()
    taker.ConnectTo(tool.Output)
    flow.ActiveTool = tool
    return flow, tool, taker


def run(flow: Flow, resolve: Optional[Any] = None) -> bool:
    from kairos_resolve.main import run as start

    return start("time_stretcher", {"comp": flow, "tool": flow.ActiveTool, "resolve": resolve})


def centre(path: Path) -> float:
    """Where the disc is, in source frames after the plate's first."""
    return made.centroid(read_exr(path)["R"], 1.0)[0]


def test_a_curve_becomes_a_loader_at_the_tools_place(
    runtime: Path, plate: made.Clip, capsys: pytest.CaptureFixture[str]
) -> None:
    # Ease in: what Fusion's spline gives, frame by frame; 11.5 at its middle.
    curve: Callable[[float], float] = lambda time: 10 + 3 * ((time - 10) / 6) ** 2  # noqa: E731
    flow, tool, taker = stretched(plate, curve)
    assert run(flow)
    (loader,) = flow.tools
    assert loader.place == (3.0, 2.0) and tool.place == (3.0, 1.0)
    assert taker.source is loader.Output and tool.Output.takers == []
    assert (loader.inputs["GlobalIn"], loader.inputs["GlobalOut"]) == (10, 16)
    assert flow.locked == 0 and flow.undo == ["Kairos"]
    first = Path(loader.inputs["Clip"])
    assert first.name.endswith("_kairos.0000.exr")
    files = sorted(first.parent.glob("*.exr"))
    assert len(files) == 7
    assert plate.centre is not None
    for index, file in enumerate(files):
        # Composition time 10 is file 1003, the plate's third frame.
        time = curve(10 + index) - 10 + 2
        assert centre(file) == pytest.approx(plate.centre(time)[0], abs=0.25)
    assert "2 keys" in capsys.readouterr().out


def test_a_media_in_takes_its_frames_from_the_clip_at_the_playhead(runtime: Path, plate: made.Clip) -> None:
    flow, tool, _ = stretched(plate, lambda time: time / 2, 0, 4)
    media_in = Operator("MediaIn", "MediaIn1")
    tool.Input.ConnectTo(media_in.Output)
    name = plate.files[0].name.replace("1001", "[1001-1008]")
    path = str(plate.files[0].with_name(name))
    media_in.data["MediaProps.MEDIA_PATH"] = path
    studio = Studio(PoolItem(path, "24", 8, FIRST), "24", 86400, 5, 3)
    assert run(flow, studio.resolve)
    files = sorted(Path(flow.tools[0].inputs["Clip"]).parent.glob("*.exr"))
    assert plate.centre is not None
    found = [centre(file) for file in files]
    assert found == pytest.approx([plate.centre(3 + index / 2)[0] for index in range(5)], abs=0.25)


def test_a_movies_name_may_end_with_a_number(runtime: Path, plate: made.Clip) -> None:
    from kairos_resolve.time_stretcher import source_of

    flow, tool, _ = stretched(plate, 1.0)
    loader = tool.Input.GetConnectedOutput().GetTool()  # type: ignore[union-attr]
    loader.attrs.update(TOOLST_Clip_Name={1.0: "Plates:take25.mov"}, TOOLIT_Clip_Length={1.0: 50})
    source = source_of(flow, tool, None)
    assert (source.media.path, source.media.first, source.media.count) == ("/plates/take25.mov", 0, 50)
    assert source.offset == 2 - 10


def test_what_cannot_be_rendered_is_told_and_changes_nothing(
    runtime: Path, plate: made.Clip, capsys: pytest.CaptureFixture[str]
) -> None:
    flow, tool, _ = stretched(plate, lambda time: math.nan)
    assert not run(flow)
    tool.inputs["SourceTime"] = 11.0
    tool.Input.GetConnectedOutput().GetTool().attrs["TOOLS_RegID"] = "Blur"  # type: ignore[union-attr]
    assert not run(flow)
    flow.ActiveTool = Operator("Blur", "Blur1")
    assert not run(flow)
    said = capsys.readouterr().out
    assert "Source Time has no number at every frame." in said
    assert "not fed by a Loader or MediaIn" in said
    assert "No TimeStretcher is selected." in said
    assert flow.tools == [] and tool.place == (3.0, 2.0)


def test_names_and_paths_survive_lua() -> None:
    odd = 'C:\\plates\\a "b"\n\ttab é'
    text = setting_text({"Tool": Tagged("Loader", {"end": odd, "not a name": True, "Clip1.X": [-1, 2.5]})})
    found = reading.parse(text)["Tools"]["Tool"]
    assert found == {"": "Loader", "end": odd, "not a name": True, "Clip1.X": [-1, 2.5]}


def test_the_parser_notices_what_is_not_balanced() -> None:
    whole = composition_text(blur_tools(Clip("/v.0000.exr", 0, 3), None), 3)
    reading.parse(whole)
    for broken in (whole[:-3], whole + "}", whole.replace("{", "", 1), whole.replace('"', "", 1)):
        with pytest.raises(ValueError):
            reading.parse(broken)


def test_luajit_takes_the_setups(tmp_path: Path) -> None:
    plate = Clip('/plates/"odd"\\name.mov', 0, 10, 0, 5)
    for text in (
        setting_text(blur_tools(Clip("/v.0000.exr", 0, 3), plate)),
        composition_text(blur_tools(Clip("/v.0000.exr", 0, 3), None), 3),
        lua({"empty": {}, "list": [], "nil": 1}),
    ):
        assert reading.compiles(text, tmp_path)


def test_an_empty_render_range_is_refused(runtime: Path, plate: made.Clip) -> None:
    from kairos_resolve.time_stretcher import source_times

    flow, tool, _ = stretched(plate, 1.0, 5, 4)
    with pytest.raises(BadRequest, match="render range is empty"):
        source_times(flow, tool)
