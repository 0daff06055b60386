"""On a farm: Kairos nodes are rendered first, then the script. ``nuke -t farm.py SCRIPT.nk [NODE...]``."""

from __future__ import annotations

import sys
from typing import Iterator, List

import nuke

from kairos_nodes.cache import complete
from kairos_nodes.errors import BadRequest, KairosError
from kairos_nuke.build import is_kairos
from kairos_nuke.knobs import RESULT
from kairos_nuke.render import render, request_of


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
            request = request_of(group)
        except KairosError as error:
            raise RuntimeError(f"{group.name()}: {error}") from None
        output = str(request.job.to_dict()["output"])
        if group[RESULT].value() != output or not complete(output, *request.output):
            raise RuntimeError(
                f"{group.name()} is not rendered for its settings. Press its Render button, or run farm.py first."
            )


def upstream(node: nuke.Node) -> Iterator[nuke.Node]:
    """Kairos nodes that a node depends on, through any number of others."""
    seen: List[nuke.Node] = []
    waiting = [node]
    while waiting:
        one = waiting.pop()
        for index in range(one.inputs()):
            source = one.input(index)
            if source is None or source in seen:
                continue
            seen.append(source)
            waiting.append(source)
            if is_kairos(source):
                yield source


def main(arguments: List[str]) -> int:
    """Renders the named Kairos nodes of a script, or all of them, and saves the script, which then shows the results.

    Answers with an exit status.
    """
    if not arguments:
        print("farm.py SCRIPT.nk [NODE...]", file=sys.stderr)
        return BadRequest.exit_status
    nuke.scriptOpen(arguments[0])
    names = arguments[1:]
    for group in nuke.allNodes():
        if is_kairos(group) and (not names or group.name() in names):
            try:
                render(group)
            except KairosError as error:
                print(f"kairos: {group.name()}: {error}", file=sys.stderr)
                return error.exit_status
    nuke.scriptSave(arguments[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
