"""Loaded by every Nuke, with and without a window. Whatever fails here ends in one line, never in a broken start."""

from __future__ import annotations

import sys
from pathlib import Path


def _start() -> None:
    here = Path(__file__).resolve().parent
    nodes = here.parents[1] / "nodes"
    for place in (here, nodes if nodes.is_dir() else here / "nodes"):
        if str(place) not in sys.path:
            sys.path.append(str(place))
    import nuke

    from kairos_nuke.farm import check_before_render

    for folder in ("gizmos", "icons"):
        nuke.pluginAddPath(str(here / folder), addToSysPath=False)
    nuke.addBeforeRender(check_before_render, nodeClass="Write")


try:
    _start()
except Exception as error:  # Nuke must start whatever is wrong with this plugin.
    print(f"Kairos is not available in this Nuke: {type(error).__name__}: {error}", file=sys.stderr)
