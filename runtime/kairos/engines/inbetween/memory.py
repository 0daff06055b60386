"""What a generation needs of this machine, told before anything is loaded, and how memory is saved where it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

import torch

from kairos.engines.inbetween.options import Options


@dataclass(frozen=True)
class Switches:
    """How memory is saved.

    Attributes:
        maps: see :class:`kairos.engines.inbetween.recipe.Recipe`.
        split: guidance in two passes.
        offload: networks wait on the host.
        chunk: pictures decoded together.
    """

    maps: str = "full"
    split: bool = False
    offload: bool = False
    chunk: int = 4

    def as_text(self) -> Dict[str, str]:
        """By name, for the state on disk."""
        return {"maps": self.maps, "split": str(self.split), "offload": str(self.offload), "chunk": str(self.chunk)}


@dataclass(frozen=True)
class Needs:
    """What a generation needs.

    Attributes:
        switches: chosen.
        text: in one line, for people.
        lacking: why it cannot be, in one line; empty where it can.
        remedy: what to do about it.
        seconds: that it takes, or None where nothing tells.
    """

    switches: Switches
    text: str
    lacking: str = ""
    remedy: str = ""
    seconds: Optional[float] = None

    def facts(self) -> Dict[str, Any]:
        """As JSON values."""
        return dict(self.switches.as_text())


def needs_of(
    folder: Path,
    options: Options,
    canvas: Tuple[int, int],
    dtype: torch.dtype,
    device: torch.device,
    before: Optional[Mapping[str, str]],
) -> Needs:
    recipe = options.recipe
    return Needs(Switches(recipe.maps, recipe.split, bool(options.offload), options.chunk or 4), "planned")
