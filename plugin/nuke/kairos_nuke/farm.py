"""On a farm: Kairos nodes are rendered first, then the script. ``nuke -t farm.py SCRIPT.nk [NODE...]``."""

from __future__ import annotations

import argparse
import sys
from typing import Iterable, List, Sequence

import nuke

from kairos_nodes.errors import BadRequest, KairosError
from kairos_nodes.events import Event
from kairos_nuke.build import is_kairos
from kairos_nuke.render import render, unfinished, upstream


def check_before_render() -> None:
    """Stops the render of a Write below a Kairos node that has no result yet; Nuke calls it for every Write.

    Nuke cannot render the node at this moment, being about to render itself.

    Raises:
        RuntimeError: naming the node, which makes Nuke stop with this line.
    """
    write = nuke.thisNode()
    if is_kairos(write.parent()):
        return
    for group in upstream(write):
        try:
            why = unfinished(group)
        except KairosError as error:
            why = str(error)
        if why:
            raise RuntimeError(f"{why} Press Render on {group.name()}, or run Kairos' farm.py first.")


def in_order(groups: Iterable[nuke.Node]) -> List[nuke.Node]:
    """Kairos nodes and those that they depend on, each after its own."""
    ordered: List[nuke.Node] = []
    for group in groups:
        above = in_order(upstream(group))
        ordered += [one for one in [*above, group] if one not in ordered]
    return ordered


def main(arguments: Sequence[str]) -> int:
    """Renders the named Kairos nodes of a script, or all of them, and those that they depend on; then saves the script,
    which now shows the results.

    Answers with an exit status: 0 done, 1 failed, 2 no such script or node.
    """
    parser = argparse.ArgumentParser(prog="farm.py", description="Renders the Kairos nodes of a Nuke script.")
    parser.add_argument("script", help="the .nk file")
    parser.add_argument("nodes", nargs="*", help="names of Kairos nodes; all where none is given")
    parser.add_argument("--save-as", help="save the script here in place of over itself")
    given = parser.parse_args(arguments)
    try:
        nuke.scriptOpen(given.script)
        for group in in_order(_chosen(given.nodes)):
            render(group, _Told(group.name()))
        nuke.scriptSave(given.save_as or given.script)
    except KairosError as error:
        print(f"Kairos: {error}", file=sys.stderr)
        return error.exit_status
    except (RuntimeError, OSError) as error:
        print(f"Kairos could not go on: {error}", file=sys.stderr)
        return KairosError.exit_status
    return 0


class _Told:
    """Prints a line for every whole percent, which farm managers read."""

    def __init__(self, name: str) -> None:
        self._name, self._percent = name, -1

    def __call__(self, event: Event) -> None:
        if event.kind == "warning":
            print(f"Kairos: {self._name}: {event.data.get('message', '')}", flush=True)
        if event.kind != "progress":
            return
        percent = int(100 * int(event.data.get("done") or 0) / max(1, int(event.data.get("total") or 1)))
        if percent != self._percent:
            self._percent = percent
            print(f"Kairos: {self._name}: {percent}%", flush=True)


def _chosen(names: Sequence[str]) -> List[nuke.Node]:
    found = {group.fullName(): group for group in nuke.allNodes(recurseGroups=True) if is_kairos(group)}
    unknown = [name for name in names if name not in found]
    if unknown:
        has = f"It has {', '.join(found)}." if found else "It has none."
        raise BadRequest(f"The script has no Kairos node {', '.join(unknown)}.", has)
    return [found[name] for name in names or found]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
