"""The house is in order: imports point one way, and the repository speaks of Kairos alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Set

import pytest

from support.shared import ROOT

FLOORS = {
    "allocator": 1,
    "frame": 1,
    "errors": 1,
    "events": 1,
    "unchanged": 1,
    "images": 2,
    "color": 2,
    "motion": 3,
    "engines": 4,
    "training": 4,
    "weights": 4,
    "retime": 5,
    "vectors": 5,
    "inbetween": 5,
    "pictures": 6,
    "service": 6,
    "bench": 6,
    "demo": 6,
    "cli": 6,
    "__main__": 6,
    "__init__": 6,
}
"""DESIGN's floors of the runtime: a module imports from its own and from those below."""

BARE = {
    "motion": {"torch", "numpy"},
    "engines": {"torch", "numpy", "cv2", "safetensors", "onnxruntime"},
    "training": {"torch", "numpy", "cv2", "safetensors", "PIL", "skimage"},
    "weights": {"torch", "safetensors", "platformdirs"},
}
"""What runs on a bare GPU machine imports no other library, and of Kairos only itself and floor 1."""

OPTIONAL = {
    "engines/product_kernel.py": {"llvmlite", "numba"},
    "engines/vector_kernel.py": {"llvmlite", "numba"},
    "motion/compiled.py": {"numba", "llvmlite"},
    "motion/kernels.py": {"numba"},
    "engines/gimm/kernels.py": {"numba"},
    "engines/export.py": {"onnx"},
    "engines/onnx/graph.py": {"platformdirs"},
}
"""Loaded when they are first needed, and done without or asked for where they are missing (motion/test_fast.py)."""

RUNTIME = sorted((ROOT / "runtime" / "kairos").rglob("*.py"))


def _tracked() -> List[Path]:
    """Files of the repository; all below its folder where there is no git."""
    answer = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        return [path for path in ROOT.rglob("*") if path.is_file() and ".runtime" not in path.parts]
    return [ROOT / name for name in answer.stdout.split("\0") if name and (ROOT / name).is_file()]


def _imports(path: Path, package: str) -> Iterator[str]:
    """Full names of what a module imports, relative ones resolved against its package."""
    return _names(ast.walk(ast.parse(path.read_text(encoding="utf-8"))), package)


def _imports_at_once(path: Path, package: str) -> Iterator[str]:
    """Those of the imports that run when the module does."""
    return _names(ast.parse(path.read_text(encoding="utf-8")).body, package)


def _names(nodes: Iterable[ast.AST], package: str) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _package(path: Path, root: Path) -> str:
    return ".".join(path.parent.relative_to(root).parts)


def _floor_name(path: Path) -> str:
    relative = path.relative_to(ROOT / "runtime" / "kairos")
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", RUNTIME, ids=lambda path: str(path.relative_to(ROOT / "runtime" / "kairos")))
def test_a_runtime_module_imports_from_its_own_floor_and_below(path: Path) -> None:
    own = _floor_name(path)
    for name in _imports(path, _package(path, ROOT / "runtime")):
        parts = name.split(".")
        if parts[0] == "kairos" and len(parts) > 1 and parts[1] in FLOORS:
            assert FLOORS[parts[1]] <= FLOORS[own], f"{path.name} is on floor {FLOORS[own]} and imports {name}"


def test_no_module_is_needed_before_it_is_there() -> None:
    """Any module may be the first that is imported: a package runs before what lies in it."""
    known = {".".join(path.relative_to(ROOT / "runtime").with_suffix("").parts): path for path in RUNTIME}
    known = {name.removesuffix(".__init__"): path for name, path in known.items()}
    needs: Dict[str, Set[str]] = {}
    for name, path in known.items():
        wanted = {each for each in _imports_at_once(path, _package(path, ROOT / "runtime")) if each in known}
        for each in list(wanted):
            parts = each.split(".")
            wanted.update(".".join(parts[:end]) for end in range(1, len(parts)))
        needs[name] = {each for each in wanted if each != name and not name.startswith(f"{each}.")}
    TopologicalSorter(needs).prepare()


@pytest.mark.parametrize("folder", sorted(BARE))
def test_motion_and_engines_run_on_a_bare_gpu_machine(folder: str) -> None:
    allowed_kairos = {name for name, floor in FLOORS.items() if floor == 1} | set(BARE)
    for path in (ROOT / "runtime" / "kairos" / folder).rglob("*.py"):
        optional = OPTIONAL.get(path.relative_to(ROOT / "runtime" / "kairos").as_posix(), set())
        for name in _imports(path, _package(path, ROOT / "runtime")):
            parts = name.split(".")
            if parts[0] == "kairos":
                assert len(parts) == 1 or parts[1] in allowed_kairos, f"{path.name} imports {name}"
            elif parts[0] not in sys.stdlib_module_names | {"kairos_nodes"}:
                assert parts[0] in BARE[folder] | optional, f"{path.name} imports {name}"


@pytest.mark.parametrize(
    ("folder", "ours"), [("nodes", {"kairos_nodes"}), ("installer", {"kairos_nodes", "kairos_installer"})]
)
def test_nodes_and_installer_import_the_standard_library_alone(folder: str, ours: Set[str]) -> None:
    allowed = set(sys.stdlib_module_names) | ours
    for path in (ROOT / folder).rglob("*.py"):
        outside = {name.partition(".")[0] for name in _imports(path, _package(path, ROOT / folder))} - allowed
        assert not outside, f"{path.name} imports {outside}"


@pytest.mark.parametrize("path", [path for path in _tracked() if path.suffix == ".py"], ids=lambda path: path.name)
def test_nothing_is_left_undone(path: Path) -> None:
    if path == Path(__file__).resolve():
        return
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"\bTODO\b|\bFIXME\b|\bXXX\b|raise NotImplementedError", text)
    assert not found


def test_the_installer_names_no_address() -> None:
    # Where packages come from is pip's configuration, which a studio sets, and uv's own knowledge of torch's builds.
    files = [ROOT / "kairos", ROOT / "kairos.cmd", ROOT / "pyproject.toml", ROOT / ".ci" / "run"]
    for path in [*files, *(ROOT / "installer").rglob("*.py")]:
        assert "://" not in path.read_text(encoding="utf-8"), path
