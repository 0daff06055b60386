#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the Blender extension's zip: this folder's kairos_retimer, with kairos_nodes in it as a wheel.

    python build_extension.py OUT_DIR [--blender BLENDER]

Blender's own tool builds and checks it where it can be had; otherwise the same zip is written here. Needs the standard
library alone, Python 3.9 or later.
"""

from __future__ import annotations

import argparse
import ast
import base64
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "kairos_retimer"
NODES = HERE.parents[1] / "nodes" / "kairos_nodes"
MANIFEST = "blender_manifest.toml"

LONGEST = 64
"""Letters that Blender allows in a tagline and in the reason for a permission."""

_TOOL = Path("scripts") / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
_NOT_SHIPPED = ("__pycache__", "*.pyc", ".*", "wheels")
_EPOCH = (1980, 1, 1, 0, 0, 0)


class BuildError(Exception):
    """The zip cannot be built: why, and what to do."""


def build(out_dir: Path, blender: Optional[Path] = None) -> Path:
    """Builds the extension.

    Args:
        out_dir: where the zip goes; made where it is not there.
        blender: a Blender from 4.2 on, or a Python that has the module bpy, whose own tool is to build. None, or one
            without the tool: written here.

    Returns:
        The zip, named by the extension's id and version.

    Raises:
        BuildError: the sources are not complete, or Blender's tool refuses them.
    """
    version = _version()
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kairos-extension-") as temporary:
        staged = Path(temporary) / SOURCE.name
        shutil.copytree(SOURCE, staged, ignore=shutil.ignore_patterns(*_NOT_SHIPPED))
        wheel = write_wheel(staged / "wheels", version)
        manifest = staged / MANIFEST
        manifest.write_text(_filled(manifest.read_text(encoding="utf-8"), version, wheel.name), encoding="utf-8")
        check(staged)
        made = out_dir / f"{SOURCE.name}-{version}.zip"
        command = None if blender is None else _tool(Path(blender))
        if command is None:
            _write_zip(staged, made)
        else:
            _run([*command, "build", f"--source-dir={staged}", f"--output-dir={out_dir}"])
    if not made.is_file():
        raise BuildError(f"Blender's tool wrote no {made.name} to {out_dir}. Build without --blender.")
    return made


def write_wheel(folder: Path, version: str) -> Path:
    """kairos_nodes as a wheel, the same bytes for the same sources. Returns its path.

    Blender keeps a wheel that it has unpacked until the wheel's version changes: so the version names the contents.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: List[Tuple[str, bytes]] = [
        (path.relative_to(NODES.parent).as_posix(), path.read_bytes()) for path in _sources(NODES)
    ]
    contents = hashlib.sha256(b"".join(path.encode() + data for path, data in files)).hexdigest()[:12]
    version = f"{version}+k{contents}"
    name = f"kairos_nodes-{version}"
    info = f"{name}.dist-info"
    licence = NODES.parents[1] / "LICENSE"
    files += [
        (
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: kairos-nodes\nVersion: {version}\nLicense: Apache-2.0\n"
            "Summary: Kairos' nodes: parameters, jobs and the client of its runtime\nRequires-Python: >=3.9\n".encode(),
        ),
        (f"{info}/WHEEL", b"Wheel-Version: 1.0\nGenerator: kairos\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        (f"{info}/LICENSE", licence.read_bytes()),
    ]
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in files)
    files.append((f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode()))
    wheel = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files:
            _store(archive, path, data)
    return wheel


def check(folder: Path) -> None:
    """What Blender's tool checks of an extension like this one. Raises BuildError naming the field."""
    manifest = read_manifest((folder / MANIFEST).read_text(encoding="utf-8"))
    for field in ("schema_version", "id", "version", "name", "tagline", "maintainer", "type", "license"):
        if not manifest.get(field):
            raise BuildError(f"{MANIFEST}: {field} is missing.")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", manifest["id"]):
        raise BuildError(f"{MANIFEST}: id {manifest['id']!r} is not in small letters, digits and single underscores.")
    for field in ("version", "blender_version_min"):
        if not re.fullmatch(r"\d+\.\d+\.\d+(-[0-9a-z.]+)?", manifest.get(field, "")):
            raise BuildError(f"{MANIFEST}: {field} {manifest.get(field)!r} is not like 1.2.3.")
    for field in ("tagline", "permissions.files"):
        text = manifest.get(field, "")
        if not text or len(text) > LONGEST or not re.search(r"[\w)]$", text):
            raise BuildError(f"{MANIFEST}: {field} takes 1 to {LONGEST} letters, without a full stop.")
    for wheel in manifest.get("wheels", []):
        if not (folder / wheel).is_file():
            raise BuildError(f"{MANIFEST}: the wheel {wheel} is not there.")
    if not (folder / "__init__.py").is_file():
        raise BuildError(f"{folder} has no __init__.py.")


def read_manifest(text: str) -> Dict[str, Any]:
    """Fields of a manifest whose values each stand on one line; those of a table as ``table.field``.

    Python has a reader of TOML from 3.11 on only, and this runs from 3.9 on.
    """
    found: Dict[str, Any] = {}
    table = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            table = line.strip("[]") + "."
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            try:
                found[table + name.strip()] = ast.literal_eval(value.strip())
            except (SyntaxError, ValueError):
                raise BuildError(f"{MANIFEST}: cannot read the line {line!r}.") from None
    return found


def _version() -> str:
    text = (NODES / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if found is None:
        raise BuildError(f"{NODES} names no version: Kairos' folder is not complete.")
    return found.group(1)


def _filled(manifest: str, version: str, wheel: str) -> str:
    """The manifest for this version, with the wheel in it."""
    manifest = re.sub(r"^version = .*$", f'version = "{version}"', manifest, flags=re.MULTILINE)
    return re.sub(r"^wheels = .*$", f'wheels = ["./wheels/{wheel}"]', manifest, flags=re.MULTILINE)


def _tool(blender: Path) -> Optional[List[str]]:
    """The beginning of a command that is Blender's extension tool; None where this Blender has none (before 4.2)."""
    if re.match(r"python[\d.]*(\.exe)?$", blender.name.lower()):
        code = "import importlib.util as u; print(u.find_spec('bpy').submodule_search_locations[0])"
        answer = subprocess.run([str(blender), "-c", code], capture_output=True, text=True, check=False)
        place = Path(answer.stdout.strip())
        tools = sorted(place.glob(str(Path("*") / _TOOL))) if answer.returncode == 0 and answer.stdout.strip() else []
        return [str(blender), str(tools[-1])] if tools else None
    try:
        answer = subprocess.run([str(blender), "--version"], capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{blender} cannot be run: {error}.") from None
    found = re.search(r"^Blender (\d+)\.(\d+)", answer.stdout, re.MULTILINE)
    if found is None or (int(found.group(1)), int(found.group(2))) < (4, 2):
        return None
    return [str(blender), "--factory-startup", "--command", "extension"]


def _run(command: List[str]) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        said = (answer.stderr.strip() or answer.stdout.strip()).splitlines()
        raise BuildError(f"Blender's tool did not build the extension: {said[-1] if said else 'it said nothing'}")


def _sources(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix in (".py", ".typed", ".json"):
            yield path


def _write_zip(folder: Path, made: Path) -> None:
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                _store(archive, path.relative_to(folder).as_posix(), path.read_bytes())


def _store(archive: zipfile.ZipFile, path: str, data: bytes) -> None:
    """The same bytes whenever it is built."""
    entry = zipfile.ZipInfo(path, _EPOCH)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data)


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def main(arguments: Optional[List[str]] = None) -> int:
    """The command line. Prints the zip's path."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out_dir", type=Path, metavar="OUT_DIR")
    parser.add_argument("--blender", type=Path, help="Blender, or a Python that has the module bpy")
    given = parser.parse_args(arguments)
    try:
        print(build(given.out_dir, given.blender))
    except (BuildError, OSError) as error:
        print(f"build_extension: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
