"""Installs the extension's zip in an empty user folder, as Preferences > Get Extensions > Install from Disk does."""

from __future__ import annotations

import bpy
from inside import FACTS, MODULE, answer, enable

bpy.ops.extensions.package_install_files(
    filepath=FACTS["archive"], repo="user_default", enable_on_install=True, overwrite=True
)
parts = enable()
answer(
    installed=MODULE in bpy.context.preferences.addons,
    troubles=dict(parts.troubles) if parts else {"extension": "not loaded"},
    operators=[name for name in ("render", "preview", "load", "cancel", "check") if hasattr(bpy.ops.kairos, name)],
)
bpy.ops.wm.save_userpref()
