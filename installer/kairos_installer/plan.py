"""Which torch to install, and how: a pure decision, so that every platform's is tested on one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

from kairos_nodes.errors import BadRequest

TORCH = "torch==2.13.0"
BUILDS = ("", "cpu", "cuda")
"""Values of KAIROS_TORCH; empty lets the machine decide."""


@dataclass(frozen=True)
class TorchPlan:
    """How to install torch.

    Attributes:
        build: ``cpu``, ``cuda`` or ``default`` (macOS has one build only).
        attempts: pip-like argument lists, tried in order until one succeeds.
        extra: the project's extra that goes with it, ``cpu`` or ``gpu`` (which onnxruntime).
    """

    build: str
    attempts: Tuple[Tuple[str, ...], ...]
    extra: str

    @property
    def needs_uv(self) -> bool:
        """True where an attempt uses uv, which knows the addresses of torch's own indexes."""
        return any(attempt[0] == "uv" for attempt in self.attempts)

    @property
    def title(self) -> str:
        """For people."""
        return {"cpu": "torch for the CPU", "cuda": "torch for NVIDIA GPUs (large)", "default": "torch"}[self.build]


def wanted_build(system: str, nvidia: bool, override: str) -> str:
    """``cpu``, ``cuda`` or ``default``.

    Args:
        system: ``Linux``, ``Windows`` or ``Darwin``.
        nvidia: an NVIDIA driver answers.
        override: value of KAIROS_TORCH.

    Raises:
        BadRequest: an override that means nothing, or CUDA on a Mac.
    """
    if override not in BUILDS:
        raise BadRequest(
            f"KAIROS_TORCH: {override!r} is not a build of torch.", "Set it to cpu or cuda, or not at all."
        )
    if system == "Darwin":
        if override == "cuda":
            raise BadRequest("KAIROS_TORCH: there is no CUDA on a Mac.", "Leave KAIROS_TORCH unset.")
        return "default"
    return override or ("cuda" if nvidia else "cpu")


def plan(system: str, nvidia: bool, override: str = "", offered: Optional[str] = None) -> TorchPlan:
    """How to install torch on a machine.

    On Linux the default index's torch is the CUDA build (gigabytes), on Windows it is the CPU build, and a studio's own
    index or folder (PIP_INDEX_URL, PIP_FIND_LINKS) may offer either: the local part of the offered version tells.

    Args:
        system: ``Linux``, ``Windows`` or ``Darwin``.
        nvidia: an NVIDIA driver answers.
        override: value of KAIROS_TORCH.
        offered: the version that pip would fetch, such as ``2.13.0+cpu``; None where it is not known.

    Raises:
        BadRequest: see :func:`wanted_build`.
    """
    build = wanted_build(system, nvidia, override)
    by_pip, extra = ("pip", TORCH), "gpu" if build == "cuda" else "cpu"
    attempts: List[Tuple[str, ...]]
    if build == "default":
        attempts = [by_pip]
    elif build == "cuda":
        by_uv = ("uv", "--torch-backend=auto", TORCH)
        offers_cuda = "+cu" in (offered or "") or (system == "Linux" and "+" not in (offered or ""))
        attempts = [by_pip] if offers_cuda and "+cpu" not in (offered or "") else [by_uv]
    elif "+cpu" in (offered or "") or (system == "Windows" and "+" not in (offered or "")):
        attempts = [by_pip]
    else:
        # The default build runs on a CPU too; it is only larger. Better that than nothing behind a strict firewall.
        attempts = [("uv", "--torch-backend=cpu", TORCH), by_pip]
    return TorchPlan(build, tuple(attempts), extra)
