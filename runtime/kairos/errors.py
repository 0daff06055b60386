"""The exception family, defined once in ``kairos_nodes.errors`` so that hosts catch the same classes."""

from kairos_nodes.errors import (
    BadRequest,
    Cancelled,
    EngineError,
    FrameError,
    ImageError,
    KairosError,
    ServiceError,
)

__all__ = ["BadRequest", "Cancelled", "EngineError", "FrameError", "ImageError", "KairosError", "ServiceError"]
