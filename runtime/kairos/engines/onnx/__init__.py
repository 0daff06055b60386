"""Networks in ONNX files, run by onnxruntime. See :class:`OnnxEngine`."""

from kairos.engines.onnx.engine import PREFIX, OnnxEngine

__all__ = ["PREFIX", "OnnxEngine"]
