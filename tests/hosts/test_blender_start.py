"""Blender starts as always, whatever is wrong with Kairos; and the extension's zip is what Blender takes."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict

import av
import numpy as np
import pytest

from kairos_nodes import __version__
from support.blender import VERSIONS, Blender, build_extension, installed_blender
from support.shared import ROOT

PLUGIN = ROOT / "plugin" / "blender"
FILES = sorted(PLUGIN.rglob("*.py"))


@pytest.fixture(scope="module", params=sorted(VERSIONS))
def blender(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Blender:
    """A Blender with the extension installed."""
    return installed_blender(request.param, tmp_path_factory.mktemp("blender", numbered=True))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_plugin_is_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


@pytest.mark.parametrize("path", sorted((PLUGIN / "kairos_retimer").rglob("*.py")), ids=lambda path: path.name)
def test_the_extension_imports_itself_relatively_and_nothing_that_blender_has_not(path: Path) -> None:
    # An extension's package is called differently in every repository of extensions.
    there = {"bpy", "bpy_extras", "kairos_nodes"} | set(sys.stdlib_module_names)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        assert {name.partition(".")[0] for name in names} <= there


def test_other_sources_are_another_version_of_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blender does not unpack a wheel of a version that it has unpacked before."""
    spec = importlib.util.spec_from_file_location("built_apart", PLUGIN / "build_extension.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    nodes = tmp_path / "nodes" / "kairos_nodes"
    shutil.copytree(ROOT / "nodes" / "kairos_nodes", nodes, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "LICENSE", tmp_path)
    monkeypatch.setattr(module, "NODES", nodes)
    names = [module.write_wheel(tmp_path / "a", "1.0.0").name, module.write_wheel(tmp_path / "b", "1.0.0").name]
    with (nodes / "errors.py").open("a", encoding="utf-8") as stream:
        stream.write("# changed\n")
    names.append(module.write_wheel(tmp_path / "c", "1.0.0").name)
    assert names[0] == names[1] != names[2]


def test_the_zip_holds_this_version_and_its_nodes_as_a_wheel(tmp_path: Path) -> None:
    archive = build_extension(tmp_path)
    assert archive.name == f"kairos_retimer-{__version__}.zip"
    with zipfile.ZipFile(archive) as opened:
        manifest = opened.read("blender_manifest.toml").decode()
        (wheel,) = [name for name in opened.namelist() if name.startswith("wheels/")]
        assert re.fullmatch(rf"wheels/kairos_nodes-{re.escape(__version__)}\+k[0-9a-f]{{12}}-py3-none-any\.whl", wheel)
        assert f'version = "{__version__}"' in manifest
        assert f'wheels = ["./{wheel}"]' in manifest
        assert not [name for name in opened.namelist() if "__pycache__" in name]
        opened.extract(wheel, tmp_path)
    with zipfile.ZipFile(tmp_path / wheel) as opened:
        packed = {name for name in opened.namelist() if name.startswith("kairos_nodes/") and name.endswith(".py")}
    own = {path.relative_to(ROOT / "nodes").as_posix() for path in (ROOT / "nodes" / "kairos_nodes").rglob("*.py")}
    assert packed == own


def test_the_same_sources_make_the_same_zip(tmp_path: Path) -> None:
    one, two = (build_extension(tmp_path / name) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_manifest_that_blender_would_refuse_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "plugin" / "blender"
    shutil.copytree(PLUGIN, copy)
    shutil.copytree(ROOT / "nodes" / "kairos_nodes", tmp_path / "nodes" / "kairos_nodes")
    shutil.copy(ROOT / "LICENSE", tmp_path)
    manifest = copy / "kairos_retimer" / "blender_manifest.toml"
    manifest.write_text(manifest.read_text().replace('masks"', 'masks."'))
    answer = subprocess.run(
        ["python3", str(copy / "build_extension.py"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert "tagline" in answer.stderr


def test_our_zip_holds_what_blenders_own_tool_packs(tmp_path: Path, blender: Blender) -> None:
    archives = build_extension(tmp_path / "ours"), build_extension(tmp_path / "theirs", blender.python)
    contents = []
    for archive in archives:
        with zipfile.ZipFile(archive) as opened:
            contents.append({name: opened.read(name) for name in opened.namelist()})
    assert contents[0] == contents[1]


@pytest.fixture(scope="module")
def broken(blender: Blender) -> Dict[str, Any]:
    """What a Blender says whose preferences name wrong places."""
    wrong = blender.folder / "wrong"
    wrong.write_text("#!/bin/sh\necho no disk space left for the runtime >&2\nexit 1\n")
    wrong.chmod(0o755)
    return dict(
        blender.run(
            "broken.py",
            runtimes={"no_runtime": "/nowhere/kairos", "broken_runtime": str(wrong)},
            caches={"wrong_cache": str(wrong)},
        )
    )


def test_a_wrong_path_of_kairos_is_told_with_the_path(broken: Dict[str, Any]) -> None:
    assert broken["enabled"] and not broken["troubles"] and broken["blender_works"]
    assert "/nowhere/kairos" in broken["no_runtime"]


def test_a_runtime_that_ends_at_once_is_told_with_its_last_words(broken: Dict[str, Any]) -> None:
    assert "no disk space left" in broken["broken_runtime"]
    assert "runtime.log" in broken["broken_runtime"]


def test_a_cache_that_cannot_be_written_is_told(broken: Dict[str, Any]) -> None:
    assert "wrong" in broken["wrong_cache"] and "preferences" in broken["wrong_cache"]


def test_without_its_wheel_the_extension_says_what_to_do(blender: Blender) -> None:
    found = blender.run("broken.py", without_nodes=True)
    assert found["loaded"] and found["enabled"] and found["blender_works"]
    # The preferences alone need no nodes: they are where the artist reads this.
    assert "preferences" not in found["troubles"]
    assert "running" in found["troubles"]
    for words in found["troubles"].values():
        assert "kairos_nodes" in words and "kairos install blender" in words


def test_a_home_that_cannot_be_written_moves_the_cache(blender: Blender) -> None:
    home = blender.folder / "home"
    home.write_text("a file where a folder should be: not even the superuser can make a folder in it")
    user = blender.folder / "user" / "extensions" / ".user"
    if user.exists():
        shutil.rmtree(user)
    user.write_text("a file")
    found = blender.run("broken.py", caches={"cache": ""}, environment={"KAIROS_CACHE": "", "HOME": str(home / "me")})
    user.unlink()
    assert found["enabled"] and not found["troubles"] and found["blender_works"]
    assert Path(found["cache"]).is_dir()
    assert blender.folder not in Path(found["cache"]).parents
    shutil.rmtree(found["cache"])


@pytest.fixture(scope="module")
def asked(blender: Blender) -> Dict[str, Any]:
    """What nodes ask of the runtime."""
    folder = blender.folder / "asked"
    folder.mkdir()
    movie = folder / "clip.mp4"
    with av.open(str(movie), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in range(9):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return {"folder": str(folder), **blender.run("settings.py", folder=str(folder), movie=str(movie))}


def test_a_node_begins_with_the_engine_of_the_preferences(asked: Dict[str, Any]) -> None:
    assert asked["engine"] == "classic"


def test_a_plate_that_is_not_rendered_yet_is_told(asked: Dict[str, Any]) -> None:
    assert "no rendered frames" in asked["unrendered"]["error"]
    assert "Render the animation first" in asked["reported"]


def test_rendered_frames_keep_their_place_on_the_timeline(asked: Dict[str, Any]) -> None:
    job = asked["rendered"]
    assert job["input"] == f"{asked['folder']}/out/pic_%04d.png"
    assert (job["range"], job["start"], job["speed"]) == ("1-4", 1, "0.5")
    assert (job["vectors"], job["masks"]) == ("blender", True)
    # Blender's own colour configuration: what comes back is in Blender's own scene-linear space.
    assert job["ocio"].endswith("config.ocio")


def test_a_speed_of_a_third_is_exactly_that(asked: Dict[str, Any]) -> None:
    assert [Fraction(one) for one in asked["speeds"]] == [Fraction(1, 3), Fraction(1, 10), Fraction(1000, 1001), -2]


def test_a_frame_rate_conversion_starts_from_the_scenes_exact_rate(asked: Dict[str, Any]) -> None:
    assert (asked["to_fps"]["to_fps"], asked["to_fps"]["fps"]) == ("60", "24000/1001")
    assert asked["to_fps"]["speed"] is None


def test_an_animated_source_frame_becomes_a_frame_map(asked: Dict[str, Any]) -> None:
    assert "Source Frame has no keys" in asked["no_keys"]["error"]
    assert asked["map"].splitlines()[1:] == ["10 1", "11 1.5", "12 2", "13 2.5", "14 3"]
    assert asked["keyed"]["start"] is None


def test_footage_begins_with_the_scene(asked: Dict[str, Any]) -> None:
    assert "No plate is chosen" in asked["no_file"]["error"]
    job = asked["file"]
    assert job["input"] == f"{asked['folder']}/shot.v2.%04d.exr"
    assert (job["range"], job["start"]) == ("1001-1003", 7)
    assert "1009" in asked["beyond"]["error"] and "1001 to 1003" in asked["beyond"]["error"]


def test_a_movie_is_taken_whole_and_counted_by_the_runtime(asked: Dict[str, Any]) -> None:
    # Kairos counts a movie's frames from 0; the scene then begins at 7.
    assert (asked["movie"]["input"], asked["movie"]["range"]) == (f"{asked['folder']}/clip.mp4", None)
    assert (asked["movie"]["start"], asked["movie_frames"]) == (7, 8)


def test_new_settings_and_new_pixels_make_a_new_result(asked: Dict[str, Any]) -> None:
    assert asked["settings_noticed"] and asked["new_pixels_noticed"]
    assert asked["fresh"] == "Not rendered yet"
    assert asked["keys_differ"]


def test_every_knob_is_a_property(asked: Dict[str, Any]) -> None:
    assert asked["knobs"] == {"KairosRetimeNode": []}


def test_a_damaged_plate_offers_no_vector_pass(asked: Dict[str, Any]) -> None:
    assert asked["vector_pass"] == ""
