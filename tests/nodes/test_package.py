"""What a host imports is light, old-fashioned enough, and described by the manifest."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from kairos_nodes.manifest import build_manifest, manifest_text
from kairos_nodes.nodes import HOSTS, NODES
from kairos_nodes.parameters import PARAMETERS, parameters_of
from kairos_nodes.reference import reference_text
from support.shared import ROOT

MODULES = sorted((ROOT / "nodes" / "kairos_nodes").rglob("*.py"))
ENGINES = [{"id": "zeta", "title": "Z"}, {"id": "alpha", "title": "A"}]


def test_every_module_imports_with_the_standard_library_alone() -> None:
    paths = [path.relative_to(ROOT / "nodes").with_suffix("") for path in MODULES if path.stem != "__init__"]
    names = [".".join(path.parts) for path in paths]
    code = (
        "import sys, importlib; sys.path.insert(0, sys.argv[1])\n"
        "for name in sys.argv[2:]: importlib.import_module(name)\n"
        "outside = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(name for name in outside if not name.startswith('__')))"
    )
    command = [sys.executable, "-S", "-I", "-c", code, str(ROOT / "nodes"), *names]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout.strip()) == (0, "['kairos_nodes']"), answer.stderr


@pytest.mark.parametrize("path", [*MODULES, *sorted((ROOT / "installer").rglob("*.py"))], ids=lambda path: path.name)
def test_source_parses_as_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=(3, 9))


def test_the_manifest_is_stable_json_that_names_everything() -> None:
    text = manifest_text(build_manifest(ENGINES))
    assert text == manifest_text(build_manifest(ENGINES[::-1]))
    assert text.endswith("}\n")
    manifest = json.loads(text)
    assert [engine["id"] for engine in manifest["engines"]] == ["alpha", "zeta"]
    assert [row["name"] for row in manifest["parameters"]] == list(PARAMETERS)
    assert {node["id"] for node in manifest["nodes"]} == {"Retime", "MotionVectors", "SlowMotion"}


def test_every_host_of_the_manifest_has_its_folder_and_every_folder_its_host() -> None:
    folders = {path.name for path in (ROOT / "plugin").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(HOSTS)


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.id)
def test_a_nodes_knobs_are_parameters_of_its_job(node: object) -> None:
    known = {one.name for one in parameters_of(node.job.kind)}  # type: ignore[attr-defined]
    assert set(node.parameters) <= known  # type: ignore[attr-defined]
    assert set(node.without) <= known  # type: ignore[attr-defined]
    assert "input" not in node.parameters  # type: ignore[attr-defined]


def test_the_reference_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    assert written == reference_text(), "run kairos manifest --write"


def test_the_reference_page_has_a_row_for_every_flag() -> None:
    text = reference_text()
    for one in PARAMETERS.values():
        assert f"| `{one.title}`" in text
