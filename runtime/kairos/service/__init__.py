"""The runtime service: one process per user and machine that owns torch and the GPU, and serves every host."""

from .server import Service, Taken

__all__ = ["Service", "Taken"]
