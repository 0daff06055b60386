"""``kairos train inbetween`` on the command line, from pictures on disk to a file of differences."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path
from typing import List

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

pytest.importorskip("diffusers")

from kairos.cli import main, train_inbetween
from kairos.cli.train_inbetween import parse_canvas
from kairos.engines.inbetween.changes import load_changes
from kairos.errors import BadRequest, Cancelled
from kairos.training.checkpoint import load_weights
from kairos.training.clips import Clip, Encoder, read_clip
from kairos.training.inbetween import DEFAULTS
from kairos.weights.store import Store
from support.moving import panned
from support.tiny_svd import write_tiny_svd


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_svd(tmp_path_factory.mktemp("model"), frames=14)


def _write_sequence(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for number, frame in enumerate(panned(folder.name, count, height=80, width=96), 1001):
        pixels = (frame.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{folder.name}.{number}.png")
    return folder


def _command(out: Path, model: Path, *more: str) -> List[str]:
    told = ["train", "inbetween", "--out", str(out), "--model", str(model), "--canvas", "64x64", "--stride", "1"]
    return [*told, "--device", "cpu", "--threads", "1", "--validate-count", "1", *more]


def test_the_command_tunes_on_the_users_shots_and_goes_on(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shots, out = tmp_path / "shots", tmp_path / "out"
    _write_sequence(shots / "one", 15)
    _write_sequence(shots / "two", 14)
    command = _command(out, model, "--clips", str(shots), "--steps", "2")
    assert main([*command, "--stop-at", "1"]) == 0
    kept = {path: path.stat().st_mtime_ns for path in (out / "clips").rglob("*.safetensors")}
    assert len(kept) == 2
    assert main([*command, "--resume-from", str(out)]) == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "clips").rglob("*.safetensors")} == kept
    assert "inbetween: 2 steps, 2 samples" in capfd.readouterr().out
    changes, (_, record) = load_changes(out / "best.safetensors"), load_weights(out / "best.safetensors")
    assert len(changes.tensors) == 8 and record["task"] == "inbetween"


def test_clips_are_made_again_for_a_model_with_another_autoencoder(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    changed, out = shutil.copytree(model, tmp_path / "model"), tmp_path / "out"
    shot = _write_sequence(tmp_path / "one", 14)
    command = _command(out, changed, "--clips", str(shot), "--steps", "2")
    assert main([*command, "--stop-at", "1"]) == 0
    (before,) = (out / "clips").rglob("*.safetensors")
    file = changed / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({name: 1.05 * tensor for name, tensor in load_file(file).items()}, file)
    assert main([*command, "--resume-from", str(out)]) == 2
    assert "was trained with 1 clips" in " ".join(capfd.readouterr().err.split())
    (after,) = {*(out / "clips").rglob("*.safetensors")} - {before}
    assert not torch.equal(read_clip(before).latents, read_clip(after).latents)


def test_the_model_of_fewest_pictures_that_is_kept_is_tuned(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As the authors tuned the one of 14 pictures, and used what came of it on the one of 25."""
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "store"))
    larger = write_tiny_svd(tmp_path / "larger", frames=16, seed=2)
    for folder in (larger, model):
        assert main(["weights", "add", str(folder), "--accept-licence"]) == 0
    shot, out = _write_sequence(tmp_path / "one", 16), tmp_path / "out"
    command = [each for each in _command(out, model) if each not in ("--model", str(model))]
    assert main([*command, "--clips", str(shot), "--steps", "1"]) == 0
    _, record = load_weights(out / "best.safetensors")
    assert (record["base"], record["base sha256"]) == ("svd", Store().get("svd").sha256)
    (clip,) = (out / "clips").rglob("*.safetensors")
    assert len(read_clip(clip).latents) == 14
    assert main([*command, "--clips", str(shot), "--steps", "1", "--model", "other"]) == 2
    assert "There is no model 'other'. There are svd, svd-xt" in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "There is nothing to learn from. Give movies, sequences or folders"),
        (["--clips", "EMPTY"], "holds no movies and no sequences"),
        (["--clips", "EMPTY", "--size", "64"], "--size says nothing about whole frames"),
        (["--clips", "EMPTY", "--part", "motion"], "inbetween is trained as published"),
        (["--clips", "EMPTY", "--batch", "0"], "--batch 0 is too small"),
    ],
)
def test_what_cannot_be_is_refused(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], more: List[str], message: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    given = [str(empty) if each == "EMPTY" else each for each in more]
    assert main([*_command(tmp_path / "out", model, "--steps", "1"), *given]) == 2
    assert message in " ".join(capfd.readouterr().err.split())


def test_other_trainings_take_no_clips(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "swift", "--out", str(tmp_path), "--steps", "1", "--clips", "shot.mov"]) == 2
    assert "--clips is for kairos train inbetween" in " ".join(capfd.readouterr().err.split())


def test_stopped_while_clips_are_encoded_it_says_what_is_kept(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shots, out = tmp_path / "shots", tmp_path / "out"
    for name in ("one", "two"):
        _write_sequence(shots / name, 14)
    command = _command(out, model, "--clips", str(shots), "--steps", "1")
    made, seen = train_inbetween._encoder, []

    def interrupted(folder: Path, device: torch.device) -> Encoder:
        encoder = made(folder, device)

        def encode(pictures: torch.Tensor) -> Clip:
            if seen:
                # As Ctrl-C does, in the midst of the second shot.
                signal.raise_signal(signal.SIGINT)
            seen.append(len(pictures))
            return encoder(pictures)

        return encode

    monkeypatch.setattr(train_inbetween, "_encoder", interrupted)
    # As Python begins: whoever runs the tests may have been started without Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(command) == Cancelled.exit_status
    finally:
        signal.signal(signal.SIGINT, before)
    assert "Stopped before the first step. Encoded clips are kept" in " ".join(capfd.readouterr().err.split())
    (kept,) = (out / "clips").rglob("*.safetensors")
    written = kept.stat().st_mtime_ns
    monkeypatch.undo()
    assert main(command) == 0 and kept.stat().st_mtime_ns == written


def test_the_help_tells_its_own_defaults(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    told = " ".join(capfd.readouterr().out.split())
    for name in ("lr", "warm_up", "ema_decay", "validate_count"):
        passage = told.partition(f"--{name.replace('_', '-')} ")[2].partition(" --")[0]
        assert re.search(rf"inbetween {DEFAULTS[name]:.4g}\b|inbetween {DEFAULTS[name]:.4f}\b", passage), passage


def test_a_canvas_is_read() -> None:
    assert parse_canvas(None) == (576, 1024) and parse_canvas("768x448") == (448, 768)
    with pytest.raises(BadRequest, match="--canvas big is no size"):
        parse_canvas("big")
