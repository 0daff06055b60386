"""A folder of Stable Video Diffusion: read whole, and refused in one line where it cannot be."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
import torch
from safetensors.torch import load_file, save_file

from kairos.engines.inbetween import parts as module
from kairos.engines.inbetween.folder import find_parts
from kairos.engines.inbetween.outline import outlined, told_of
from kairos.engines.inbetween.parts import Parts, library, load_parts, unavailable
from kairos.errors import BadRequest, EngineError, KairosError
from support.tiny_svd import write_tiny_svd

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path, tiny_folder: Path) -> Path:
    """A copy of the tiny model, to be spoilt."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def edit(path: Path, **values: Any) -> None:
    told = json.loads(path.read_text())
    told.update(values)
    path.write_text(json.dumps(told))


def one_line(error: KairosError) -> str:
    text = str(error)
    assert "\n" not in text
    return text


def test_the_five_parts_are_read_as_the_libraries_read_them(tiny_folder: Path, tiny_parts: Parts) -> None:
    for part in ("unet", "vae", "image_encoder"):
        (file,) = (tiny_folder / part).glob("*.safetensors")
        state = getattr(tiny_parts, part).state_dict()
        for key, value in load_file(file).items():
            assert torch.equal(state[key], value), key
        assert not any(each.requires_grad for each in getattr(tiny_parts, part).parameters())
        assert not getattr(tiny_parts, part).training
    assert tiny_parts.frames == 5
    assert tiny_parts.side == 224
    assert tiny_parts.mean.flatten().tolist() == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert tiny_parts.scheduler.config.sigma_max == 700.0


def test_every_file_that_is_needed_is_named(tiny_folder: Path) -> None:
    found = find_parts(tiny_folder)
    names = {str(file.relative_to(tiny_folder)) for file in found.files}
    assert names == {
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "image_encoder/config.json",
        "image_encoder/model.safetensors",
        "feature_extractor/preprocessor_config.json",
        "scheduler/scheduler_config.json",
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_folder_of_half_precision_alone_is_read_in_any_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = write_tiny_svd(tmp_path / "half", frames=5, variant="fp16")
    parts = load_parts(folder, CPU, dtype)
    for part in ("unet", "vae", "image_encoder"):
        assert {each.dtype for each in getattr(parts, part).parameters()} == {dtype}


def test_half_precision_takes_the_smaller_files_where_both_lie_there(tmp_path: Path, folder: Path) -> None:
    half = write_tiny_svd(tmp_path / "half", frames=5, variant="fp16")
    shutil.copytree(half, folder, dirs_exist_ok=True)
    assert find_parts(folder, half=True).tensors["unet"][0].name == "diffusion_pytorch_model.fp16.safetensors"
    assert find_parts(folder).tensors["unet"][0].name == "diffusion_pytorch_model.safetensors"


def test_weights_in_several_files_are_read(folder: Path, tiny_parts: Parts) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    keys = sorted(tensors)
    shards = {}
    for number, part in enumerate((keys[:200], keys[200:]), 1):
        name = f"diffusion_pytorch_model-0000{number}-of-00002.safetensors"
        save_file({key: tensors[key] for key in part}, folder / "unet" / name)
        shards.update(dict.fromkeys(part, name))
    file.unlink()
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    state = load_parts(folder, CPU).unet.state_dict()
    assert all(torch.equal(state[key], value) for key, value in tiny_parts.unet.state_dict().items())
    (folder / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(BadRequest, match="lacks diffusion_pytorch_model-00002-of-00002"):
        find_parts(folder)


def test_missing_packages_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tiny_folder: Path) -> None:
    assert unavailable() == ""
    seen = importlib.util.find_spec
    monkeypatch.setattr(
        module.importlib.util, "find_spec", lambda name, *more: None if name == "diffusers" else seen(name, *more)
    )
    assert unavailable() == (
        "Generative inbetweening needs diffusers, which is not installed: install Kairos with its part 'inbetween'."
    )
    with pytest.raises(EngineError) as caught:
        load_parts(tiny_folder, CPU)
    assert one_line(caught.value) == (
        "Generative inbetweening needs diffusers, which is not installed. Install Kairos with its part 'inbetween'."
    )


def test_a_package_that_cannot_be_used_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import diffusers

    monkeypatch.setattr(diffusers, "_class_to_module", {**diffusers._class_to_module})
    monkeypatch.delattr(diffusers, "AutoencoderKLTemporalDecoder", raising=False)
    del diffusers._class_to_module["AutoencoderKLTemporalDecoder"]
    with pytest.raises(EngineError, match=r"diffusers cannot be used: .*AutoencoderKLTemporalDecoder") as caught:
        library("diffusers")
    assert "its part 'inbetween' again" in one_line(caught.value)


@pytest.mark.parametrize("part", ["unet", "vae", "image_encoder", "feature_extractor", "scheduler"])
def test_a_missing_part_is_named(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    with pytest.raises(BadRequest, match=f"lacks a part of the model: {part}/") as caught:
        load_parts(folder, CPU)
    one_line(caught.value)


def test_a_model_of_single_pictures_is_refused(folder: Path) -> None:
    edit(folder / "unet" / "config.json", _class_name="UNet2DConditionModel")
    with pytest.raises(BadRequest, match="a model of single pictures") as caught:
        load_parts(folder, CPU)
    assert "stable-video-diffusion-img2vid-xt" in one_line(caught.value)


def test_a_model_of_single_pictures_is_refused_by_its_index_alone(folder: Path) -> None:
    shutil.rmtree(folder / "unet")
    edit(folder / "model_index.json", _class_name="StableDiffusionPipeline")
    with pytest.raises(BadRequest, match="a model of single pictures"):
        load_parts(folder, CPU)


def test_another_video_model_is_refused(folder: Path) -> None:
    edit(folder / "unet" / "config.json", _class_name="UNet3DConditionModel")
    with pytest.raises(BadRequest, match="another model"):
        load_parts(folder, CPU)


def test_the_model_of_14_pictures_is_refused_where_25_are_asked_for(tmp_path: Path) -> None:
    folder = write_tiny_svd(tmp_path / "smaller", frames=14)
    with pytest.raises(BadRequest, match="the model of 14 pictures, and 25 are asked for") as caught:
        load_parts(folder, CPU, frames=25)
    assert "Set frames to 14" in one_line(caught.value)
    assert load_parts(folder, CPU, frames=14).frames == 14


@pytest.mark.parametrize(
    "file",
    [
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "image_encoder/model.safetensors",
    ],
)
def test_weights_that_are_cut_short_are_refused(folder: Path, file: str) -> None:
    (folder / file).write_bytes((folder / file).read_bytes()[:-100])
    with pytest.raises(BadRequest, match="damaged or cut short") as caught:
        load_parts(folder, CPU)
    assert file in one_line(caught.value).replace("\\", "/")


@pytest.mark.parametrize("file", ["unet/config.json", "scheduler/scheduler_config.json", "image_encoder/config.json"])
def test_a_damaged_description_is_refused(folder: Path, file: str) -> None:
    (folder / file).write_text("{")
    with pytest.raises(BadRequest, match="cannot be read") as caught:
        load_parts(folder, CPU)
    one_line(caught.value)


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("unet/config.json", {"block_out_channels": "wide"}),
        ("vae/config.json", {"down_block_types": 3}),
        ("image_encoder/config.json", {"image_size": "large"}),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": "many"}),
        ("scheduler/scheduler_config.json", {"beta_schedule": "of mine"}),
    ],
)
def test_a_description_of_nothing_is_refused_before_and_while_it_is_loaded(
    folder: Path, file: str, values: Dict[str, Any]
) -> None:
    edit(folder / file, **values)
    for use in (lambda: load_parts(folder, CPU), lambda: outlined(told_of(find_parts(folder)), torch.float32)):
        with pytest.raises(BadRequest, match=f"{file.split('/')[0]} cannot be built") as caught:
            use()
        one_line(caught.value)


def test_a_part_that_says_oddly_what_it_is_is_refused(folder: Path) -> None:
    edit(folder / "image_encoder" / "config.json", architectures=7)
    with pytest.raises(BadRequest, match="image_encoder does not say what it holds"):
        load_parts(folder, CPU)


@pytest.mark.parametrize("part", ["unet", "vae", "image_encoder"])
def test_weights_that_are_a_pickle_are_refused(folder: Path, part: str) -> None:
    (file,) = (folder / part).glob("*.safetensors")
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(BadRequest, match=r"its weights are a pickle .* Nothing of it was run") as caught:
        load_parts(folder, CPU)
    one_line(caught.value)


def test_a_single_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "svd_xt.safetensors"
    save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(1)}, file)
    with pytest.raises(BadRequest, match="is a single file") as caught:
        load_parts(file, CPU)
    assert "Give the folder of the whole model" in one_line(caught.value)


def _drop(tensors: Any) -> None:
    del tensors[sorted(tensors)[0]]


def _add(tensors: Any) -> None:
    tensors["of.another"] = torch.zeros(1)


def _reshape(tensors: Any) -> None:
    tensors["conv_in.weight"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [(_drop, "lacks 1 of its tensors"), (_add, "1 tensors of another"), (_reshape, "1 tensors of another")],
)
def test_weights_of_another_network_are_refused(folder: Path, spoil: Callable[[Any], None], problem: str) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    spoil(tensors)
    save_file(tensors, file)
    with pytest.raises(BadRequest, match=problem) as caught:
        load_parts(folder, CPU)
    one_line(caught.value)


def test_an_image_encoder_without_some_of_its_tensors_is_refused(folder: Path) -> None:
    file = folder / "image_encoder" / "model.safetensors"
    tensors = load_file(file)
    del tensors["visual_projection.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(BadRequest, match=r"lacks 1 of its tensors \(visual_projection.weight\)"):
        load_parts(folder, CPU)


def test_other_noise_levels_than_the_models_are_refused(folder: Path) -> None:
    edit(folder / "scheduler" / "scheduler_config.json", prediction_type="epsilon")
    with pytest.raises(BadRequest, match="v_prediction") as caught:
        load_parts(folder, CPU)
    one_line(caught.value)
