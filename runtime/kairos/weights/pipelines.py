"""Stable Video Diffusion as its authors publish it: a folder of five parts, each with a folder of its own.

Also what tuning made of its U-Net: a whole U-Net, of which the differences to its base alone are kept, or these
differences in a file. Nothing of any of them is run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Mapping, Optional, Tuple

from kairos.engines.inbetween.changes import Changes, changes_of_files, tuned_keys
from kairos.engines.inbetween.folder import find_parts
from kairos.errors import BadRequest
from kairos.weights.containers import file_sha256
from kairos.weights.folders import CONFIGURATION, card_head, read_json
from kairos.weights.store import Record, Store

INDEX = "model_index.json"
"""At the top of such a folder: which parts it has."""

SVD, CHANGES = "inbetween", "inbetween-changes"
"""What records call the model and tuned differences."""

UNET_CLASS = "UNetSpatioTemporalConditionModel"

_LICENCE_NAME = re.compile(r"^license(?:_name)?:\s*[\"']?([A-Za-z0-9.+-]{1,60})[\"']?\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Model:
    """A model in words.

    Attributes:
        title: one line for people.
        paper: where the method is published.
    """

    title: str
    paper: str


MODEL = Model(
    "Stable Video Diffusion: pictures into video",
    "Blattmann et al., arXiv 2311.15127; model weights of Stability AI",
)

DIFFERENCES = Model(
    "Generative Inbetweening: what tuning changes in Stable Video Diffusion",
    "Wang et al., arXiv 2408.15239",
)

LICENCE = "Stability AI's licence of Stable Video Diffusion (stable-video-diffusion-community)"
"""Of the weights, where the folder's card names no other."""

BY_HAND = (
    "Download https://huggingface.co/stabilityai/stable-video-diffusion-img2vid-xt (model_index.json, unet, vae, "
    "image_encoder, feature_extractor, scheduler; .fp16.safetensors suffice) into a folder, then run kairos weights "
    "add FOLDER"
)
"""How to come by the model, in one line."""


@dataclass(frozen=True)
class Pipeline:
    """A folder that may be used.

    Attributes:
        variant: ``svd-xt`` or ``svd``, by the number of pictures.
        frames: that number.
        files: those that are needed, relative to the folder, each with its SHA-256.
        main: the U-Net's weights among them.
        licence: the terms in one line.
        non_commercial: they forbid commercial use.
    """

    variant: str
    frames: int
    files: Mapping[str, str]
    main: str
    licence: str
    non_commercial: bool


def is_pipeline(path: Path) -> bool:
    """Whether a folder is laid out as a model of several parts."""
    return (path / INDEX).is_file() or ((path / "unet").is_dir() and (path / "vae").is_dir())


def read_pipeline(path: Path) -> Pipeline:
    """Recognises a folder and hashes its files. Raises BadRequest where it cannot be used."""
    found = find_parts(path, half=True)
    needed = set(found.files)
    for files in found.tensors.values():
        if len(files) > 1:
            # What lies in several files is found by a list of them.
            needed.update(files[0].parent.glob("*.safetensors.index*.json"))
    try:
        digests = {each.relative_to(path).as_posix(): file_sha256(each) for each in sorted(needed)}
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror or error}.", "Check the folder.") from None
    main = found.tensors["unet"][0].relative_to(path).as_posix()
    terms, non_commercial = _terms(path)
    variant = "svd-xt" if found.frames > 14 else "svd"
    return Pipeline(variant, found.frames, digests, main, terms, non_commercial)


def unet_of(path: Path) -> Optional[Path]:
    """The folder of a U-Net that was published alone: this one, or ``unet`` in it; None where it is none."""
    for folder in (path, path / "unet"):
        if (folder / CONFIGURATION).is_file() and read_json(folder, CONFIGURATION).get("_class_name") == UNET_CLASS:
            return folder
    return None


def differences(folder: Path, store: Store, base: Optional[str] = None) -> Tuple[Changes, Record]:
    """What a tuned U-Net differs by from its base, and which base that was.

    Args:
        folder: of the tuned U-Net.
        store: with the model that it was tuned from.
        base: its name there; else the only one that makes as many pictures.

    Raises:
        BadRequest: there is no such base, the shapes differ, or nothing was tuned.
    """
    frames = read_json(folder, CONFIGURATION).get("num_frames")
    records = [each for each in store.of(SVD) if each.values.get("frames") == frames]
    record = next((each for each in store.of(SVD) if each.name == base), None) if base else None
    if base and record is None:
        raise BadRequest(f"There is no model {base!r}.", "kairos weights list names those that are kept.")
    if record is None and len(records) != 1:
        known = " or ".join(f"--base {each.name}" for each in records)
        raise BadRequest(
            f"{folder} is a tuned U-Net of {frames} pictures, of which the differences to its base are kept.",
            f"Say which base: {known}." if known else f"Add the {frames}-picture model that it was tuned from first.",
        )
    record = record or records[0]
    changes = changes_of_files(unet_weights(folder), find_parts(store.folder(record.name)).tensors["unet"])
    if not any(bool(tensor.any()) for tensor in changes.tensors.values()):
        raise BadRequest(f"{folder} does not differ from {record.name}: nothing was tuned in it.", "Add another.")
    return changes, record


def is_changes(names: Iterable[str]) -> bool:
    """Whether tensors of these names are tuned differences."""
    known = list(names)
    return bool(known) and len(tuned_keys(known)) == len(known)


def own_format(names: Iterable[str]) -> bool:
    """Whether tensors of these names are Stable Video Diffusion in its authors' single file."""
    return any("diffusion_model." in name and ".time_stack." in name for name in names)


def unet_weights(folder: Path) -> Tuple[Path, ...]:
    """The weights in the folder of a U-Net, in full precision where they are. Raises BadRequest where none are."""
    files = sorted(folder.glob("*.safetensors"))
    whole = tuple(file for file in files if ".fp16" not in file.name)
    if not files:
        raise BadRequest(f"{folder} has no weights in safetensors.", "Get the folder from its authors again.")
    return whole or tuple(files)


def _terms(path: Path) -> Tuple[str, bool]:
    """The terms of a model by its own card, in one line, and whether they forbid commercial use."""
    named = _LICENCE_NAME.findall(card_head(path))
    own = next((name for name in reversed(named) if name.lower() != "other"), "")
    weights = f"{own}, by the model's card" if own else LICENCE
    non_commercial = re.search(r"(^|-)(nc|noncommercial|non-commercial)(-|$)", own.lower()) is not None
    use = "no commercial use" if non_commercial else "check it before any commercial use"
    return f"code Apache-2.0; weights {weights}; {use}", non_commercial
