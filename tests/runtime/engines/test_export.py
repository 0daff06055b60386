"""A network written as ONNX or TorchScript computes at any size what it computes here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Sequence, Tuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.architecture import Architecture
from kairos.engines.architectures import variant
from kairos.engines.export import FLOWS, BothWays, to_onnx, to_torchscript, whole
from kairos.engines.film import network as film_network
from kairos.engines.onnx.file import INPUTS, OUTPUTS, opened
from kairos.errors import KairosError
from support.parity import weight

SIZES = ((134, 200), (180, 141))
"""Not those that graphs are recorded with, and multiples of nothing."""

AGREES = 1e-3

NETWORKS: Mapping[str, Tuple[Architecture, Mapping[str, Any]]] = {
    name: variant(name)
    for name in ("ifrnet-s", "rife-4.6", "rife-4.25", "rife-paper-m", "amt-s", "ema-vfi-small", "film", "raft-small")
}


NARROW = (8, 16, 32, 64), (8, 8, 16, 32)
"""Widths of FILM's features and predictors in place of its own: an eighth of the network, otherwise the same."""

RULES: Sequence[Any] = (
    (r"^predict_flow\._predictors\.\d\._convs\.4\.0\.weight$", None, "conv", 2.0),
    (r"^predict_flow\._predictor\._convs\.4\.0\.weight$", None, "conv", 1.0),
    (r"flow_head\.conv2\.weight$", None, "conv", 0.1),
    (r"\.bias$", None, "affine", 0.0, 0.05),
    (r"norm\d?\.weight$", 1, "affine", 1.0, 0.1),
    (r"\.convc1\.weight$", None, "conv", 0.2),
    (r"_head\.2\.weight$|^comb_block\.2\.weight$", None, "conv", 0.1),
    (r"\.beta$", None, "affine", 0.5, 0.1),
    (r"\.weight$", 1, "affine", 0.25, 0.05),
    (r"lastconv.*\.weight$|^decoder1\.convblock\.2\.weight$", None, "deconv", 0.35),
    (r"^decoder\d\.convblock\.2\.weight$|^unet\.up\d\.0\.weight$|cnn3\.weight$", None, "deconv", 1.0),
    (r"^unet\.conv\.weight$", None, "conv", 0.3),
    (r"\.weight$", None, "conv", 1.35),
)
"""Weights with which flows are some pixels long (of the recipes in the shared parity data)."""


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of RAFT: what is recorded of one is recorded of all."""
    monkeypatch.setattr(BothWays, "rounds", 3)


def _network(name: str) -> Any:
    architecture, values = NETWORKS[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(film_network, "_FEATURES", NARROW[0])
        patch.setattr(film_network, "_FLOW", NARROW[1])
        network = architecture.build(values).eval().requires_grad_(False)
    weights = {key: weight(key, tensor.shape, RULES) for key, tensor in network.state_dict().items()}
    network.load_state_dict(weights)
    return network


def _frames(height: int, width: int) -> Tensor:
    coarse = torch.rand(1, 6, height // 8 + 2, width // 8 + 2, generator=torch.Generator().manual_seed(height))
    return F.interpolate(coarse, (height, width), mode="bicubic")


def _expected(network: Any, frames: Tensor, time: float) -> List[Tensor]:
    way = whole(network)
    found: List[Tensor] = list(way(*(frames, torch.full((1, 1, 1, 1), time))[: len(way.inputs)]))
    assert 1 < found[1].abs().max() < 50, "the network finds no motion: nothing is compared"
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_agrees_at_sizes_that_were_not_recorded(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the exporter of torch needs the package onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    network = _network(name)
    to_onnx(network, tmp_path / "network.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = opened(tmp_path / "network.onnx", options, ["CPUExecutionProvider"])
    inputs = [each.name for each in session.get_inputs()]
    assert inputs == (["frames"] if name == "raft-small" else list(INPUTS))
    for (height, width), time in zip(SIZES, (0.3, 0.5)):
        frames = _frames(height, width)
        given = {"frames": frames.numpy(), "time": torch.full((1, 1, 1, 1), time).numpy()}
        told = session.run(None, {each: given[each] for each in inputs})
        expected = _expected(network, frames, time)
        outputs = FLOWS if name == "raft-small" else tuple(OUTPUTS)[: len(expected)]
        assert tuple(each.name for each in session.get_outputs()) == outputs
        for found, wanted in zip(told, expected):
            assert found.shape == wanted.shape
            assert (torch.from_numpy(found) - wanted).abs().max() <= AGREES


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("rife-4.25", "rife-paper-m")])
def test_torchscript_agrees_and_remembers_no_device(name: str, tmp_path: Path) -> None:
    network = _network(name)
    to_torchscript(network, tmp_path / "network.pt")
    recorded = torch.jit.load(tmp_path / "network.pt")
    assert "Device = prim::Constant" not in str(recorded.inlined_graph)
    # For older readers: nothing but the standard operators, and weights in the plain order of memory.
    assert {node.kind().partition("::")[0] for node in recorded.inlined_graph.nodes()} == {"aten", "prim"}
    assert all(tensor.is_contiguous() for tensor in recorded.parameters())
    for (height, width), time in zip(SIZES, (0.3, 0.5)):
        frames = _frames(height, width)
        planes = torch.cat([frames, torch.full((1, 1, height, width), time)], 1)
        told = recorded(planes[:, :6] if name == "raft-small" else planes)
        expected = _expected(network, frames, time)
        if len(expected) == len(OUTPUTS) - 1:
            expected.append(torch.full_like(expected[0][:, :1], 0.5))
        wanted = torch.cat(expected, 1)
        assert told.shape == wanted.shape
        assert (told - wanted).abs().max() <= AGREES


def test_a_file_that_cannot_be_written_is_told_in_a_line_and_leaves_nothing(tmp_path: Path) -> None:
    taken = tmp_path / "network.pt"
    taken.mkdir()
    (taken / "something").touch()
    with pytest.raises(KairosError, match=r"network\.pt cannot be written"):
        to_torchscript(_network("ifrnet-s"), taken)
    assert [each.name for each in tmp_path.iterdir()] == ["network.pt"]
