"""Nuke's published interface (the stubs of the package ``types-nuke``), and what the stand-in has that it has not."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest


def stubs() -> Path:
    """Folder of the stubs: where ``$KAIROS_NUKE_STUBS`` says, or the installed package's. Skips where there is none."""
    given = os.environ.get("KAIROS_NUKE_STUBS")
    if given:
        return Path(given)
    try:
        files = importlib.metadata.files("types-nuke") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("types-nuke is not installed: pip install types-nuke==13.2.8.0")
    return Path(str(next(file for file in files if file.name == "_nuke.pyi").locate())).parent


def interface(folder: Path) -> Dict[str, Dict[str, List[Optional[Tuple[int, int]]]]]:
    """Least and most arguments of every function ('' as class) and method; None where any number goes."""
    found: Dict[str, Dict[str, List[Optional[Tuple[int, int]]]]] = {"": {}}
    bases: Dict[str, List[str]] = {}
    for path in sorted(folder.glob("*.pyi")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                found[""].setdefault(node.name, []).append(_arity(node, 0))
            elif isinstance(node, (ast.AnnAssign, ast.ImportFrom)):
                names = [node.target.id] if isinstance(node, ast.AnnAssign) else [one.name for one in node.names]  # type: ignore[union-attr]
                found[""].update({name: [None] for name in names})
            elif isinstance(node, ast.ClassDef):
                bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
                methods = found.setdefault(node.name, {})
                for one in node.body:
                    if isinstance(one, ast.FunctionDef):
                        methods.setdefault(one.name, []).append(_arity(one, 1))
    for name in bases:
        for base in _ancestors(name, bases):
            for method, arity in found.get(base, {}).items():
                found[name].setdefault(method, arity)
    return found


def _ancestors(name: str, bases: Dict[str, List[str]]) -> Iterator[str]:
    for base in bases.get(name, []):
        yield base
        yield from _ancestors(base, bases)


def _arity(node: ast.FunctionDef, own: int) -> Optional[Tuple[int, int]]:
    if node.args.vararg is not None:
        return None
    most = len(node.args.args) - own
    return most - len(node.args.defaults), most


def differences(module: Any, folder: Path) -> List[str]:
    """What the stand-in has that Nuke has not, or takes that Nuke does not."""
    known = interface(folder)
    wrong = []
    extras = {"made", "messages", "callbacks", "executed", "paths", "saved"}
    for name, thing in vars(module).items():
        if name.startswith("__") or name in extras:
            continue
        if inspect.isclass(thing):
            wrong += [name] if name not in known else []
            for one, call in vars(thing).items():
                if not one.startswith("_") and not _fits(known.get(name, {}).get(one), call, 1):
                    wrong.append(f"{name}.{one}")
        elif name not in known[""] or (inspect.isfunction(thing) and not _fits(known[""][name], thing, 0)):
            wrong.append(name)
    return wrong


def _fits(allowed: Optional[List[Optional[Tuple[int, int]]]], call: Callable[..., Any], own: int) -> bool:
    """Whether every number of arguments that ours takes is one that Nuke's takes."""
    if allowed is None:
        return False
    parameters = list(inspect.signature(call).parameters.values())[own:]
    least = sum(1 for one in parameters if one.default is inspect.Parameter.empty)
    return any(one is None or (one[0] <= least and len(parameters) <= one[1]) for one in allowed)
