"""GIMM-VFI whatever its weights: strips of rows, half precision, and the graph that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kairos.engines.export import INPUTS, Between, to_onnx
from kairos.engines.gimm_vfi.architecture import ARCHITECTURE
from support.parity import same
from support.untrained import EXAMPLES


def _network() -> Any:
    torch.manual_seed(3)
    return ARCHITECTURE.build(EXAMPLES["gimm-vfi"]).eval().requires_grad_(False)


def _frames(height: int, width: int) -> Tensor:
    """(2, 1, 3, H, W), smooth."""
    torch.manual_seed(height)
    return torch.nn.functional.avg_pool2d(torch.rand(2, 3, height, width), 5, 1, 2)[:, None]


def test_what_is_seen_of_a_frame_serves_both_of_its_pairs() -> None:
    network = _network()
    first, second, third = (network.look(frame) for frame in torch.cat([_frames(128, 128), _frames(128, 128)[:1]]))
    shared = network.prepare(first, second), network.prepare(second, third)
    assert shared[0].one is shared[1].zero
    assert network.prepare(first, second, 0.5).one is not shared[0].one


def test_half_precision_stays_near_and_its_flows_are_float32() -> None:
    network, frames = _network(), _frames(128, 160)
    answers = []
    for dtype in (torch.float32, torch.bfloat16):
        network.to(dtype)
        answers.append(network.at(network.prepare(*map(network.look, frames)), 0.3))
    exact, half = answers
    assert half.image.dtype == half.flow_to_0.dtype == torch.float32
    assert (half.image - exact.image).abs().mean() < 0.02
    assert (half.flow_to_0 - exact.flow_to_0).abs().mean() < 0.2


@pytest.mark.slow
def test_onnx_agrees_at_a_size_that_was_not_recorded(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the exporter of torch needs the package onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    network = _network()
    to_onnx(network, tmp_path / "network.onnx")
    assert not any(part.training for part in network.modules())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", options, ["CPUExecutionProvider"])
    frames, time = _frames(134, 170).reshape(1, 6, 134, 170), torch.full((1, 1, 1, 1), 0.3)
    told = session.run(None, dict(zip(INPUTS, (frames.numpy(), time.numpy()))))
    for found, wanted in zip(told, Between(network)(frames, time)):
        same(torch.from_numpy(found), wanted, 1e-3)
