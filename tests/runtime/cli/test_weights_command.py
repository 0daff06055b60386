"""``kairos weights``: what it prints, what it asks, and a job with what it kept."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kairos.cli import main
from kairos.engines.gimm.architecture import ARCHITECTURE as GIMM
from kairos.weights.store import Store
from support.parity import raft_weights, recipe_weights
from support.shared import shared_data
from support.untrained import keep_untrained


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of this test's own."""
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "store"))
    return Store()


def official(tmp_path: Path) -> Path:
    """The small IFRNet with its recipe's weights, as training on several cards leaves it."""
    path = tmp_path / "IFRNet_S_Vimeo90K.pth"
    torch.save({f"module.{name}": tensor for name, tensor in recipe_weights("ifrnet-s").items()}, path)
    return path


def test_an_official_file_is_added_listed_and_retimes_a_real_clip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "add", str(official(tmp_path)), "--accept-licence"]) == 0
    told = capsys.readouterr()
    assert "ifrnet-s" in told.out and "MIT" in told.err
    assert main(["weights", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["name"] == "ifrnet-s" and row["architecture"] == "ifrnet" and "MIT" in row["licence"] and row["accepted"]
    assert main(["weights", "verify"]) == 0
    clip, out = shared_data("mobfgsr", "view") / "%04d.png", tmp_path / "out.%04d.png"
    job = ["retime", str(clip), str(out), "--between", "1", "--frames", "11", "--engine", "ifrnet", "--proxy", "4"]
    assert main([*job, "--weights", "ifrnet-s", "--device", "cpu"]) == 0
    (file,) = tmp_path.glob("out.*.png")
    assert np.asarray(Image.open(file)).std() > 10
    capsys.readouterr()
    assert main(["engines", "ifrnet"]) == 0
    assert "ready" in (shown := capsys.readouterr().out) and "ifrnet-s: not measured here" in shown
    assert main(["weights", "remove", "ifrnet-s"]) == 0 and Store().records() == []


def test_a_model_of_motion_alone_is_kept_and_said_to_serve_no_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gimm.pt"
    sizes = {"latent": 4, "widths": [8, 8], "blocks": 1, "refined": [8, 8], "refiners": 1, "hidden": 8, "layers": 3}
    torch.save({"state_dict": GIMM.build(sizes).state_dict(), "epoch": 3}, path)
    assert main(["weights", "add", str(path), "--accept-licence"]) == 0
    assert "It is kept; no job uses it by itself." in (told := capsys.readouterr()).out and "S-Lab" in told.err
    assert main(["weights", "list"]) == 0
    assert "gimm-own, kept; no job uses it by itself" in capsys.readouterr().out


def test_an_official_raft_is_added_and_finds_the_motion_of_a_real_clip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "raft-small.pth"
    torch.save({f"module.{name}": tensor for name, tensor in raft_weights("small").items()}, path)
    assert main(["weights", "add", str(path), "--name", "mine", "--accept-licence"]) == 0
    assert "Use it with --flow raft:mine." in capsys.readouterr().out
    assert main(["weights", "list"]) == 0
    assert "mine             raft-small, for --flow raft:mine" in capsys.readouterr().out
    clip, frames = shared_data("mobfgsr", "view") / "%04d.png", []
    for flow in ("own", "raft:mine"):
        out = tmp_path / flow[:3] / "out.%04d.png"
        job = ["retime", str(clip), str(out), "--between", "1", "--frames", "11", "--engine", "classic", "--proxy", "4"]
        assert main([*job, "--flow", flow, "--device", "cpu"]) == 0
        (file,) = out.parent.glob("out.*.png")
        frames.append(np.asarray(Image.open(file)))
    assert frames[1].std() > 10 and not np.array_equal(*frames)


def test_a_licence_has_to_be_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "add", str(official(tmp_path))]) == 2
    told = capsys.readouterr().err
    assert "licence: code MIT" in told and "--accept-licence" in told
    assert not Store().root.exists()


class Hostile:
    """Pickles as a command."""

    def __reduce__(self) -> object:
        return os.system, ("touch ran",)


def test_refusals_are_one_line_and_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cut, hostile = tmp_path / "cut.pth", tmp_path / "hostile.pth"
    cut.write_bytes(official(tmp_path).read_bytes()[:100_000])
    torch.save({"weight": torch.zeros(3), "note": Hostile()}, hostile)
    for arguments, words in (
        (["add", str(cut)], "cut short"),
        (["add", str(hostile)], "asks to run"),
        (["add", str(tmp_path / "none.pth")], "cannot be read"),
        (["remove", "none"], "no weights 'none'"),
        (["fetch", "none"], "rife-4.25"),
        (["fetch", "ema", "--accept-licence"], "ours.pkl"),
    ):
        assert main(["weights", *arguments]) in (1, 2)
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kairos: ")]
        assert words in line, line
    assert not (tmp_path / "ran").exists() and not Store().root.exists()


def test_verify_fails_where_weights_are_damaged(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    keep_untrained(store.root, "ifrnet", name="mine")
    assert main(["weights", "verify"]) == 0
    path = store.path("mine")
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert main(["weights", "verify"]) == 1
    assert "mine" in (told := capsys.readouterr().out) and "damaged" in told


def test_a_job_without_weights_says_how_to_get_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, out = shared_data("mobfgsr", "view") / "%04d.png", tmp_path / "out.%04d.png"
    job = ["retime", str(clip), str(out), "--between", "1", "--device", "cpu", "--proxy", "4"]
    assert main([*job, "--engine", "rife"]) == 1
    assert "kairos weights fetch rife-4.6" in capsys.readouterr().err
    assert main([*job, "--engine", "rife", "--weights", "mine"]) == 2
    assert "no weights 'mine'" in capsys.readouterr().err and not list(tmp_path.glob("out.*"))
