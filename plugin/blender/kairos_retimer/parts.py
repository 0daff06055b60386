# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension's parts begin and end one by one, so that a broken one leaves Blender and the others in peace."""

from __future__ import annotations

import importlib
import traceback
from typing import Any, Dict, List, Sequence

import bpy

troubles: Dict[str, str] = {}
"""What each part that could not begin says, by the part's name."""

_begun: List[str] = []


def register(names: Sequence[str]) -> None:
    """Begins parts. What one of them raises is kept in :data:`troubles` and printed, and never leaves this function."""
    troubles.clear()
    for name in names:
        try:
            _module(name).register()
        except Exception as error:
            # Any exception at all: an add-on that raises here is shown as broken, or stops a render farm's start.
            troubles[name] = _words(name, error)
            print(f"Kairos: {troubles[name]}")
            traceback.print_exc()
        else:
            _begun.append(name)


def unregister() -> None:
    """Ends the parts that have begun, the last one first."""
    while _begun:
        name = _begun.pop()
        try:
            _module(name).unregister()
        except Exception as error:
            print(f"Kairos: {name} did not end well: {error}")
            traceback.print_exc()


def register_classes(classes: Sequence[Any]) -> None:
    """Makes classes known to Blender: all of them, or none where one cannot be."""
    done: List[Any] = []
    try:
        for one in classes:
            bpy.utils.register_class(one)
            done.append(one)
    except Exception:
        unregister_classes(done)
        raise


def unregister_classes(classes: Sequence[Any]) -> None:
    """The inverse of :func:`register_classes`."""
    for one in reversed(classes):
        bpy.utils.unregister_class(one)


def with_properties(**properties: Any) -> Any:
    """A class decorator: gives a class of Blender's its properties, made by ``bpy.props``.

    Blender reads a class's annotations; made here, they may come from a table, and the class body stays plain Python.
    """

    def decorate(cls: Any) -> Any:
        cls.__annotations__ = properties
        return cls

    return decorate


def _module(name: str) -> Any:
    return importlib.import_module(f".{name}", __package__)


def _words(name: str, error: Exception) -> str:
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "kairos_nodes":
        return (
            f"{name}: the package kairos_nodes, which comes with the extension, was not found or is damaged. "
            "Install the extension's zip again (kairos install blender)."
        )
    return f"{name}: {error} ({type(error).__name__}). Install the extension's zip again, of this Kairos' version."
