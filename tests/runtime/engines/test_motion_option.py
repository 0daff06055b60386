"""``--motion gimm`` as an option: its weights, who refuses it, and what it changes in a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from kairos.engines.base import EngineSettings, Pair
from kairos.engines.gimm import option
from kairos.engines.gimm.anchored import Anchored
from kairos.engines.gimm.loading import load_network
from kairos.engines.gimm.motion import GimmMotion
from kairos.engines.gimm.option import gimm_motion, motion_hash
from kairos.engines.registry import engine
from kairos.errors import BadRequest, EngineError
from kairos.weights.store import Store
from kairos_nodes.jobs import InbetweenJob, RetimeJob
from support import made
from support.exr import read_exr, rgb_of
from support.implicit import SIZES
from support.jobs import retime
from support.scenes import MemoryShot, grid, plate, texture
from support.untrained import keep_untrained

CPU = torch.device("cpu")


def kept(path: Path, **others: Tensor) -> None:
    """Fresh weights of Kairos' own network in a file."""
    tensors = {**Anchored(**SIZES).state_dict(), **others}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def shot() -> MemoryShot:
    """Two frames of a texture that moves."""
    columns, rows = grid(64, 96)
    return MemoryShot([plate(texture(2)(columns - 4 * part, rows)) for part in range(2)])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with untrained weights of GIMM, and none that come with Kairos."""
    root = tmp_path / "weights"
    monkeypatch.setenv("KAIROS_WEIGHTS", str(root))
    monkeypatch.setattr(option, "SHIPPED", tmp_path / "gimm.safetensors")
    keep_untrained(root, "gimm", name="gimm")
    return root


# Weights.


def test_plain_gimm_takes_what_comes_with_kairos_and_else_what_the_user_has(store: Path) -> None:
    assert motion_hash({}) == motion_hash({"motion": "own"}) == ""
    assert gimm_motion({}, CPU) is None
    official = motion_hash({"motion": "gimm"})
    assert official == f"motion:{Store(store).get('gimm').sha256}" == motion_hash({"motion": "gimm:gimm"})
    assert isinstance(gimm_motion({"motion": "gimm"}, CPU), GimmMotion)
    hashes = {official}
    for seed in (1, 2):
        torch.manual_seed(seed)
        kept(option.SHIPPED)
        hashes.add(motion_hash({"motion": "gimm"}))
        mover = gimm_motion({"motion": "gimm"}, CPU)
        assert mover is not None and isinstance(mover._network, Anchored)
    assert len(hashes) == 3
    assert motion_hash({"motion": "gimm:gimm"}) == official


def test_weights_that_come_with_kairos_are_loaded_as_they_were_kept(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network, path = Anchored(**SIZES), tmp_path / "gimm.safetensors"
    save_file({name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}, path)
    for name, tensor in load_network(path, CPU).state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name].half().float()), name


@pytest.mark.parametrize("trouble", ["missing", "damaged", "another", "wild"])
def test_a_file_that_is_no_weights_of_gimm_is_refused_in_one_line(tmp_path: Path, trouble: str) -> None:
    path = tmp_path / "gimm.safetensors"
    if trouble == "damaged":
        path.write_bytes(b"not weights")
    if trouble == "another":
        save_file({"layer.weight": torch.zeros(3)}, path)
    if trouble == "wild":
        kept(path, **{"last.bias": torch.full((3,), torch.nan)})
    said = {"missing": "no weights", "damaged": "damaged", "another": "of GIMM", "wild": "last.bias is not finite"}
    with pytest.raises(BadRequest, match=said[trouble]) as refused:
        load_network(path, CPU)
    assert "\n" not in refused.value.message and "gimm:NAME" in refused.value.remedy


@pytest.mark.parametrize("id", ["classic", "swift", "rife", "ifrnet", "ema"])
def test_without_weights_of_gimm_one_line_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, id: str
) -> None:
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setattr(option, "SHIPPED", tmp_path / "none.safetensors")
    if id in ("rife", "ifrnet", "ema"):
        keep_untrained(tmp_path / "none", id, name=id)
    with pytest.raises(EngineError, match=r"--motion gimm.*kairos weights fetch gimm") as refused:
        engine(id).settle(shot(), EngineSettings(options={"motion": "gimm"}))
    assert "\n" not in str(refused.value)


def test_weights_of_gimm_that_are_not_there_are_named(store: Path) -> None:
    with pytest.raises(BadRequest, match=r"no weights 'mine'.*It has gimm"):
        engine("classic").settle(shot(), EngineSettings(options={"motion": "gimm:mine"}))


# In a job.


@pytest.mark.parametrize("id", ["film", "amt", "gimm-vfi"])
def test_painters_refuse_other_paths(store: Path, tmp_path: Path, id: str) -> None:
    clip = made.pan(tmp_path / "plate", frames=2, size=(48, 64))
    others = "classic, swift, hierarchical, rife, ifrnet, ema and siren"
    wanted = f"{id} decides on its paths itself: --motion is for {others}"
    with pytest.raises(BadRequest, match=wanted):
        retime(clip, tmp_path / "out", between=1, engine=id, motion="gimm")


@pytest.mark.parametrize("motion", ["spline", "gimm:", "gimm:../x", "gimm-vfi"])
def test_what_tells_no_paths_is_refused_by_the_table(motion: str) -> None:
    for job in (
        RetimeJob("in.%04d.exr", "out.%04d.exr", speed="1/2", motion=motion),
        InbetweenJob("a.exr", "b.exr", "out.%04d.exr", 3, motion=motion),
    ):
        with pytest.raises(BadRequest, match=r"--motion.*gimm:NAME"):
            job.validate()


def test_frames_are_made_anew_where_gimms_weights_have_changed(store: Path, tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=2, size=(48, 64))
    job: Dict[str, Any] = {"between": 1, "engine": "classic", "frames": "1001-1002"}
    pictures = []
    for motion in ("own", "gimm"):
        ran = retime(clip, tmp_path / "out", **job, motion=motion, overwrite=True)
        assert ran.outcome.rendered == (1001, 1002), motion
        pictures.append(rgb_of(read_exr(ran.file(1002))))
        assert np.array_equal(rgb_of(read_exr(ran.file(1001))), rgb_of(read_exr(clip.files[0])))
    assert not np.array_equal(*pictures)
    for motion in ("gimm", "gimm:gimm"):
        assert retime(clip, tmp_path / "out", **job, motion=motion).outcome.skipped == (1001, 1002)
    keep_untrained(store, "gimm", name="other", seed=6)
    ran = retime(clip, tmp_path / "out", **job, motion="gimm:other", overwrite=True)
    assert ran.outcome.rendered == (1001, 1002)


@pytest.mark.parametrize("id", ["classic", "swift", "rife", "ifrnet", "ema"])
def test_every_engine_that_takes_paths_makes_other_frames_with_them(store: Path, id: str) -> None:
    if id in ("rife", "ifrnet", "ema"):
        keep_untrained(store, id, name=id)
    hashes, flows = [], []
    for options in ({}, {"motion": "gimm"}):
        settings = EngineSettings(options=options)
        hashes.append(engine(id).weights_hash(settings))
        (answer,) = engine(id).open(shot(), settings, lambda event: None).at(Pair(0, 1), [0.5])
        flows.append(answer.flow_to_0)
        assert bool(answer.flow_to_0.isfinite().all())
    assert hashes[1] == " ".join(filter(None, (hashes[0], motion_hash({"motion": "gimm"}))))
    assert not torch.equal(*flows)
