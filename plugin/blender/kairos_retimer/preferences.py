# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension's preferences: where Kairos lies, where results go, what a new node begins with, and what is wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, List

import bpy

from . import parts

DEFAULTS = {"runtime": "", "cache": "", "engine": "auto", "device": "auto"}
"""What the preferences begin with."""

ENGINES = ("auto", "classic", "swift", "siren", "hierarchical", "inbetween", "rife", "ifrnet", "film", "amt", "ema")
"""What is suggested."""

answers: List[str] = []
"""What the last check of the runtime found; shown in the preferences."""


def preferences(context: Any) -> Any:
    """The preferences' ``runtime``, ``cache``, ``engine`` and ``device``; the defaults where there are none yet."""
    addon = context.preferences.addons.get(__package__)
    found = None if addon is None else addon.preferences
    return SimpleNamespace(**DEFAULTS) if found is None else found


def suggest_engines(self: Any, context: Any, edit_text: str) -> Any:
    """Engines to choose from; any other that ``kairos engines`` lists can be typed."""
    return [name for name in ENGINES if edit_text in name]


def suggest_devices(self: Any, context: Any, edit_text: str) -> Any:
    """Devices to choose from."""
    return [name for name in ("auto", "cuda", "cuda:0", "cuda:1", "mps", "cpu") if edit_text in name]


@parts.with_properties(
    runtime=bpy.props.StringProperty(
        name="Kairos",
        description="Kairos' folder or its launcher; empty where the installer left it",
        subtype="FILE_PATH",
    ),
    cache=bpy.props.StringProperty(
        name="Cache",
        description="Where results are kept; empty for $KAIROS_CACHE or a folder beside Blender's extensions",
        subtype="DIR_PATH",
    ),
    engine=bpy.props.StringProperty(
        name="Engine",
        description="What finds the motion in a new node; auto takes the best that can run here",
        default="auto",
        search=suggest_engines,
        search_options={"SUGGESTION"},
    ),
    device=bpy.props.StringProperty(
        name="Device",
        description="Where a new node computes",
        default="auto",
        search=suggest_devices,
        search_options={"SUGGESTION"},
    ),
)
class KairosPreferences(bpy.types.AddonPreferences):
    """Drawn under Preferences > Add-ons > Kairos Retimer."""

    bl_idname = __package__

    def draw(self, context: Any) -> None:
        """The preferences' panel."""
        layout = self.layout
        for line in parts.troubles.values():
            draw_text(layout, line, "ERROR", 90)
        column = layout.column()
        column.use_property_split = True
        for name in DEFAULTS:
            column.prop(self, name)
        if not {"running", "checking"} & set(parts.troubles):
            layout.operator("kairos.check", icon="CHECKMARK")
        for line in answers:
            draw_text(layout, line, "NONE", 90)


def draw_text(layout: Any, text: str, icon: str, width: int) -> None:
    """Draws a sentence over as many lines as it needs; Blender's labels do not wrap. ``width`` is in letters."""
    column = layout.column(align=True)
    line = ""
    lines = []
    for word in text.split():
        if line and len(line) + len(word) >= width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    for number, one in enumerate([*lines, line]):
        column.label(text=one, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE")


CLASSES = (KairosPreferences,)


def register() -> None:
    """Makes the preferences known to Blender."""
    parts.register_classes(CLASSES)


def unregister() -> None:
    """Takes them away."""
    parts.unregister_classes(CLASSES)
