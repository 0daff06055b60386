"""A network as one file for other programs: ONNX, and TorchScript.

Both hold the whole way from two frames to the in-between, with the margins that the network needs put on and taken off
inside, so any size will do that is not small. Frames are encoded as engines see them (about 0..1, not clamped).

ONNX (opset 17, for onnxruntime and TensorRT):

======  =============  =============================================================================
input   ``frames``     (1, 6, H, W) float32: frame 0 red, green, blue, then frame 1
input   ``time``       (1, 1, 1, 1) float32, strictly between 0 and 1
output  ``image``      (1, 3, H, W)
output  ``flow_to_0``  (1, 2, H, W) pixels, x right, y down, from the in-between's pixel to frame 0
output  ``flow_to_1``  (1, 2, H, W), to frame 1
output  ``mask``       (1, 1, H, W) in 0..1, weight of frame 0; absent where the network has none
======  =============  =============================================================================

A network that finds motion alone (RAFT) has no input ``time``, and the outputs ``flow_0_1`` and ``flow_1_0``,
(1, 2, H, W) pixels: from frame 0's pixels to frame 1, and the reverse.

TorchScript takes and gives one tensor of stacked channels, as Nuke's Inference node wants it: (1, 7, H, W), the frames'
six channels and one that holds the time everywhere, to (1, 8, H, W): image, flow to 0, flow to 1, mask (0.5 where the
network has none). RAFT's is (1, 6, H, W) to (1, 4, H, W). It moves to any device and stays in full precision.
docs/export.md tells which Nuke reads what.
"""

from __future__ import annotations

import copy
import io
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping, Tuple, Union, cast

import torch
from torch import Tensor, nn

from kairos.engines.fetching import ones
from kairos.engines.onnx.file import INPUTS, NOTE, OUTPUTS
from kairos.engines.onnx.tidy import tidied
from kairos.engines.published import FlowNetwork, Found, PublishedNetwork
from kairos.errors import EngineError
from kairos.weights.store import written_whole

OPSET = 17

FLOWS = ("flow_0_1", "flow_1_0")
"""Outputs of a network that finds motion alone."""

_RECORDED = (186, 250)
"""Height and width of the frames with which a graph is recorded: large enough for every network, and multiples of
nothing, so that the margins are part of it."""


class Between(nn.Module):
    """The whole way from two frames to the in-between; ``network`` is a :class:`PublishedNetwork`."""

    inputs: Tuple[str, ...] = tuple(INPUTS)

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, time: Tensor) -> Tuple[Tensor, ...]:
        """Frames (1, 6, H, W) and time (1, 1, 1, 1) to image, flow to 0, flow to 1, and mask where there is one."""
        network = cast(PublishedNetwork, self.network)
        padding, height, width = network.padding, frames.shape[-2], frames.shape[-1]
        padded = padding.pad(frames)
        found: Found = network.at(network.prepare(network.look(padded[:, :3]), network.look(padded[:, 3:])), time)
        planes = (found.image, found.flow_to_0, found.flow_to_1, found.mask)
        return tuple(padding.crop(each, height, width) for each in planes if each is not None)

    def names(self, count: int) -> Tuple[str, ...]:
        """Of so many outputs."""
        return tuple(OUTPUTS)[:count]


class BothWays(nn.Module):
    """The motion between two frames, both ways; ``network`` is a :class:`FlowNetwork`."""

    inputs: Tuple[str, ...] = ("frames",)
    rounds = 12
    """Of refinement, all of them written down."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tuple[Tensor, ...]:
        """Frames (1, 6, H, W) to the flow from 0 to 1, and from 1 to 0."""
        network = cast(FlowNetwork, self.network)
        padding, height, width = network.padding, frames.shape[-2], frames.shape[-1]
        padded = padding.pad(frames)
        first, second = network.look(padded[:, :3]), network.look(padded[:, 3:])
        flows = network.flow(first, second, self.rounds), network.flow(second, first, self.rounds)
        return tuple(padding.crop(flow, height, width) for flow in flows)

    def names(self, count: int) -> Tuple[str, ...]:
        """Of the outputs."""
        return FLOWS[:count]


class Stacked(nn.Module):
    """The same with one tensor in, (1, 7, H, W) or (1, 6, H, W), and one out, (1, 8, H, W) or (1, 4, H, W)."""

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, planes: Tensor) -> Tensor:
        """Frames and time to image, flows and mask; or frames to flows."""
        if isinstance(self.whole, BothWays):
            return torch.cat(self.whole(planes), 1)
        found = self.whole(planes[:, :6], planes[:, 6:, :1, :1])
        if len(found) < len(OUTPUTS):
            found = (*found, ones(found[0][:, :1]) / 2)
        return torch.cat(found, 1)


def whole(network: nn.Module) -> Union[Between, BothWays]:
    """The whole way of a network: a copy, in use, that is to be recorded."""
    recorded = copy.deepcopy(network).eval().requires_grad_(False)
    # Strides of the weights are nobody's business but this machine's.
    recorded = recorded.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    if hasattr(recorded, "rows"):
        # How many parts there are hangs on the size: a graph has none.
        vars(recorded)["rows"] = None
    return BothWays(recorded) if hasattr(recorded, "flow") else Between(recorded)


def to_onnx(network: nn.Module, path: Path, notes: Mapping[str, str] = {}) -> None:
    """Writes a network (a :class:`PublishedNetwork` or :class:`FlowNetwork`, float32, on the CPU).

    Args:
        network: stays as it is.
        path: of the file; it is there whole or not at all.
        notes: name and text of what the engine ``onnx:FILE`` shall know, see :mod:`kairos.engines.onnx.file`.

    Raises:
        EngineError: the package onnx is missing, or the graph cannot be written as ONNX.
        KairosError: the file cannot be written.
    """
    try:
        import onnx
    except ImportError as error:
        raise EngineError("ONNX files are written with the package onnx.", "Run: pip install onnx") from error
    data: Any = io.BytesIO()
    way = whole(network)
    given = (_frames(), torch.full((1, 1, 1, 1), 0.5))[: len(way.inputs)]
    with _recording():
        names = way.names(len(way(*given)))
        try:
            torch.onnx.export(
                way,
                given,
                data,
                input_names=list(way.inputs),
                output_names=list(names),
                opset_version=OPSET,
                dynamic_axes={name: {2: "height", 3: "width"} for name in ("frames", *names)},
                # The newer exporter needs one package more, and unrolls what hangs on the size.
                dynamo=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise EngineError(f"The network could not be written as ONNX: {error}") from error
    model = tidied(onnx.load_from_string(data.getvalue()))
    for name, text in notes.items():
        model.metadata_props.add(key=NOTE + name, value=text)
    _write(path, model.SerializeToString())


def to_torchscript(network: nn.Module, path: Path) -> None:
    """Writes a network (as of :func:`to_onnx`) as one tensor to one tensor.

    Raises:
        KairosError: the file cannot be written.
    """
    way = whole(network)
    planes = [_frames(), torch.full((1, 1, *_RECORDED), 0.5)][: len(way.inputs)]
    with _recording():
        recorded: Any = torch.jit.trace(Stacked(way), torch.cat(planes, 1), check_trace=False)  # type: ignore[no-untyped-call]
    for part in recorded.modules():
        for method in part._c._method_names():
            _forget_device(part._c._get_method(method).graph)
    _write(path, recorded.save_to_buffer())


def _forget_device(graph: Any) -> None:
    """What is made in a graph is made where its input is, not where it was recorded."""
    given = next((each for each in graph.inputs() if str(each.type()) == "Tensor"), None)
    made = [node for node in graph.nodes() if node.kind() == "prim::Constant" and str(node.output().type()) == "Device"]
    if given is None or not made:
        return
    here = graph.create("prim::device", [given])
    here.output().setType(made[0].output().type())
    graph.prependNode(here)
    for node in made:
        node.output().replaceAllUsesWith(here.output())
        node.destroy()


def _write(path: Path, data: bytes) -> None:
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def _recording() -> Iterator[None]:
    """Without gradients; every size that Python meets is warned of, and those that matter are followed."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


def _frames() -> Tensor:
    """Two frames (1, 6, H, W): ramps that go beyond black and white, so that what happens there is recorded too."""
    ramp = torch.linspace(-1, 3, _RECORDED[1]).expand(1, 6, *_RECORDED).clone()
    ramp[:, 3:] += 0.01
    return ramp
