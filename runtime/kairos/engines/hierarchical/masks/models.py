"""Open-world models, read from folders of this machine: Grounding DINO, SAM-HQ, and RAM where there is one.

Nothing is downloaded and nothing of a folder is run: tensors come from safetensors, words from the plain vocabulary.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

import torch

from kairos.engines.hierarchical.masks.detector import Detector
from kairos.engines.hierarchical.masks.segmenter import Segmenter
from kairos.engines.hierarchical.masks.tags import Tagger, load_tagger
from kairos.errors import BadRequest, EngineError
from kairos.weights.containers import file_sha256
from kairos.weights.folders import (
    CONFIGURATION,
    GROUNDING_DINO,
    PICTURES,
    SAM_HQ,
    Kind,
    check_folder,
    read_json,
)
from kairos.weights.store import Store

EXTRA = "regions"
"""The optional part of Kairos that these models need."""


@dataclass(frozen=True)
class Models:
    """What finds objects by their names.

    Attributes:
        detector: words to boxes.
        segmenter: boxes to masks.
        tagger: a picture to words; None where there are no weights of it, and words have to be given.
        device: they run on.
        identity: of detector and segmenter, see :func:`identity_of`.
    """

    detector: Detector
    segmenter: Segmenter
    tagger: Optional[Tagger]
    device: torch.device
    identity: str


def load_models(device: torch.device, detector: str = "", segmenter: str = "", tagger: str = "") -> Models:
    """The models, ready for use on a device. Those loaded last are kept.

    Args:
        device: to run on.
        detector, segmenter: name of kept weights, or a folder; empty for the first that are kept.
        tagger: name of kept weights; empty for the first that are kept, if any.

    Raises:
        BadRequest: a folder is refused, or there are no weights of that name.
        EngineError: weights are missing, or the package that runs them is.
        KairosError: kept weights are damaged.
    """
    (first, first_sha), (second, second_sha) = _folders(detector, segmenter)
    tags = load_tagger(tagger, device)
    return Models(
        _detector(first, first_sha, str(device)),
        _segmenter(second, second_sha, str(device)),
        tags,
        device,
        f"{first_sha} {second_sha}",
    )


def identity_of(detector: str = "", segmenter: str = "") -> str:
    """What finds objects whose words are given, known by its files: no network is built.

    Arguments and errors are those of :func:`load_models`.
    """
    return " ".join(sha256 for _, sha256 in _folders(detector, segmenter))


def _folders(detector: str, segmenter: str) -> Tuple[Tuple[Path, str], Tuple[Path, str]]:
    """Where detector and segmenter lie, and what they are known by."""
    first, second = _folder(GROUNDING_DINO, detector), _folder(SAM_HQ, segmenter)
    if first is not None and second is not None:
        return first, second
    missing = [kind for kind, found in ((GROUNDING_DINO, first), (SAM_HQ, second)) if found is None]
    raise EngineError(
        f"Regions by words need the weights of {' and '.join(kind.id for kind in missing)}.",
        "; ".join(kind.by_hand() for kind in missing) + ".",
    )


def _folder(kind: Kind, name: str) -> Optional[Tuple[Path, str]]:
    """Where a model lies, and a SHA-256 of all of its files that count; None where there is none."""
    store = Store()
    records = store.of(kind.id)
    if not name and not records:
        return None
    record = next((each for each in records if name in ("", each.name)), None)
    if record is not None:
        trouble = store.trouble(record)
        if trouble:
            raise EngineError(
                f"The weights {record.name} {trouble}.",
                f"Run kairos weights remove {record.name}, and add them again.",
            )
        return store.folder(record.name), _joined(record.files)
    path = Path(name).expanduser()
    if not path.is_dir():
        known = ", ".join(each.name for each in records)
        raise BadRequest(
            f"{name} is neither a folder nor weights of {kind.id}.",
            f"There are {known}." if known else f"{kind.by_hand()}.",
        )
    _, names = check_folder(path, kind)
    return path.resolve(), _joined({name: file_sha256(path / name) for name in names})


def _joined(files: Mapping[str, str]) -> str:
    """One digest of all by name: the vocabulary and the size of pictures decide what a network finds, too."""
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=1)
def _detector(folder: Path, sha256: str, device: str) -> Detector:
    check_folder(folder, GROUNDING_DINO)
    mm = read_json(folder, CONFIGURATION)["model_type"] == "mm-grounding-dino"
    network = _network("MMGroundingDinoForObjectDetection" if mm else "GroundingDinoForObjectDetection", folder, device)
    tokenizer = _transformers().BertTokenizer(vocab=_vocabulary(folder))
    return Detector(network, tokenizer, _pictures(folder))


@lru_cache(maxsize=1)
def _segmenter(folder: Path, sha256: str, device: str) -> Segmenter:
    check_folder(folder, SAM_HQ)
    return Segmenter(_network("SamHQModel", folder, device), _pictures(folder))


def _pictures(folder: Path) -> Dict[str, Any]:
    return read_json(folder, PICTURES) if (folder / PICTURES).is_file() else {}


def _vocabulary(folder: Path) -> Dict[str, int]:
    """Words to their numbers, of ``vocab.txt`` or else ``tokenizer.json``."""
    plain = folder / "vocab.txt"
    try:
        if plain.is_file():
            return {word: number for number, word in enumerate(plain.read_text(encoding="utf-8").split("\n"))}
        told = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        return {str(word): int(number) for word, number in told.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRequest(
            f"The vocabulary in {folder} cannot be read.", "Get the folder from its authors again."
        ) from error


def _network(name: str, folder: Path, device: str) -> Any:
    """The network of a folder, in evaluation mode, float32."""
    try:
        network, told = getattr(_transformers(), name).from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    # Whatever a damaged or foreign folder makes the package stumble over: values of any kind reach it.
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise EngineError(
            f"The model in {folder} cannot be built: {reason[0] if reason else type(error).__name__}",
            "Get the folder from its authors again.",
        ) from error
    missing = sorted(told["missing_keys"])
    if missing:
        raise EngineError(
            f"The model in {folder} lacks {len(missing)} of its tensors ({', '.join(missing[:4])}).",
            "Get the folder from its authors again.",
        )
    return network.requires_grad_(False).eval().to(torch.device(device))


def _transformers() -> Any:
    # Regions are found on farm machines too: nothing may look for a newer file on the way.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        package = importlib.import_module("transformers")
    except ImportError as error:
        raise EngineError(
            "Regions by words need the package transformers, which is not installed.",
            f"Install Kairos with its part {EXTRA!r}, or give regions as a matte or by motion.",
        ) from error
    # Its bars and advice would land among a job's own lines.
    package.utils.logging.disable_progress_bar()
    package.utils.logging.set_verbosity_error()
    return package
