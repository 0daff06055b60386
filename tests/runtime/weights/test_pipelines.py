"""Stable Video Diffusion as weights: folders of five parts, and what tuning makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest
import torch
from safetensors.torch import load_file, save_file

from kairos.cli import main
from kairos.engines.inbetween.changes import load_changes
from kairos.engines.inbetween.folder import find_parts
from kairos.engines.registry import engine
from kairos.errors import BadRequest
from kairos.weights.adding import add
from kairos.weights.store import Record, Store
from support.tiny_svd import tiny_changes, write_tiny_svd

FRAMES = 5


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model as a hub publishes it."""
    return write_tiny_svd(tmp_path_factory.mktemp("hub") / "svd", FRAMES)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of this test's own."""
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "store"))
    return Store()


def kept(path: Path, **more: Any) -> Record:
    return add(path, Store(), lambda network, terms: True, **more)


def copied(source: Path, target: Path) -> Path:
    """A copy that a test may spoil."""
    for file in source.rglob("*"):
        if file.is_file():
            place = target / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
    return target


def test_a_folder_of_five_parts_is_kept_with_what_is_needed_of_it(
    published: Path, tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(published, tmp_path / "model")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"never read")
    assert main(["weights", "add", str(folder)]) == BadRequest.exit_status, "the licence was not accepted"
    assert "Stability AI" in capsys.readouterr().err and not store.root.exists()
    assert main(["weights", "add", str(folder), "--accept-licence"]) == 0
    assert "Use it with --engine inbetween --weights svd." in capsys.readouterr().out
    (record,) = store.records()
    assert (record.name, record.architecture, record.values["frames"]) == ("svd", "inbetween", FRAMES)
    names = {path.relative_to(store.folder("svd")).as_posix() for path in store.folder("svd").rglob("*.*")}
    assert names == {
        "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors", "image_encoder/config.json", "image_encoder/model.safetensors",
        "feature_extractor/preprocessor_config.json", "scheduler/scheduler_config.json",
    }  # fmt: skip
    assert store.verify() == [("svd", "")] and engine("inbetween").unavailable() == ""
    (store.folder("svd") / "vae" / "config.json").write_text("{}")
    assert store.verify() == [("svd", "are damaged")]
    store.remove("svd")
    assert not list(store.root.iterdir())


def test_of_two_precisions_the_smaller_is_kept(published: Path, tmp_path: Path, store: Store) -> None:
    folder = copied(published, tmp_path / "model")
    for part in ("unet", "vae", "image_encoder"):
        (file,) = (folder / part).glob("*.safetensors")
        halves = {name: tensor.half() for name, tensor in load_file(file).items()}
        save_file(halves, file.with_name(f"{file.stem}.fp16.safetensors"))
    record = kept(folder)
    taken = [file for file in record.files if file.endswith(".safetensors")]
    assert len(taken) == 3 and all(".fp16." in file for file in taken)


def test_of_weights_in_several_files_those_of_one_precision_and_their_list_are_kept(
    published: Path, tmp_path: Path, store: Store
) -> None:
    folder = copied(published, tmp_path / "model")
    (file,) = (folder / "unet").glob("*.safetensors")
    tensors = load_file(file)
    file.unlink()
    for variant, halved in (("", False), (".fp16", True)):
        listed = {}
        for number in (0, 1):
            name = f"diffusion_pytorch_model{variant}-{number + 1:05d}-of-00002.safetensors"
            part = {key: each.half() if halved else each for key, each in list(tensors.items())[number::2]}
            save_file(part, folder / "unet" / name)
            listed.update(dict.fromkeys(part, name))
        index = folder / "unet" / f"diffusion_pytorch_model.safetensors.index{variant}.json"
        index.write_text(json.dumps({"metadata": {}, "weight_map": listed}))
    record = kept(folder)
    taken = sorted(file for file in record.files if file.startswith("unet/diffusion"))
    assert len(taken) == 3 and all("fp16" in file for file in taken)
    for half in (False, True):
        assert len(find_parts(store.folder(record.name), half=half).tensors["unet"]) == 2


def test_a_model_with_another_autoencoder_is_another_model(published: Path, tmp_path: Path, store: Store) -> None:
    """Nothing that is kept is replaced unasked."""
    kept(published)
    folder = copied(published, tmp_path / "mine")
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({name: 1.05 * tensor for name, tensor in load_file(file).items()}, file)
    with pytest.raises(BadRequest, match="other weights 'svd' already"):
        kept(folder, name="svd")
    assert kept(folder).name == "mine" and kept(published).name == "svd" and len(store.records()) == 2


def test_the_licence_is_what_the_models_card_says(published: Path, tmp_path: Path, store: Store) -> None:
    folder = copied(published, tmp_path / "model")
    assert "stable-video-diffusion-community" in kept(folder).licence and not store.records()[0].non_commercial
    store.remove("svd")
    (folder / "README.md").write_text("---\nlicense: other\nlicense_name: some-nc-community\n---\n# Model\n")
    record = kept(folder)
    assert "some-nc-community, by the model's card" in record.licence and record.non_commercial


def test_differences_are_kept_as_a_file_and_taken_unasked(
    published: Path, tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["engines", "inbetween"]) == 0
    assert "cannot run here: it has no weights. Download https://" in capsys.readouterr().out
    file = tmp_path / "tuned.safetensors"
    wanted = tiny_changes(published)
    save_file({name: tensor.half() for name, tensor in wanted.items()}, file)
    kept(published)
    assert main(["engines", "inbetween"]) == 0
    told = capsys.readouterr().out
    assert "ready" in told and "no tuned differences and takes mode=trf" in told
    record = kept(file)
    assert record.architecture == "inbetween-changes" and f"{len(wanted)} tensors" in record.taken
    assert main(["engines", "inbetween"]) == 0 and "it has no tuned differences" not in capsys.readouterr().out
    found = load_changes(store.path(record.name)).tensors
    assert found.keys() == wanted.keys() and all(
        torch.equal(found[name], wanted[name].half().float()) for name in found
    )


def test_a_base_is_told_of_a_tuned_unet_alone(published: Path, tmp_path: Path, store: Store) -> None:
    plain = tmp_path / "plain.safetensors"
    save_file({"a": torch.zeros(1)}, plain)
    for path in (published, plain):
        with pytest.raises(BadRequest, match=r"--base svd: .* is no folder of a tuned U-Net"):
            kept(path, base="svd")
    assert not store.records()


def test_of_a_tuned_unet_the_differences_to_its_base_are_kept(published: Path, tmp_path: Path, store: Store) -> None:
    """As the authors publish theirs: a whole U-Net, tuned from the model of fewer pictures."""
    tuned = copied(published / "unet", tmp_path / "checkpoint" / "unet")
    (file,) = tuned.glob("*.safetensors")
    changes, tensors = tiny_changes(published), load_file(file)
    for name, change in changes.items():
        tensors[name] = tensors[name] + change
    save_file(tensors, file)
    with pytest.raises(BadRequest, match=rf"tuned U-Net of {FRAMES} pictures.*Add the {FRAMES}-picture model"):
        kept(tuned)
    kept(published)
    record = kept(tmp_path / "checkpoint")
    assert f"{len(changes)} differences to svd taken" in record.taken
    found = load_changes(store.path(record.name)).tensors
    assert found.keys() == changes.keys()
    assert all(float((found[name] - changes[name]).abs().max()) < 1e-3 for name in found)
    with pytest.raises(BadRequest, match="no model 'other'"):
        kept(tuned, base="other")


def test_what_was_tuned_from_another_model_is_refused(published: Path, tmp_path: Path, store: Store) -> None:
    """Differences to a model that it never came from would be noise of the size of the weights."""
    kept(write_tiny_svd(tmp_path / "other", FRAMES, seed=3))
    with pytest.raises(BadRequest, match=r"unet was not tuned from svd: its queries and keys differ.*--base"):
        kept(published / "unet")
    assert [record.name for record in store.records()] == ["svd"]


def test_tuned_weights_may_have_been_rounded(published: Path, tmp_path: Path, store: Store) -> None:
    tuned = copied(published / "unet", tmp_path / "unet")
    (file,) = tuned.glob("*.safetensors")
    changes, tensors = tiny_changes(published), load_file(file)
    save_file({name: (each + changes.get(name, 0)).bfloat16() for name, each in tensors.items()}, file)
    kept(published)
    assert kept(tuned).architecture == "inbetween-changes"


@pytest.mark.parametrize("value", [torch.nan, 1e6], ids=["no number", "more than half precision holds"])
def test_a_tuned_unet_of_no_use_is_refused(published: Path, tmp_path: Path, store: Store, value: float) -> None:
    tuned = copied(published / "unet", tmp_path / "unet")
    (file,) = tuned.glob("*.safetensors")
    tensors = load_file(file)
    tensors[next(iter(tiny_changes(published)))].view(-1)[0] = value
    save_file(tensors, file)
    kept(published)
    with pytest.raises(BadRequest, match="holds values that are not numbers"):
        kept(tuned)
    assert len(store.records()) == 1


def spoiled(folder: Path, case: str) -> None:
    """Makes a good folder one that has to be refused."""
    if case == "part":
        (folder / "vae" / "config.json").unlink()
    elif case == "pickle":
        (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
        (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x02cos\nsystem\n.")
    elif case == "image model":
        told = json.loads((folder / "unet" / "config.json").read_text())
        (folder / "unet" / "config.json").write_text(json.dumps({**told, "_class_name": "UNet2DConditionModel"}))
    elif case == "cut short":
        file = folder / "unet" / "diffusion_pytorch_model.safetensors"
        file.write_bytes(file.read_bytes()[:-3])


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("part", "lacks a part of the model: vae/config.json"),
        ("pickle", "refused: its weights are a pickle"),
        ("image model", "model of single pictures"),
        ("cut short", "damaged or cut short"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    published: Path, tmp_path: Path, store: Store, case: str, said: str
) -> None:
    folder = copied(published, tmp_path / "model")
    spoiled(folder, case)
    with pytest.raises(BadRequest, match=said) as raised:
        kept(folder)
    assert "\n" not in str(raised.value) and not store.records()


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (lambda: {"model.diffusion_model.input_blocks.1.1.time_stack.0.norm.weight": torch.ones(2)}, "in one file"),
        (
            lambda: {
                "conv_in.weight": torch.ones(2),
                "x.temporal_transformer_blocks.0.attn1.to_v.weight": torch.ones(2, 2),
            },
            "whole U-Net; it is taken as a folder",
        ),
        (lambda: {"x.temporal_transformer_blocks.0.attn1.to_v.weight": torch.full((2, 2), torch.nan)}, "not numbers"),
    ],
    ids=["the authors' single file", "a U-Net without its folder", "no numbers"],
)
def test_files_that_cannot_be_used_are_refused(
    tmp_path: Path, store: Store, tensors: Callable[[], Any], said: str
) -> None:
    path = tmp_path / "file.safetensors"
    save_file(tensors(), path)
    with pytest.raises(BadRequest, match=said):
        kept(path)
    assert not store.records()
