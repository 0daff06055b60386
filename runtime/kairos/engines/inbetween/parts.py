"""The five parts of Stable Video Diffusion, read from a folder of this machine: nothing is downloaded or run."""

from __future__ import annotations

import importlib
import importlib.util
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

import torch
from torch import Tensor

from kairos.engines.inbetween.folder import MODEL, PARTS, Found, find_parts
from kairos.errors import BadRequest, EngineError
from kairos.weights.folders import open_tensors

EXTRA = "inbetween"
"""The optional part of Kairos that the model needs."""

_PACKAGES: Mapping[str, Tuple[str, ...]] = {
    "diffusers": tuple(PARTS[part][1] for part in ("unet", "vae", "scheduler")),
    "transformers": (PARTS["image_encoder"][1],),
}
"""The libraries, with the classes that are used of them."""


@dataclass(frozen=True)
class Parts:
    """The model, ready for use.

    Attributes:
        unet: ``UNetSpatioTemporalConditionModel``.
        vae: ``AutoencoderKLTemporalDecoder``.
        image_encoder: ``CLIPVisionModelWithProjection``.
        mean, deviation: of the pictures that the image encoder sees, (3, 1, 1) float32.
        side: of those pictures, pixels.
        scheduler: ``EulerDiscreteScheduler``; its configuration alone is used.
        frames: pictures that the U-Net was trained for.
        device: that computes.
        dtype: of the networks.
        offload: a part lies on the device only while it works.
    """

    unet: Any
    vae: Any
    image_encoder: Any
    mean: Tensor
    deviation: Tensor
    side: int
    scheduler: Any
    frames: int
    device: torch.device
    dtype: torch.dtype
    offload: bool = False

    @contextmanager
    def working(self, name: str) -> Iterator[Any]:
        """A part (``unet``, ``vae`` or ``image_encoder``) on the device."""
        part = getattr(self, name)
        if self.offload:
            part.to(self.device)
        try:
            yield part
        finally:
            if self.offload:
                part.to("cpu")


def unavailable() -> str:
    """Why the libraries cannot be used here, in one line with the remedy; empty where they can."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"Generative inbetweening needs {' and '.join(missing)}, which {verb} not installed: "
        f"install Kairos with its part {EXTRA!r}."
    )


def load_parts(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    frames: Optional[int] = None,
    offload: bool = False,
) -> Parts:
    """Reads the five parts.

    Args:
        folder: of the model, as hubs publish it. Half precision files are taken where ``dtype`` is one and they lie
            there, or where there are no others.
        device, dtype, offload: see :class:`Parts`.
        frames: pictures that are asked for; None takes any.

    Raises:
        BadRequest: a part is missing, it is another model, its weights are a pickle, it makes another number of
            pictures, or a file is damaged.
        EngineError: the libraries are missing.
    """
    found = find_parts(folder, frames, dtype != torch.float32)
    place = torch.device("cpu") if offload else device
    diffusers = library("diffusers")
    # Class by class: of the whole package only these modules are imported.
    unet = _network(diffusers.UNetSpatioTemporalConditionModel, found, "unet", place, dtype)
    vae = _network(diffusers.AutoencoderKLTemporalDecoder, found, "vae", place, dtype)
    seen = found.told("feature_extractor")
    try:
        mean, deviation = (torch.tensor(seen[name]).reshape(3, 1, 1).float() for name in ("image_mean", "image_std"))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(folder / "feature_extractor", "says no means and deviations of pictures") from error
    encoder = _image_encoder(found, place, dtype)
    return Parts(
        unet,
        vae,
        encoder,
        mean,
        deviation,
        int(encoder.config.image_size),
        diffusers.EulerDiscreteScheduler.from_config(dict(found.told("scheduler"))),
        found.frames,
        device,
        dtype,
        offload,
    )


def _network(kind: Any, found: Found, part: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A network of diffusers, in evaluation mode. It is built without memory and takes the file's tensors over."""
    try:
        with torch.device("meta"):
            network = kind.from_config(dict(found.told(part)))
    # Whatever a damaged or foreign configuration makes the package stumble over: values of any kind reach it.
    except Exception as error:
        raise _damaged(found.folder / part, f"cannot be built: {_first_line(error)}") from error
    tensors: Dict[str, Tensor] = {}
    for file in found.tensors[part]:
        tensors.update(_read(file, device, dtype))
    wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    missing = sorted(key for key in wanted if key not in tensors)
    if missing:
        raise _damaged(found.folder / part, f"lacks {len(missing)} of its tensors ({', '.join(missing[:2])})")
    odd = sorted(key for key, value in tensors.items() if wanted.get(key) != tuple(value.shape))
    if odd:
        raise _damaged(found.folder / part, f"has {len(odd)} tensors of another network ({', '.join(odd[:2])})")
    network.load_state_dict(tensors, strict=True, assign=True)
    return network.requires_grad_(False).eval()


def _read(file: Path, device: torch.device, dtype: torch.dtype) -> Dict[str, Tensor]:
    with open_tensors(file, str(device)) as opened:
        return {key: opened.get_tensor(key).to(dtype) for key in opened.keys()}  # noqa: SIM118 (no mapping)


def _image_encoder(found: Found, device: torch.device, dtype: torch.dtype) -> Any:
    file = found.tensors["image_encoder"][0]
    try:
        network, told = library("transformers").CLIPVisionModelWithProjection.from_pretrained(
            file.parent,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            variant="fp16" if ".fp16" in file.name else None,
            dtype=dtype,
            output_loading_info=True,
        )
    except Exception as error:
        raise _damaged(file.parent, f"cannot be built: {_first_line(error)}") from error
    missing = sorted(told["missing_keys"])
    if missing:
        raise _damaged(file.parent, f"lacks {len(missing)} of its tensors ({', '.join(missing[:2])})")
    return network.to(device).requires_grad_(False).eval()


def library(name: str) -> Any:
    """A package that the model needs, kept quiet and off the network. Raises EngineError where it cannot be used."""
    reason = unavailable()
    if reason:
        problem, _, remedy = reason.partition(": ")
        raise EngineError(f"{problem}.", f"{remedy[0].upper()}{remedy[1:]}")
    # Pictures are made on farm machines too: nothing may look for a newer file on the way.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        package = importlib.import_module(name)
        # Bars and advice would land among a job's own lines.
        importlib.import_module(f"{name}.utils.logging").set_verbosity_error()
        importlib.import_module(f"{name}.utils.logging").disable_progress_bar()
        # They are imported when they are first named, and that may fail where two libraries do not fit each other.
        for wanted in _PACKAGES[name]:
            getattr(package, wanted)
    except (ImportError, RuntimeError, AttributeError) as error:
        raise EngineError(
            f"The package {name} cannot be used: {_first_line(error)}.",
            f"Install Kairos with its part {EXTRA!r} again.",
        ) from error
    return package


def _damaged(place: Path, what: str) -> BadRequest:
    return BadRequest(f"{place} {what}.", f"Get it from its authors again ({MODEL}).")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


__all__ = ["EXTRA", "Found", "Parts", "find_parts", "library", "load_parts", "unavailable"]
