"""What is generated, step by step on disk: a job that was killed goes on from the last finished step."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from kairos.engines.inbetween.sampling import State
from kairos.weights.store import written_whole
from kairos_nodes.cache import cache_root

FOLDER = "generated"
"""Of the cache: one folder per pair of keys and way of generating between them."""

KEPT = 1 << 30
"""Bytes that are kept; the longest unused go first. One of 25 frames at 1024x576 takes about 8 MB."""

FORMAT = "1"
"""Of the states. Raised when the same settings begin to give other pictures."""

_STATE, _SHEET = "state.safetensors", "preview.png"


@dataclass(frozen=True)
class Kept:
    """A state as it lay on disk.

    Attributes:
        state: after its last finished step.
        switches: how memory was saved, which a run that goes on has to share: maps in half precision give other bits.
        seconds: the steps so far took.
    """

    state: State
    switches: Mapping[str, str]
    seconds: float


class Place:
    """Where one generation lies.

    Args:
        mark: digest of all that decides what is generated.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._folder = cache_root() / FOLDER / mark[:32]

    @property
    def sheet(self) -> Path:
        """The contact sheet's file."""
        return self._folder / _SHEET

    def read(self) -> Optional[Kept]:
        """The state that an earlier run left; None where there is none, or it is damaged or another's."""
        path = self._folder / _STATE
        try:
            with safe_open(path, "pt") as file:
                told = file.metadata() or {}
                if (told.get("format"), told.get("mark")) != (FORMAT, self._mark):
                    return None
                state = State(
                    step=int(told["step"]),
                    latents=file.get_tensor("latents"),
                    clean=file.get_tensor("clean"),
                    generator=file.get_tensor("generator"),
                )
            switches = json.loads(told["switches"])
            seconds = float(told["seconds"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            return None
        with contextlib.suppress(OSError):
            self._folder.touch()
        return Kept(state, {str(name): str(value) for name, value in switches.items()}, seconds)

    def write(self, kept: Kept) -> None:
        """Keeps a state in place of the one before. Raises KairosError where the cache cannot be written."""
        state = kept.state
        tensors = {"latents": state.latents, "clean": state.clean, "generator": state.generator}
        about = {
            "format": FORMAT,
            "mark": self._mark,
            "step": str(state.step),
            "switches": json.dumps(dict(kept.switches), sort_keys=True),
            "seconds": f"{kept.seconds:.3f}",
        }
        data = save({name: each.detach().cpu().contiguous() for name, each in tensors.items()}, about)
        # Two jobs may generate the same at once: each writes a file of its own until it is whole.
        with written_whole(self._folder / _STATE) as temporary:
            temporary.write_bytes(data)

    def tidy(self) -> None:
        """Removes what was longest unused of all that is generated, where it takes too much; never this one."""
        found = []
        for folder in self._folder.parent.glob("*/"):
            # Another job may remove it meanwhile.
            with contextlib.suppress(OSError):
                files = [path.stat() for path in folder.iterdir()]
                used = max([folder.stat().st_mtime, *(each.st_mtime for each in files)])
                found.append((used, sum(each.st_size for each in files), folder))
        total = sum(size for _, size, _ in found)
        for _, size, folder in sorted(found):
            if total <= KEPT:
                return
            if folder != self._folder:
                total -= size
                shutil.rmtree(folder, ignore_errors=True)
