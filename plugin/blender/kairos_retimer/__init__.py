# SPDX-License-Identifier: GPL-3.0-or-later
"""Kairos in Blender: retimed frames, motion vectors and masks in the compositor and the sequencer.

Blender starts as always, whatever is wrong with Kairos: a part that cannot begin is told in the preferences and on the
terminal, and the others work.
"""

from __future__ import annotations

import atexit

import bpy

from . import parts

PARTS = ("preferences", "running", "checking", "nodes", "operators", "panel", "scrubbing", "sequencer")
"""Modules with ``register()`` and ``unregister()``, in this order."""


def register() -> None:
    """Blender enables the extension."""
    parts.register(PARTS)
    if not bpy.app.binary_path:
        # As a Python module (there is no program) Blender disables no add-ons when it ends, and 4.5 then waits forever
        # for operators that remain. The program does, and has nothing left to take away when Python's own exit comes.
        atexit.register(parts.unregister)


def unregister() -> None:
    """Blender disables the extension, or quits."""
    atexit.unregister(parts.unregister)
    parts.unregister()
