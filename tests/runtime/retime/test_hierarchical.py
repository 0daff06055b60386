"""The engine ``hierarchical`` in jobs: it takes what moves apart where nobody names objects, and frames know it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
import pytest

from kairos.bench.untrained import keep
from kairos.cli import export
from kairos.engines.hierarchical import engine as module
from kairos.engines.hierarchical.architecture import plugged_values
from kairos.engines.registry import engine
from kairos.errors import BadRequest, EngineError
from kairos.retime.settle import settle_engine, settle_regions
from kairos.vectors import as_retime
from kairos.weights.store import Store
from kairos_nodes.cache import CACHE_VARIABLE
from kairos_nodes.jobs import RetimeJob, VectorsJob
from support import made
from support.exr import read_exr
from support.jobs import Ran, kairos_here, retime
from support.made import Clip
from support.untrained import keep_hierarchy


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(module, "SHIPPED", keep_hierarchy(tmp_path / "untrained.safetensors"))
    yield


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    """A disc over a ground that moves the other way: what moves apart is found."""
    return made.object_over(tmp_path / "plate", frames=3)


def pixels(ran: Ran) -> List[Dict[str, np.ndarray]]:
    return [read_exr(file) for file in ran.files()]


def equal(first: Ran, second: Ran) -> bool:
    pairs = list(zip(pixels(first), pixels(second)))
    return bool(pairs) and all(np.array_equal(one[name], two[name]) for one, two in pairs for name in "RGB")


def known(folder: Path) -> List[Path]:
    """Label maps that were found and kept."""
    return list((folder / "cache" / "regions").rglob("*.npz"))


def test_without_a_word_it_takes_what_moves_apart_as_if_auto_was_named(clip: Clip, tmp_path: Path) -> None:
    job: Dict[str, Any] = {"speed": 0.5, "engine": "hierarchical"}
    ran = retime(clip, tmp_path / "out", **job)
    assert len(ran.outcome.rendered) == 5 and ran.outcome.engine == "hierarchical" and known(tmp_path)
    assert len(retime(clip, tmp_path / "out", regions="auto", **job).outcome.skipped) == 5
    with pytest.raises(BadRequest, match="other settings"):
        retime(clip, tmp_path / "out", regions="none", **job)
    swift = retime(clip, tmp_path / "swift", speed=0.5, engine="swift", regions="auto")
    assert equal(ran, swift), "the plug-in is untrained"
    kept = [np.load(path) for path in known(tmp_path)]
    assert any("labels" in each and each["labels"].any() for each in kept), "so the object was there"


def test_regions_none_makes_all_one(clip: Clip, tmp_path: Path) -> None:
    ran = retime(clip, tmp_path / "out", speed=0.5, engine="hierarchical", regions="none")
    assert not known(tmp_path)
    assert equal(ran, retime(clip, tmp_path / "swift", speed=0.5, engine="swift"))
    # To an engine that takes no regions by itself, none is nothing new.
    assert len(retime(clip, tmp_path / "swift", speed=0.5, engine="swift", regions="none").outcome.skipped) == 5


def test_with_a_matte_no_more_objects_are_looked_for() -> None:
    hierarchical = engine("hierarchical")

    def regions(**fields: Any) -> str:
        return settle_regions(RetimeJob("a", "b", speed="0.5", **fields), hierarchical).regions

    assert regions() == "auto" and regions(matte="hero") == "" and regions(regions="none", matte="hero") == ""
    assert regions(regions="roto") == "roto"
    assert settle_regions(RetimeJob("a", "b", speed="0.5"), engine("swift")).regions == ""
    assert settle_regions(as_retime(VectorsJob("a", "b")), hierarchical).regions == "auto"


def test_rules_without_objects_are_refused(clip: Clip, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"no objects.*--regions"):
        retime(clip, tmp_path / "out", speed=0.5, engine="hierarchical", regions="none", region_rules="1=hold")


def test_the_base_reaches_the_engine_and_no_other(clip: Clip, tmp_path: Path) -> None:
    def options(id: str = "hierarchical", **fields: Any) -> Dict[str, Any]:
        return dict(settle_engine(RetimeJob("a", "b", speed="0.5", **fields), engine(id)).options)

    assert options() == options(base="swift") == {} and options(base="rife") == {"base": "rife"}
    assert options(base="mine", motion="gimm") == {"base": "mine", "motion": "gimm"}
    # siren has another base, by --fit.
    for id in ("swift", "siren"):
        with pytest.raises(
            BadRequest, match=rf"--base: the engine {id} has no such knob. Use --engine hierarchical\.$"
        ):
            options(id, base="rife")
    assert options("siren", fit="base=none") == {"base": "none"}
    assert as_retime(VectorsJob("a", "b", base="mine")).base == "mine"
    with pytest.raises(EngineError, match=r"no weights on ifrnet yet"):
        retime(clip, tmp_path / "out", speed=0.5, engine="hierarchical", base="ifrnet")


def test_a_job_on_ifrnet_takes_weights_of_the_users_and_goes_on_by_either_name(clip: Clip, tmp_path: Path) -> None:
    values = plugged_values("ifrnet", {"variant": "ifrnet", "widths": [8, 8, 12, 16], "kernel": 3, "side": 8})
    keep(Store(tmp_path / "weights"), "hierarchical", values, "mine")
    job: Dict[str, Any] = {"speed": 0.5, "engine": "hierarchical"}
    ran = retime(clip, tmp_path / "out", base="ifrnet", **job)
    assert len(ran.outcome.rendered) == 5 and known(tmp_path)
    assert all(np.isfinite(frame[name]).all() for frame in pixels(ran) for name in "RGB")
    assert len(retime(clip, tmp_path / "out", base="mine", **job).outcome.skipped) == 5
    with pytest.raises(BadRequest, match="other settings"):
        retime(clip, tmp_path / "out", **job)


def test_it_is_not_exported_as_regions_would_be_lost(tmp_path: Path) -> None:
    values = plugged_values("ifrnet", {"variant": "ifrnet", "widths": [8, 8, 12, 16], "kernel": 3, "side": 8})
    keep(Store(tmp_path / "weights"), "hierarchical", values, "mine")
    with pytest.raises(BadRequest, match=r"hierarchical has no network to export.*swift, film"):
        export.found("hierarchical", None)


def test_missing_weights_stop_the_job_in_one_line(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "hierarchical-swift.safetensors")
    with pytest.raises(EngineError, match=r"it has no plug-in for swift yet") as refused:
        retime(clip, tmp_path / "out", speed=0.5, engine="hierarchical")
    assert "\n" not in str(refused.value)


def test_regions_none_is_nothing_to_look_at(clip: Clip, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "ids.####.exr")
    ran = kairos_here(capfd, "regions", clip.pattern, "--regions", "none", "--out", out)
    assert ran.returncode == 2 and "names no objects" in ran.stderr
