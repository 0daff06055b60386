"""A session of Nuke, played by the stand-in, and the nodes that tests make in it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Iterator, Sequence

import pytest

from kairos_nodes.nodes import node as kairos_node
from support import made
from support.nuke import load
from support.shared import ROOT

PLUGIN = ROOT / "plugin" / "nuke"


def session(patch: pytest.MonkeyPatch, folder: Path, views: Sequence[str] = ("main",)) -> Iterator[Any]:
    """The stand-in in Nuke's place, with the plugin's modules loaded afresh against it and the cache in ``folder``."""
    module = load(views)
    patch.setitem(sys.modules, "nuke", module)
    patch.syspath_prepend(str(PLUGIN))
    patch.setenv("KAIROS_CACHE", str(folder / "cache"))
    _forget()
    yield module
    loaded = sys.modules.get("kairos_nuke.session")
    if loaded is not None and loaded._client is not None:
        loaded._client.close()
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.startswith("kairos_nuke")]:
        del sys.modules[name]


def plugin(name: str) -> Any:
    """A module of the plugin."""
    return importlib.import_module(f"kairos_nuke.{name}")


def read_node(nuke: Any, pattern: str, first: int, last: int, name: str = "Plate") -> Any:
    """A Read of a sequence."""
    return nuke.nodes.Read(name=name, file=pattern, first=first, last=last)


def kairos_group(source: Any, node: str = "Retime") -> Any:
    """A Kairos node below a source, with its range."""
    group = plugin("build").build(kairos_node(node))
    group.setInput(0, source)
    plugin("build").reset_range(group)
    return group


def made_up(nuke: Any, last: int = 1005) -> Any:
    """A Kairos Retime below a Read whose files do not exist: for requests that are not run."""
    return kairos_group(read_node(nuke, "plate.%04d.exr", 1001, last))


def plate_node(nuke: Any, folder: Path, frames: int = 3, **knobs: Any) -> Any:
    """A Kairos Retime below a Read of a real HDR clip, quick to render."""
    clip = made.still_hdr(folder)
    group = kairos_group(read_node(nuke, clip.pattern, made.FIRST, made.FIRST + frames - 1))
    for name, value in {"engine": "classic", "device": "cpu", **knobs}.items():
        group[name].setValue(value)
    return group
