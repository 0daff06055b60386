"""``--regions tags:`` in jobs, with tiny untrained networks of the real kinds: found once, known by their files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
import pytest

from kairos.errors import BadRequest, EngineError
from kairos.retime import region_found
from kairos.weights.adding import add
from kairos.weights.store import Store
from kairos_nodes.cache import CACHE_VARIABLE
from support import made
from support.exr import read_exr
from support.jobs import Ran, kairos_here, retime
from support.made import Clip
from support.open_world import keep_folders

TAGS = 'tags:"dog. tree."'
JOB: Dict[str, Any] = {"speed": 0.5, "engine": "classic", "regions": TAGS}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Path]:
    return keep_folders(tmp_path_factory.mktemp("folders"))


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "weights"))
    yield Store()


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    return made.pan(tmp_path / "plate", frames=3, size=(64, 96))


def take(store: Store, folder: Path) -> None:
    add(folder, store, lambda network, terms: True)


def kept(tmp_path: Path) -> List[Path]:
    """Label maps in the cache."""
    return sorted((tmp_path / "cache" / "regions").rglob("*.npz"))


def pixels(ran: Ran) -> List[np.ndarray]:
    return [np.stack([read_exr(file)[name] for name in "RGB"]) for file in ran.files()]


def test_a_job_finds_what_words_name_once_for_a_shot(
    clip: Clip, tmp_path: Path, store: Store, folders: Dict[str, Path], monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for folder in folders.values():
        take(store, folder)
    out = str(tmp_path / "first" / "out.%04d.exr")
    said = kairos_here(capfd, "retime", clip.pattern, out, "--speed", "0.5", "--engine", "classic",
                       "--regions", TAGS, "--device", "cpu")  # fmt: skip
    assert said.returncode == 0, said.stderr
    frames = sorted((tmp_path / "first").glob("*.exr"))
    assert len(frames) == 5 and all(np.isfinite(read_exr(each)["G"]).all() for each in frames)
    maps = [np.load(path)["labels"] for path in kept(tmp_path)]
    assert len(maps) == 3 and len({path.parent for path in kept(tmp_path)}) == 1, "one map for each frame of the shot"
    assert all(each.shape == (64, 96) and set(np.unique(each)) <= {0, 1, 2} for each in maps)
    assert any(each.any() for each in maps), "these networks see something"

    def none(*arguments: Any) -> Any:
        raise AssertionError("networks were built for what is known")

    monkeypatch.setattr(region_found, "load_models", none)
    again = retime(clip, tmp_path / "again", **JOB)
    assert len(again.outcome.rendered) == 5
    assert all(
        np.array_equal(one, np.stack([read_exr(file)[name] for name in "RGB"]))
        for one, file in zip(pixels(again), frames)
    )
    ids = str(tmp_path / "ids.%04d.exr")
    looked = kairos_here(capfd, "regions", clip.pattern, "--regions", TAGS, "--out", ids, "--device", "cpu")
    assert looked.returncode == 0, looked.stderr
    for one, path in zip(maps, sorted(tmp_path.glob("ids.*.exr"))):
        assert np.array_equal(read_exr(path)["regions.id"], one)
    assert len(kept(tmp_path)) == 3


def test_frames_are_known_by_the_files_of_the_models(
    clip: Clip, tmp_path: Path, store: Store, folders: Dict[str, Path]
) -> None:
    for folder in folders.values():
        take(store, folder)
    assert len(retime(clip, tmp_path / "out", **JOB).outcome.rendered) == 5
    assert len(retime(clip, tmp_path / "out", **JOB).outcome.skipped) == 5
    # Other weights of the same name.
    store.remove("sam-hq")
    take(store, keep_folders(tmp_path / "others", seed=1)["sam-hq"])
    with pytest.raises(BadRequest, match="other settings"):
        retime(clip, tmp_path / "out", **JOB)
    assert len(retime(clip, tmp_path / "out", overwrite=True, **JOB).outcome.rendered) == 5
    assert len(kept(tmp_path)) == 6, "other models, other maps"
    # The same weights, which are shown pictures of another size.
    folder = shutil.copytree(folders["grounding-dino"], tmp_path / "smaller" / "grounding-dino")
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"shortest_edge": 32, "longest_edge": 48}}))
    store.remove("grounding-dino")
    take(store, folder)
    with pytest.raises(BadRequest, match="other settings"):
        retime(clip, tmp_path / "out", **JOB)


def test_missing_weights_stop_the_job_in_one_line_that_says_how_to_add_them(
    clip: Clip, tmp_path: Path, store: Store, folders: Dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    take(store, folders["grounding-dino"])
    with pytest.raises(EngineError) as refused:
        retime(clip, tmp_path / "out", **JOB)
    out, ids = (str(tmp_path / name / f"{name}.%04d.exr") for name in ("cli", "ids"))
    for words in (("retime", clip.pattern, out, "--speed", "0.5"), ("regions", clip.pattern, "--out", ids)):
        said = kairos_here(capfd, *words, "--regions", TAGS, "--device", "cpu")
        assert said.returncode not in (0, None)
        lines = [line for line in said.stderr.splitlines() if "sam-hq" in line]
        for line in (str(refused.value), *lines):
            assert "need the weights of sam-hq." in line and "\n" not in line
            assert "syscv-community/sam-hq-vit-base (Apache-2.0)" in line and "kairos weights add FOLDER" in line
        assert len(lines) == 1 and "Traceback" not in said.stderr
    assert not list(tmp_path.rglob("*.npz")) and not list((tmp_path / "cli").glob("*.exr"))
