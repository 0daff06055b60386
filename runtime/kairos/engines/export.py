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
output  ``mask``       (1, 1, H, W) in 0..1, weight of frame 0; 0.5 where the network has none
======  =============  =============================================================================

TorchScript takes and gives one tensor of stacked channels, as Nuke's Inference node wants it: (1, 7, H, W), the frames'
six channels and one that holds the time everywhere, to (1, 8, H, W): image, flow to 0, flow to 1, mask. It moves to
any device and stays in full precision: the node's "Optimize for Speed and Memory" is not for it. Nuke 13 reads what
PyTorch 1.6 wrote, Nuke 14 what 1.12 wrote (Foundry, .cat File Creation Reference); a file that a newer PyTorch wrote
opens there only where the operators in it are the same still.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Tuple, cast

import torch
from torch import Tensor, nn

from kairos.engines.blocks import ones
from kairos.engines.published import PublishedNetwork
from kairos.errors import EngineError

OPSET = 17
INPUTS, OUTPUTS = ("frames", "time"), ("image", "flow_to_0", "flow_to_1", "mask")

_RECORDED = (192, 256)
"""Height and width of the frames with which a graph is recorded: large enough for every network."""


class Between(nn.Module):
    """The whole way from two frames to the in-between; ``network`` is a :class:`PublishedNetwork`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, time: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frames (1, 6, H, W) and time (1, 1, 1, 1) to image, flow to 0, flow to 1 and mask."""
        network = cast(PublishedNetwork, self.network)
        padding, height, width = network.padding, frames.shape[-2], frames.shape[-1]
        padded = padding.pad(frames)
        found = network.at(network.prepare(network.look(padded[:, :3]), network.look(padded[:, 3:])), time)
        mask = ones(found.image[:, :1]) / 2 if found.mask is None else found.mask
        planes = (found.image, found.flow_to_0, found.flow_to_1, mask)
        image, to_0, to_1, mask = (padding.crop(each, height, width) for each in planes)
        return image, to_0, to_1, mask


class Stacked(nn.Module):
    """The same with one tensor in, (1, 7, H, W), and one out, (1, 8, H, W)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.between = Between(network)

    def forward(self, planes: Tensor) -> Tensor:
        """Frames and time to image, flows and mask."""
        return torch.cat(self.between(planes[:, :6], planes[:, 6:, :1, :1]), 1)


def to_onnx(network: nn.Module, path: Path) -> None:
    """Writes a network (a :class:`PublishedNetwork`, float32, on the CPU).

    Raises:
        EngineError: the package onnx is missing, or the file cannot be written.
    """
    names = {name: {2: "height", 3: "width"} for name in ("frames", *OUTPUTS)}
    with _recording(network):
        try:
            torch.onnx.export(
                # The exporter leaves a module in the mode in which it found the outermost.
                Between(network).eval(),
                (_frames(), torch.full((1, 1, 1, 1), 0.5)),
                path,
                input_names=INPUTS,
                output_names=OUTPUTS,
                opset_version=OPSET,
                dynamic_axes=names,
                # The newer exporter needs one package more, and unrolls what hangs on the size.
                dynamo=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise EngineError(f"The network could not be written as ONNX: {error}", "Run: pip install onnx") from error
        except OSError as error:
            raise EngineError(f"{path} cannot be written: {error.strerror}.", "Give another file.") from error


def to_torchscript(network: nn.Module, path: Path) -> None:
    """Writes a network (a :class:`PublishedNetwork`, float32, on the CPU) as one tensor to one tensor.

    Raises:
        EngineError: the file cannot be written.
    """
    planes = torch.cat([_frames(), torch.full((1, 1, *_RECORDED), 0.5)], 1)
    with _recording(network):
        recorded = torch.jit.trace(Stacked(network), planes, check_trace=False)  # type: ignore[no-untyped-call]
    try:
        path.write_bytes(recorded.save_to_buffer())
    except OSError as error:
        raise EngineError(f"{path} cannot be written: {error.strerror}.", "Give another file.") from error


@contextmanager
def _recording(network: nn.Module) -> Iterator[None]:
    """The network as it is recorded: in use, without gradients, and nothing in parts that a size decides on."""
    rows = getattr(network, "rows", None)
    network.eval()
    if rows is not None:
        vars(network)["rows"] = None
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # Every size that Python meets is warned of; those that matter are followed.
            warnings.simplefilter("ignore")
            yield
    finally:
        if rows is not None:
            vars(network)["rows"] = rows


def _frames() -> Tensor:
    """Two frames (1, 6, H, W) of grey ramps: only their size matters."""
    return torch.linspace(0, 1, _RECORDED[1]).expand(1, 6, *_RECORDED).clone()
