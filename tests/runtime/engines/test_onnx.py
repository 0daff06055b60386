"""The engine ``onnx:FILE``: networks that Kairos wrote, and those of others; and ``kairos engines export``."""

from __future__ import annotations

import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kairos.cli.app import run
from kairos.engines.base import EngineSettings, Pair
from kairos.engines.export import to_onnx, to_torchscript, whole
from kairos.engines.onnx.file import described, opened
from kairos.engines.published import Found, Padding
from kairos.engines.registry import engine
from kairos.engines.swift.graph import SwiftGraph
from kairos.engines.swift.loading import SHIPPED, load_network
from kairos.errors import BadRequest, EngineError
from kairos.motion.compose import compose
from kairos.motion.inbetween import Inbetween
from kairos.motion.warp import backward_warp
from kairos.vectors import run_vectors
from kairos_nodes.client.client import _as_seen_from_here
from kairos_nodes.jobs import RetimeJob, VectorsJob
from kairos_nodes.layers import Policy
from support.exr import read_exr
from support.jobs import frame_at, retime
from support.layered import layered
from support.scenes import MemoryShot, grid, plate, texture
from support.untrained import keep_untrained

onnx = pytest.importorskip("onnx", reason="the exporter of torch needs the package onnx")
onnxruntime = pytest.importorskip("onnxruntime")

AGREES = 1e-3


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Untrained weights, in a store of these tests' own."""
    root = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAIROS_WEIGHTS", str(root))
        keep_untrained(root, "ifrnet", name="small")
        yield root


@pytest.fixture(scope="module")
def ifrnet(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network as the command writes it, under a name with a space."""
    file = tmp_path_factory.mktemp("files") / "my network.onnx"
    assert run(["engines", "export", "ifrnet", "--onnx", str(file)]) == 0
    return file


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("files") / "swift.onnx"
    assert run(["engines", "export", "swift", "--onnx", str(file)]) == 0
    return file


@lru_cache(maxsize=1)
def session_of(file: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return opened(file, options, ["CPUExecutionProvider"])


def scene(height: int, width: int, count: int = 2) -> List[Tensor]:
    """A texture that drifts and waves, scene-linear."""
    x, y = grid(height, width)
    texture_at = texture(2)
    waves = [(7 * index * np.sin(y / 40) + 3.3 * index, 2.3 * index * np.cos(x / 50)) for index in range(count)]
    return [plate(texture_at(x - across, y - down)) for across, down in waves]


def ran(file: Path, frames: Tensor, time: float) -> List[Tensor]:
    session = session_of(file)
    given = {"frames": frames.numpy(), "time": np.full((1, 1, 1, 1), time, np.float32)}
    return [torch.from_numpy(each) for each in session.run(None, given)]


def answer_of(id: str, frames: List[Tensor], time: float = 0.5, **settings: Any) -> Inbetween:
    session = engine(id).open(MemoryShot(frames), EngineSettings(**settings), lambda event: None)
    return next(iter(session.at(Pair(0, 1), [time])))


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(134, 202), (190, 330), (70, 66)])
def test_swift_as_a_file_agrees_with_torch_and_is_the_engine_without_its_classical_prior(
    swift: Path, height: int, width: int
) -> None:
    frames, time = scene(height, width), 0.3
    first, second = (MemoryShot(frames).proxy(index) for index in (0, 1))
    graph = whole(SwiftGraph(load_network(SHIPPED, torch.device("cpu"))))
    planes = torch.cat([first, second])[None]
    with torch.no_grad():
        expected = graph(planes, torch.full((1, 1, 1, 1), time))
    assert expected[1].abs().max() > 2, "the network finds no motion: nothing is compared"
    for told, wanted in zip(ran(swift, planes, time), expected):
        assert (told - wanted).abs().max() <= AGREES
    own = answer_of("swift", frames, time, scale=1.0, options={"prior": "none"})
    assert own.residual is None, "these weights add nothing to the picture"
    picture = torch.lerp(backward_warp(second, own.flow_to_1), backward_warp(first, own.flow_to_0), own.blend)
    # 130 dB on multiples of 16; on other sizes the margins are part of the picture that is searched.
    error = (expected[0][0] - picture)[:, 8:-8, 8:-8].square().mean()
    assert float(-10 * torch.log10(error)) >= 45


def test_swift_as_torchscript_remembers_no_device(tmp_path: Path) -> None:
    network = SwiftGraph(load_network(SHIPPED, torch.device("cpu")))
    to_torchscript(network, tmp_path / "swift.pt")
    recorded = torch.jit.load(tmp_path / "swift.pt")
    assert "Device = prim::Constant" not in str(recorded.inlined_graph)
    first, second = (MemoryShot(scene(86, 114)).proxy(index) for index in (0, 1))
    planes = torch.cat([first, second, torch.full_like(first[:1], 0.3)])[None]
    with torch.no_grad():
        expected = torch.cat(whole(network)(planes[:, :6], planes[:, 6:, :1, :1]), 1)
    assert (recorded(planes) - expected).abs().max() <= AGREES


def test_a_file_answers_as_the_engine_that_it_was_written_from(ifrnet: Path) -> None:
    frames = scene(90, 123)
    own, told = answer_of("ifrnet", frames), answer_of(f"onnx:{ifrnet}", frames)
    for name in ("flow_to_0", "flow_to_1", "blend", "occlusion_0", "occlusion_1", "residual"):
        assert (getattr(own, name) - getattr(told, name)).abs().max() <= AGREES, name
    assert told.image is None
    card = engine(f"onnx:{ifrnet}").card
    assert card.weights_licence == "none" and card.commercial and "ifrnet small" in card.title


def test_a_file_retimes_a_clip_and_goes_on_where_it_was_under_another_name(ifrnet: Path, tmp_path: Path) -> None:
    clip = layered(tmp_path / "plate", frames=2)
    done = retime(clip, tmp_path / "out", between=1, engine=f"onnx:{ifrnet}", vectors="nuke", masks=True)
    middle, source = read_exr(done.file(frame_at(1))), read_exr(clip.files[0])
    assert {"forward.u", "backward.v", "occlusion.forward", "confidence.a"} <= middle.keys()
    assert all(np.isfinite(plane).all() for name, plane in middle.items() if not name.startswith("Crypto"))
    ours = read_exr(done.file(frame_at(0)))
    assert all(np.array_equal(plane.view(np.uint32), ours[name].view(np.uint32)) for name, plane in source.items())
    other = tmp_path / "other.onnx"
    other.write_bytes(ifrnet.read_bytes())
    again = retime(clip, tmp_path / "out", between=1, engine=f"onnx:{other}", vectors="nuke", masks=True)
    assert not again.outcome.rendered


def test_a_still_plate_is_bit_identical(ifrnet: Path) -> None:
    pixels = torch.exp2(torch.rand(3, 61, 97, generator=torch.Generator().manual_seed(3)) * 22 - 6)
    pixels[0, 5, 5], pixels[1, 6, 6] = 65504.0, -8.0
    still = compose(pixels, pixels.clone(), answer_of(f"onnx:{ifrnet}", [pixels, pixels.clone()]), Policy.BLEND)
    assert torch.equal(still.view(torch.int32), pixels.view(torch.int32))


def test_a_job_for_the_service_names_the_file_in_full(ifrnet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ifrnet.parent)
    job = RetimeJob(input="a.%04d.exr", output="b.%04d.exr", between=1, engine="onnx:my network.onnx")
    job.validate()
    assert _as_seen_from_here(job).engine == f"onnx:{ifrnet}"
    named = RetimeJob(input="a.%04d.exr", output="b.%04d.exr", between=1, engine="ifrnet", weights="small")
    assert _as_seen_from_here(named).weights == "small" and _as_seen_from_here(named).engine == "ifrnet"


class Foreign(nn.Module):
    """A network of another program: half of both frames, and motion by ``shift`` pixels."""

    any_time, scales = True, False

    def __init__(self, mask: bool = True, shift: float = 4.0) -> None:
        super().__init__()
        self.mask, self.padding, self.shift = mask, Padding(1), shift

    def look(self, frame: Tensor) -> Tensor:
        return frame

    def prepare(self, first: Tensor, second: Tensor, scale: float = 1.0) -> Tensor:
        return torch.cat([first, second], 1)

    def at(self, state: Tensor, time: Any) -> Found:
        image = (1 - time) * state[:, :3] + time * state[:, 3:]
        flow = torch.cat([state[:, :1] * 0 + self.shift, state[:, :1] * 0], 1)
        return Found(-time * flow, (1 - time) * flow, image + 3, state[:, :1] * 0 + 0.5 if self.mask else None)


@pytest.mark.parametrize(
    ("mask", "notes", "paints"),
    [(True, {}, False), (False, {}, True), (True, {"paints": "yes"}, True), (False, {"paints": "no"}, False)],
)
def test_a_picture_is_painted_where_the_file_says_so_or_has_no_mask(
    mask: bool, notes: Dict[str, str], paints: bool, tmp_path: Path
) -> None:
    to_onnx(Foreign(mask), tmp_path / "foreign.onnx", notes)
    id, frames = f"onnx:{tmp_path / 'foreign.onnx'}", scene(40, 56)
    answer = answer_of(id, frames, 0.25)
    assert engine(id).card.paints is paints is (answer.image is not None)
    assert answer.image is None or float(answer.image.min()) > 2, "pictures are not clamped"
    assert torch.allclose(answer.flow_to_0[0], torch.tensor(-1.0))


def test_a_licence_that_forbids_commercial_use_is_told(tmp_path: Path) -> None:
    notes = {"licence": "CC BY-NC 4.0", "non_commercial": "yes"}
    to_onnx(Foreign(), tmp_path / "foreign.onnx", notes)
    heard: List[Any] = []
    known = engine(f"onnx:{tmp_path / 'foreign.onnx'}")
    known.open(MemoryShot(scene(40, 56)), EngineSettings(), heard.append)
    assert not known.card.commercial and "CC BY-NC 4.0" in heard[0].data["message"] and heard[0].kind == "warning"


def test_a_file_that_changed_is_read_anew_and_is_another_engine(tmp_path: Path) -> None:
    file, frames = tmp_path / "foreign.onnx", scene(40, 56)
    to_onnx(Foreign(shift=4.0), file)
    before, hash_before = answer_of(f"onnx:{file}", frames), engine(f"onnx:{file}").weights_hash()
    to_onnx(Foreign(shift=8.0), file)
    after, hash_after = answer_of(f"onnx:{file}", frames), engine(f"onnx:{file}").weights_hash()
    assert hash_before != hash_after and len(hash_after) == 64
    assert torch.allclose(after.flow_to_0, 2 * before.flow_to_0)


def edited(file: Path, **changes: Any) -> Path:
    """A copy of a good file with its signature changed."""
    model = onnx.load(file)
    values = {each.name: each for each in (*model.graph.input, *model.graph.output)}
    for name, (new, shape) in changes.items():
        del values[name].type.tensor_type.shape.dim[:]
        for side in shape:
            values[name].type.tensor_type.shape.dim.add(**{"dim_value" if isinstance(side, int) else "dim_param": side})
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = [new if each == name else each for each in names]
        values[name].name = new
    path = file.with_name("edited.onnx")
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({"flow_to_1": ("flow", (1, 2, "h", "w"))}, "it has no output flow_to_1"),
        ({"frames": ("pictures", (1, 6, "h", "w"))}, "it has no input frames"),
        ({"frames": ("frames", (1, 3, "h", "w"))}, "its input frames has 3 channels and not 6"),
        ({"time": ("time", (1,))}, "its input time has 1 dimensions and not four"),
    ],
)
def test_another_signature_is_refused_with_what_is_missing(changes: Any, trouble: str, tmp_path: Path) -> None:
    to_onnx(Foreign(), tmp_path / "foreign.onnx")
    path = edited(tmp_path / "foreign.onnx", **changes)
    with pytest.raises(BadRequest, match=rf"edited\.onnx is no network that Kairos can use: {trouble}"):
        engine(f"onnx:{path}")


def test_a_file_of_one_size_is_refused_for_others_in_a_line(tmp_path: Path) -> None:
    to_onnx(Foreign(), tmp_path / "foreign.onnx")
    path = edited(tmp_path / "foreign.onnx", frames=("frames", (1, 6, 40, 56)))
    assert described(path).size == (40, 56)
    with pytest.raises(EngineError, match=r"edited\.onnx takes frames of 56x40 alone, not 57x40"):
        answer_of(f"onnx:{path}", scene(40, 57))
    assert answer_of(f"onnx:{path}", scene(40, 56)).flow_to_0.shape == (2, 40, 56)


@pytest.mark.parametrize("kept", [0, 100, 2000])
def test_damaged_and_missing_files_are_refused_in_a_line(kept: int, ifrnet: Path, tmp_path: Path) -> None:
    file = tmp_path / "damaged.onnx"
    file.write_bytes(ifrnet.read_bytes()[:kept])
    with pytest.raises(BadRequest, match=r"damaged\.onnx is (damaged|no network)") as caught:
        engine(f"onnx:{file}")
    assert "\n" not in str(caught.value)
    with pytest.raises(BadRequest, match=r"There is no file .*missing\.onnx"):
        engine(f"onnx:{tmp_path / 'missing.onnx'}")


def test_without_the_runtime_or_the_writer_it_is_told_what_to_install(
    ifrnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(ifrnet.read_bytes())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match="pip install onnxruntime"):
        engine(f"onnx:{copy}")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(EngineError, match="pip install onnx"):
        to_onnx(Foreign(), tmp_path / "never.onnx")
    assert not (tmp_path / "never.onnx").exists()


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [({"precision": "fp16"}, "--precision auto"), ({"scale": 0.5}, "--scale 1"), ({"tile": 128}, "--tile off")],
)
def test_what_a_file_cannot_do_is_refused(settings: Dict[str, Any], remedy: str, ifrnet: Path) -> None:
    with pytest.raises(BadRequest, match=remedy):
        answer_of(f"onnx:{ifrnet}", scene(40, 56), **settings)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rife", "--onnx", "a.onnx"], "no weights of rife yet. Run kairos weights fetch rife-4.6"),
        (["raft", "--onnx", "a.onnx"], "no weights of raft yet"),
        (["ifrnet", "--onnx", "a.onnx", "--weights", "large"], "ifrnet has no weights 'large'. It has small."),
        (["classic", "--onnx", "a.onnx"], "classic has no network to export. Choose one of: swift, film"),
        (["riffe", "--onnx", "a.onnx"], "There is no engine 'riffe'"),
        (["swift"], "Give --onnx FILE or --torchscript FILE."),
    ],
)
def test_what_cannot_be_exported_is_told_and_nothing_is_written(
    arguments: List[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["engines", "export", *arguments]) != 0
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1 and not list(tmp_path.iterdir())


def test_a_file_and_an_engine_are_shown_by_the_same_command(ifrnet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for id in (f"onnx:{ifrnet}", "classic"):
        assert run(["engines", id, "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert row["id"] == id and row["why_not"] == ""


def test_vectors_are_written_by_a_file_too(ifrnet: Path, tmp_path: Path) -> None:
    clip = layered(tmp_path / "plate", frames=2)
    output = str(tmp_path / "out.%04d.exr")
    run_vectors(
        VectorsJob(input=clip.pattern, output=output, engine=f"onnx:{ifrnet}", device="cpu"), lambda event: None
    )
    assert {"forward.u", "backward.v"} <= read_exr(Path(output % frame_at(0))).keys()
