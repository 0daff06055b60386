# SPDX-License-Identifier: GPL-3.0-or-later
"""Check Kairos: starts the runtime and tells what it can do, while Blender stays usable."""

from __future__ import annotations

import threading
from typing import Any, List, Optional, Set

import bpy

from kairos_nodes.client import Client
from kairos_nodes.errors import KairosError

from . import parts, running
from .preferences import answers

POLL_SECONDS = 0.2

_asking: List[threading.Thread] = []


class CheckRuntime(bpy.types.Operator):
    """Start Kairos' runtime, if none runs, and show what it can do"""

    bl_idname = "kairos.check"
    bl_label = "Check Kairos"

    @classmethod
    def poll(cls, context: Any) -> bool:
        """One check at a time."""
        return not _asking

    def execute(self, context: Any) -> Set[str]:
        """Asks in the background; without a window it waits for the answer."""
        client = running.client(context)
        if bpy.app.background:
            try:
                answers[:] = ask(client)
            except (KairosError, OSError) as error:
                answers[:] = [str(error)]
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
            self.report({"INFO"}, " ".join(answers))
            return {"FINISHED"}
        answers[:] = ["Starting Kairos ..."]
        thread = threading.Thread(target=_ask, args=(client,), daemon=True)
        _asking.append(thread)
        thread.start()
        bpy.app.timers.register(_look, first_interval=POLL_SECONDS)
        return {"FINISHED"}


def ask(client: Client) -> List[str]:
    """Who the runtime is, and which engines it has; starts it where none runs. Raises KairosError."""
    welcome = client.connect()
    able = [str(row.get("id")) for row in client.engines() if not row.get("why_not")]
    return [
        f"Kairos {welcome.get('version')} runs; its log is {welcome.get('log')}.",
        f"Engines that can run here: {', '.join(able) or 'none'}.",
    ]


def _ask(client: Client) -> None:
    """The thread: touches nothing of Blender's."""
    try:
        answers[:] = ask(client)
    except (KairosError, OSError) as error:
        answers[:] = [str(error)]


def _look() -> Optional[float]:
    """Blender's timer: shows the answer once it is there."""
    if _asking and _asking[0].is_alive():
        return POLL_SECONDS
    _asking.clear()
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()
    return None


CLASSES = (CheckRuntime,)


def register() -> None:
    """Makes the operator known to Blender."""
    parts.register_classes(CLASSES)


def unregister() -> None:
    """Takes it away."""
    if bpy.app.timers.is_registered(_look):
        bpy.app.timers.unregister(_look)
    parts.unregister_classes(CLASSES)
