"""Keys, a small model and jobs of the engine ``inbetween``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from kairos.events import Event
from kairos.inbetween import run_inbetween
from kairos.retime import Outcome
from kairos.weights.adding import add
from kairos.weights.store import Store
from kairos_nodes.jobs import InbetweenJob
from support.exr import Planes, write_exr
from support.siren import scene
from support.tiny_svd import tiny_changes, write_tiny_svd

HEIGHT, WIDTH = 60, 100
SPEED = (12.0, 4.0)
"""Pixels from key to key."""

BRIGHT = 12.5
"""Scene-linear value of a highlight that moves with the rest."""

PLATE = "canvas=128x64"
QUICK = f"{PLATE},steps=2,repeats=1"


def kept_model(store: Path, frames: int, tuned: bool = True) -> Path:
    """Adds a tiny random model, and differences, to a store, as ``kairos weights add`` does. Answers with the store."""
    folder = write_tiny_svd(store.parent / f"svd-{frames}", frames)
    add(folder, Store(store), lambda network, terms: True)
    if tuned:
        file = store.parent / f"tuned-{frames}.safetensors"
        save_file(tiny_changes(folder), file)
        add(file, Store(store), lambda network, terms: True)
    return store


def plate(part: float) -> Dict[str, Planes]:
    """Planes of the scene at a part of the way from key to key: a pan, with a highlight, depth and an identifier."""
    at = scene(HEIGHT, WIDTH, SPEED)
    rgb = at(part).numpy() * 0.4
    rows, columns = slice(20, 30), slice(40, 52)
    left, top = round(SPEED[0] * part), round(SPEED[1] * part)
    moved = (slice(rows.start + top, rows.stop + top), slice(columns.start + left, columns.stop + left))
    rgb[(slice(None), *moved)] = BRIGHT
    depth, id_ = np.full((HEIGHT, WIDTH), 30.0, np.float32), np.zeros((HEIGHT, WIDTH), np.float32)
    depth[moved], id_[moved] = 3.0, 7.0
    planes = dict(zip("RGB", rgb.astype(np.float32)))
    return {**planes, "A": np.ones_like(depth), "depth.Z": depth, "id.ID": id_}


def write_keys(folder: Path) -> Tuple[Path, Path]:
    """Both keys as EXR files: half colour, with NaN-free float data layers."""
    depths = {"depth.Z": "float", "id.ID": "float"}
    first, second = (
        write_exr(folder / f"{name}.exr", plate(part), depth=depths) for name, part in (("a", 0.0), ("b", 1.0))
    )
    return first, second


def job(folder: Path, count: int, generate: str = QUICK, **settings: Any) -> InbetweenJob:
    """A job between the keys in a folder, which go there where they are not yet."""
    if not (folder / "a.exr").exists():
        write_keys(folder)
    return InbetweenJob(
        str(folder / "a.exr"),
        str(folder / "b.exr"),
        str(folder / "out" / "out.%04d.exr"),
        count,
        **{"engine": "inbetween", "device": "cpu", "generate": generate, **settings},
    )


def generated(wanted: InbetweenJob, listener: Callable[[Event], None] = lambda event: None) -> Outcome:
    """Runs a job in this process."""
    return run_inbetween(wanted, listener)


def outputs(folder: Path) -> List[Path]:
    """The output files of a job in a folder, in order."""
    return sorted((folder / "out").glob("*.exr"))


def stages(events: List[Event]) -> List[str]:
    """The stages that a job told of, in order, each once."""
    told = [str(event.data["stage"]) for event in events if event.kind == "progress"]
    return list(dict.fromkeys(told))


def truth(shown: Callable[[float], Tensor], frames: int) -> Callable[..., Iterator[Tensor]]:
    """Stands in for the decoder: the true pictures, as a perfect model would paint them."""
    return partial(_true, shown, frames)


def _true(shown: Callable[[float], Tensor], frames: int, *_: Any, **__: Any) -> Iterator[Tensor]:
    yield torch.stack([shown(index / (frames - 1)) for index in range(frames)])
