"""Loaded by Nuke with a window: menu and toolbar entries."""

from __future__ import annotations

import sys


def _start() -> None:
    import nuke

    from kairos_nuke.exporting import TITLE
    from kairos_nuke.knobs import CLASSES, shown_nodes

    menu = nuke.menu("Nodes").addMenu("Kairos", icon="Kairos.png")
    for node in shown_nodes():
        name = CLASSES[node.id]
        code = f"import kairos_nuke.build; kairos_nuke.build.create({node.id!r})"
        menu.addCommand(name, code, icon=f"{name}.png", tooltip=node.description)
    main = nuke.menu("Nuke").addMenu("Kairos")
    main.addCommand(TITLE, "import kairos_nuke.exporting; kairos_nuke.exporting.asked()")


try:
    _start()
except Exception as error:  # Nuke must start whatever is wrong with this plugin.
    print(f"Kairos has no menu in this Nuke: {type(error).__name__}: {error}", file=sys.stderr)
