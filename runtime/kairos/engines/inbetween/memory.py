"""What a generation needs of this machine, told before anything is loaded, and how memory is saved where it lacks."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

import torch

from kairos.engines.inbetween.folder import find_parts
from kairos.engines.inbetween.options import Options
from kairos.engines.inbetween.outline import told_of
from kairos.engines.inbetween.placing import Placing
from kairos.engines.inbetween.plan import Plan, Planner, Stage, Switches, gib, measured_rate

__all__ = ["Needs", "Switches", "free_memory", "needs_of"]

_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Needs:
    """What a generation needs, and what there is.

    Attributes:
        plan: with the switches that were chosen.
        free: bytes on the device; 0 where the system does not say.
        fits: the plan does.
        rate: multiply-adds per second of the device.
        device: in words.
    """

    plan: Plan
    free: int
    fits: bool
    rate: float
    device: str

    @property
    def switches(self) -> Switches:
        """How memory is saved."""
        return self.plan.switches

    @property
    def seconds(self) -> float:
        """The least that it takes."""
        return round(self.plan.seconds(self.rate), 1)

    @property
    def text(self) -> str:
        """In one line, for people."""
        return f"{self.device}: {self.plan.text(self.free or None, self.rate)}"

    @property
    def lacking(self) -> str:
        """Why it cannot be, in one line; empty where it can."""
        if self.fits:
            return ""
        height, width = self.plan.canvas
        return (
            f"Too little memory: inbetween needs {gib(self.plan.needed)} for {self.plan.frames} pictures of "
            f"{width}x{height} at its lightest here, and {gib(self.free)} are free on {self.device}."
        )

    def facts(self) -> Dict[str, Any]:
        """As JSON values: bytes, seconds and the switches."""
        told = {"peak": self.plan.peak, "host": self.plan.host, "needed": self.plan.needed, "free": self.free}
        return {**told, "seconds": self.seconds, "switches": self.switches.as_text()}


REMEDY = (
    "Use a smaller canvas (--generate canvas=768x448), the model of fewer pictures, or a machine with more memory; "
    "close what else uses it."
)
"""Where memory is too little."""


def needs_of(
    folder: Path,
    options: Options,
    canvas: Tuple[int, int],
    dtype: torch.dtype,
    device: torch.device,
    placing: Placing,
    before: Optional[Mapping[str, str]] = None,
) -> Needs:
    """What a generation needs, by the quickest switches that fit.

    Args:
        folder: of the model; its descriptions alone are read.
        options: settled; what they say of memory is taken as it is.
        canvas: height and width, pixels.
        dtype: of the networks.
        device: that computes.
        placing: what follows, on the plate.
        before: the switches of an earlier run that is gone on with: shared where they fit, so that its bits are.

    Raises:
        BadRequest: the folder is damaged.
    """
    later = Stage("match", placing.match), Stage("show", placing.show)
    planner = Planner(told_of(find_parts(folder)), options.recipe, canvas, dtype, device.type != "cuda", later)
    free, rate = free_memory(device), measured_rate(device, dtype)
    asked: Dict[str, Any] = {name: _asked(options, name) for name in options.asked}
    for fixed in ([{**_read(before), **asked}] if before else []) + [asked]:
        plan, fits = planner.chosen(free or sys.maxsize, fixed)
        if fits:
            break
    return Needs(plan, free, fits, rate, _title(device))


def _asked(options: Options, name: str) -> Any:
    if name == "chunk":
        return options.chunk
    return bool(options.offload) if name == "offload" else getattr(options.recipe, name)


def _read(told: Mapping[str, str]) -> Dict[str, Any]:
    """Switches as :meth:`Switches.as_text` wrote them."""
    found: Dict[str, Any] = {name: told[name] == "yes" for name in ("split", "offload") if name in told}
    if "maps" in told:
        found["maps"] = told["maps"]
    if told.get("chunk", "").isdecimal():
        found["chunk"] = int(told["chunk"])
    return found


def _title(device: torch.device) -> str:
    return f"{torch.cuda.get_device_name(device)} ({device})" if device.type == "cuda" else device.type


def free_memory(device: torch.device) -> int:
    """Bytes that a generation may have on a device; 0 where the system does not say."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch keeps for itself between computations is there for the next.
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return _host_memory()


def _host_memory() -> int:
    if sys.platform == "win32":
        # MEMORYSTATUSEX: two 32-bit words, of which the first is its own size, and seven 64-bit ones.
        status = (ctypes.c_uint64 * 8)(64)
        return int(status[2]) if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else 0
    try:
        found = _AVAILABLE.search(Path("/proc/meminfo").read_text(encoding="ascii"))
        return int(found[1]) << 10 if found else 0
    except (OSError, ValueError):
        pass
    try:
        # A system that does not say what is free gives half of what there is.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError):
        return 0
