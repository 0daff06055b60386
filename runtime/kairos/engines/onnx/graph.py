"""A network in an ONNX file at work, called as the published networks are."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import numpy as np
import torch
from torch import Tensor

from kairos.engines.onnx.file import OUTPUTS, Described, opened, reason, runtime
from kairos.engines.published import Found, Padding, Time
from kairos.errors import EngineError

CACHE = "KAIROS_TENSORRT_CACHE"
"""Names the folder in which TensorRT keeps what it has built, in place of the user's own."""


class ExportedNetwork:
    """See :class:`kairos.engines.published.PublishedNetwork`: the whole way lies in the file.

    Inputs and outputs are bound to torch's own memory, so nothing is copied on the processor or on the card.

    Args:
        path: of the file.
        told: what it says about itself.
        device: where frames are and answers are expected.
    """

    padding = Padding(1)
    scales = False
    tile: Optional[int] = None

    def __init__(self, path: Path, told: Described, device: torch.device) -> None:
        self.any_time = told.any_time
        self._path, self._told = path, told
        options = runtime().SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that wait in a loop would take the processor from torch's, which works in between.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Frames of one shot have one size, but its views need not.
        options.enable_mem_pattern = False
        self._session = opened(path, options, providers(device))
        on_card = self._session.get_providers()[0] != "CPUExecutionProvider"
        self._home, self._device = device, device if on_card else torch.device("cpu")

    def look(self, frame: Tensor) -> Tensor:
        """The frame: nothing is known before both are there."""
        return frame

    def prepare(self, first: Tensor, second: Tensor, scale: float = 1.0) -> Tensor:
        """Both frames, (1, 6, H, W). Raises ValueError for another scale than 1."""
        if scale != 1.0:
            raise ValueError(f"a network in a file seeks motion at the frame's size, not at {scale} of it")
        return torch.cat([first, second], 1).float().to(self._device).contiguous()

    def at(self, state: Tensor, time: Time) -> Found:
        """The answer at a time.

        Raises:
            EngineError: the file takes no frames of this size, or fails.
        """
        height, width = state.shape[-2:]
        if self._told.size not in (None, (height, width)):
            assert self._told.size is not None
            raise EngineError(
                f"{self._path} takes frames of {self._told.size[1]}x{self._told.size[0]} alone, not {width}x{height}.",
                "Give a file that takes any size.",
            )
        when = torch.full((1, 1, 1, 1), float(time), device=self._device)
        found = {
            name: torch.empty(1, channels, height, width, device=self._device)
            for name, channels in OUTPUTS.items()
            if name in self._told.outputs
        }
        self._run({"frames": state, "time": when}, found)
        planes = {name: tensor.to(self._home) for name, tensor in found.items()}
        return Found(planes["flow_to_0"], planes["flow_to_1"], planes["image"], planes.get("mask"))

    def _run(self, told: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
        binding = self._session.io_binding()
        for name, tensor in told.items():
            binding.bind_input(name, **_memory(tensor))
        for name, tensor in found.items():
            binding.bind_output(name, **_memory(tensor))
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        try:
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
        # What onnxruntime raises has no common parent below Exception.
        except Exception as error:
            height, width = told["frames"].shape[-2:]
            raise EngineError(
                f"{self._path} fails on frames of {width}x{height}: {reason(error)}",
                "Its answers must be of the frames' size; see docs/export.md.",
            ) from error


def providers(device: torch.device) -> List[Any]:
    """What onnxruntime shall compute with, best first: on an NVIDIA card TensorRT and CUDA where they are there."""
    able, chosen = runtime().get_available_providers(), []
    if device.type == "cuda":
        card = {"device_id": str(device.index or 0)}
        if "TensorrtExecutionProvider" in able and _has_tensorrt():
            kept = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(_cache())}
            chosen.append(("TensorrtExecutionProvider", {**card, **kept}))
        if "CUDAExecutionProvider" in able:
            # TF32 rounds to ten bits: too few for motion of many pixels.
            chosen.append(("CUDAExecutionProvider", {**card, "use_tf32": "0"}))
    return [*chosen, "CPUExecutionProvider"]


def _has_tensorrt() -> bool:
    """TensorRT's own library is there: onnxruntime names the provider without it too."""
    return importlib.util.find_spec("tensorrt") is not None


def _cache() -> Path:
    """Where TensorRT keeps what it has built: that takes minutes for every size of frame."""
    given = os.environ.get(CACHE)
    if given:
        return Path(given).expanduser()
    try:
        import platformdirs
    except ImportError:
        return Path.home() / ".kairos" / "tensorrt"
    return Path(platformdirs.user_cache_dir("kairos", appauthor=False)) / "tensorrt"


def _memory(tensor: Tensor) -> Dict[str, Any]:
    """A tensor's memory as onnxruntime binds it."""
    return {
        "device_type": tensor.device.type,
        "device_id": tensor.device.index or 0,
        "element_type": np.float32,
        "shape": tuple(tensor.shape),
        "buffer_ptr": tensor.data_ptr(),
    }
