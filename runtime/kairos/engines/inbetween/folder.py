"""A folder of Stable Video Diffusion as hubs publish it: what has to lie in it, and which other models it may be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from kairos.errors import BadRequest
from kairos.weights.folders import checked_tensors, read_json, refuse_pickles

MODEL = "stabilityai/stable-video-diffusion-img2vid-xt"
"""Where hubs publish the model of 25 pictures."""

SMALLER = "stabilityai/stable-video-diffusion-img2vid"
"""Where hubs publish the model of 14 pictures."""

PARTS: Mapping[str, Tuple[str, str]] = {
    "unet": ("config.json", "UNetSpatioTemporalConditionModel"),
    "vae": ("config.json", "AutoencoderKLTemporalDecoder"),
    "image_encoder": ("config.json", "CLIPVisionModelWithProjection"),
    "feature_extractor": ("preprocessor_config.json", "CLIPImageProcessor"),
    "scheduler": ("scheduler_config.json", "EulerDiscreteScheduler"),
}
"""Of every part: the file that describes it, and the class that runs it."""

_TENSORS: Mapping[str, str] = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "image_encoder": "model",
}
_BY_HAND = f"Give the folder of the whole model, as hubs publish it ({MODEL})."


@dataclass(frozen=True)
class Found:
    """A folder whose parts are all there.

    Attributes:
        folder: of the model.
        frames: pictures that its U-Net was trained for.
        tensors: of the parts that have weights, the files.
        files: everything that is needed, the files of ``tensors`` among them.
    """

    folder: Path
    frames: int
    tensors: Mapping[str, Tuple[Path, ...]]
    files: Tuple[Path, ...]

    def told(self, part: str) -> Dict[str, Any]:
        """What describes a part. Raises BadRequest where the file is damaged."""
        return read_json(self.folder / part, PARTS[part][0])


def find_parts(folder: Path, frames: Optional[int] = None, half: bool = False) -> Found:
    """Looks at a folder. Of the weights, only the heads of the files are read.

    Args:
        folder: of the model.
        frames: pictures that are asked for; None takes any.
        half: half precision is preferred to full where both lie there.

    Raises:
        BadRequest: a part is missing, it is another model, its weights are a pickle, it makes another number of
            pictures, or a file is damaged.
    """
    if folder.is_file():
        raise BadRequest(
            f"{folder} is a single file: Kairos reads Stable Video Diffusion as a folder of five parts, since "
            f"diffusers cannot read this model from one file.",
            _BY_HAND,
        )
    if not folder.is_dir():
        raise BadRequest(f"There is no folder {folder}.", "Check the folder's name.")
    _refuse_others(folder)
    for part, (name, _) in PARTS.items():
        if not (folder / part / name).is_file():
            raise BadRequest(f"{folder} lacks a part of the model: {part}/{name}.", _BY_HAND)
    tensors = {part: _weights(folder / part, stem, half) for part, stem in _TENSORS.items()}
    told = Found(folder, _frames(folder, frames), tensors, ())
    for part, (_, wanted) in PARTS.items():
        _check_class(folder / part, told.told(part), wanted)
    _check_levels(folder / "scheduler", told.told("scheduler"))
    return Found(
        folder,
        told.frames,
        tensors,
        (
            *(folder / part / name for part, (name, _) in PARTS.items()),
            *(file for files in tensors.values() for file in files),
        ),
    )


def _refuse_others(folder: Path) -> None:
    """Refuses folders of other models, by what runs their U-Net; a folder without one lacks a part."""
    if (folder / "unet" / "config.json").is_file():
        name = read_json(folder / "unet", "config.json").get("_class_name")
    elif (folder / "config.json").is_file():
        name = read_json(folder, "config.json").get("_class_name")
    elif (folder / "model_index.json").is_file():
        name = read_json(folder, "model_index.json").get("_class_name")
        if name == "StableVideoDiffusionPipeline":
            return
    else:
        return
    if name == "UNet2DConditionModel" or (isinstance(name, str) and name.startswith("StableDiffusion")):
        raise BadRequest(f"{folder} is a model of single pictures (image-only Stable Diffusion).", _BY_HAND)
    if name != PARTS["unet"][1]:
        raise BadRequest(f"{folder} is another model ({name}).", _BY_HAND)


def _frames(folder: Path, asked: Optional[int]) -> int:
    told = read_json(folder / "unet", "config.json")
    if (told.get("in_channels"), told.get("out_channels")) != (8, 4):
        raise BadRequest(
            f"{folder} is another model: its U-Net takes {told.get('in_channels')} channels and gives "
            f"{told.get('out_channels')}, not 8 and 4.",
            _BY_HAND,
        )
    frames = told.get("num_frames")
    if not isinstance(frames, int) or frames < 2:
        raise BadRequest(f"{folder / 'unet' / 'config.json'} does not say how many pictures it makes.", _BY_HAND)
    if asked is not None and asked != frames:
        other = MODEL if asked > frames else SMALLER
        raise BadRequest(
            f"{folder} is the model of {frames} pictures, and {asked} are asked for.",
            f"Set frames to {frames}, or give the folder of {other}.",
        )
    return frames


def _check_class(place: Path, told: Mapping[str, Any], wanted: str) -> None:
    names = (told.get("_class_name"), *(told.get("architectures") or ()))
    if wanted in names or place.name == "feature_extractor":
        return
    if any(names):
        raise BadRequest(f"{place} holds {next(filter(None, names))}, not {wanted}.", _BY_HAND)
    raise BadRequest(f"{place} does not say what it holds.", _BY_HAND)


def _check_levels(place: Path, told: Mapping[str, Any]) -> None:
    """The steps are written for what this model predicts, and for how it is told of the noise."""
    for name, wanted in (("prediction_type", "v_prediction"), ("timestep_type", "continuous")):
        if told.get(name) != wanted:
            raise BadRequest(f"{place} has {name} {told.get(name)!r}, and this model's is {wanted!r}.", _BY_HAND)


def _weights(place: Path, stem: str, half: bool) -> Tuple[Path, ...]:
    """The files with a part's tensors, of the precision that is preferred."""
    order = ("", ".fp16") if not half else (".fp16", "")
    for variant in order:
        whole = place / f"{stem}{variant}.safetensors"
        if whole.is_file():
            return (checked_tensors(whole),)
        index = place / f"{stem}.safetensors.index{variant}.json"
        if index.is_file():
            return _shards(index)
    refuse_pickles(place, "Give a folder whose weights are safetensors.")
    raise BadRequest(f"{place} has no {stem}.safetensors.", _BY_HAND)


def _shards(index: Path) -> Tuple[Path, ...]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        files = tuple(index.parent / Path(name).name for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRequest(f"{index} cannot be read.", "Get the folder from its authors again.") from error
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise BadRequest(f"{index.parent} lacks {missing[0] if missing else 'its weights'}.", _BY_HAND)
    return tuple(checked_tensors(file) for file in files)
