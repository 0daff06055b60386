"""Models published as folders, as hubs do: a configuration, tensors and a vocabulary. Recognised, and never run.

What a folder asks to run (a pickle of weights, code of its own) is refused: only safetensors and plain text are taken.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

from safetensors import SafetensorError, safe_open

from kairos.errors import BadRequest
from kairos.weights.containers import file_sha256

CONFIGURATION, TENSORS, PICTURES, CARD = "config.json", "model.safetensors", "preprocessor_config.json", "README.md"
"""Files of a folder: about the network, its weights, how pictures are prepared for it, and its description."""

MOST_TEXT = 1 << 23
"""Bytes of a configuration or vocabulary; the largest published one has a tenth of this."""

_MOST_CARD = 1 << 14
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_LICENCE = re.compile(r"^license:\s*[\"']?([A-Za-z0-9.+-]{1,40})[\"']?\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Kind:
    """A model that is published as folders.

    Attributes:
        id: the architecture in the store's records.
        title: one line for people.
        paper: where the method is published.
        model_types: what its configurations call it.
        pages: hub ids, the smallest model first.
        code_licence, weights_licence: SPDX names; the latter holds where the folder's own card says no other.
        vocabulary: it reads text, and takes one of these files for its words.
    """

    id: str
    title: str
    paper: str
    model_types: Tuple[str, ...]
    pages: Tuple[str, ...]
    code_licence: str
    weights_licence: str
    vocabulary: Tuple[str, ...] = ()

    def by_hand(self) -> str:
        """In one line, how to come by such a folder."""
        vocabulary = f", {self.vocabulary[0]}" if self.vocabulary else ""
        return (
            f"Download {CONFIGURATION}, {PICTURES}, {TENSORS}{vocabulary} of https://huggingface.co/{self.pages[0]} "
            f"({self.weights_licence}) into a folder, then run kairos weights add FOLDER"
        )


GROUNDING_DINO = Kind(
    id="grounding-dino",
    title="Grounding DINO: boxes around what words name",
    paper="Liu et al., ECCV 2024, arXiv 2303.05499",
    model_types=("grounding-dino", "mm-grounding-dino"),
    pages=("IDEA-Research/grounding-dino-tiny", "IDEA-Research/grounding-dino-base"),
    code_licence="Apache-2.0",
    weights_licence="Apache-2.0",
    vocabulary=("vocab.txt", "tokenizer.json"),
)

SAM_HQ = Kind(
    id="sam-hq",
    title="SAM-HQ: masks of what boxes surround",
    paper="Ke et al., NeurIPS 2023, arXiv 2306.01567",
    model_types=("sam_hq",),
    pages=("syscv-community/sam-hq-vit-base", "syscv-community/sam-hq-vit-large", "syscv-community/sam-hq-vit-huge"),
    code_licence="Apache-2.0",
    weights_licence="Apache-2.0",
)

KINDS: Tuple[Kind, ...] = (GROUNDING_DINO, SAM_HQ)
"""Every model that is taken as a folder."""


@dataclass(frozen=True)
class Folder:
    """A folder that may be used.

    Attributes:
        path: of the folder.
        kind: of the model.
        model_type: what its configuration calls it.
        files: those that are needed of it, each with its SHA-256.
        licence: the terms in one line.
        non_commercial: they forbid commercial use.
    """

    path: Path
    kind: Kind
    model_type: str
    files: Mapping[str, str]
    licence: str
    non_commercial: bool


def read_folder(path: Path) -> Folder:
    """Recognises a folder and hashes its files.

    Raises:
        BadRequest: it is no model that Kairos knows, lacks a file, is damaged, or asks to run something.
    """
    kind, names = check_folder(path)
    told = _card_licence(path)
    terms = told or kind.weights_licence
    # MM Grounding DINO is others' training, on terms of its own.
    model_type = str(read_json(path, CONFIGURATION)["model_type"])
    if not told and model_type != kind.model_types[0]:
        terms = "see the model's card"
    non_commercial = re.search(r"(^|-)nc(-|$)", terms.lower()) is not None
    use = "no commercial use" if non_commercial else "commercial use allowed"
    if terms == "see the model's card":
        use = "use as the card says"
    try:
        files = {name: file_sha256(path / name) for name in names}
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror or error}.", "Check the folder.") from None
    return Folder(path, kind, model_type, files, f"code {kind.code_licence}; weights {terms}; {use}", non_commercial)


def check_folder(path: Path, kind: Optional[Kind] = None) -> Tuple[Kind, Tuple[str, ...]]:
    """The model in a folder, and which of its files are needed. The tensors themselves are not read.

    Args:
        path: of the folder.
        kind: what it has to be; else any that is known.

    Raises:
        BadRequest: as for :func:`read_folder`, or it is another model.
    """
    if not (path / CONFIGURATION).is_file():
        raise BadRequest(f"{path} is no folder of a model: it has no {CONFIGURATION}.", "Check the folder's name.")
    model_type = read_json(path, CONFIGURATION).get("model_type")
    found = next((each for each in KINDS if model_type in each.model_types), None)
    if found is None or (kind is not None and found is not kind):
        known = ", ".join(name for each in ((kind,) if kind else KINDS) for name in each.model_types)
        raise BadRequest(f"{path} holds the model {model_type!r}.", f"Give a folder of one of these: {known}.")
    words = next(((name,) for name in found.vocabulary if (path / name).is_file()), ())
    if found.vocabulary and not words:
        raise BadRequest(f"{path} has no vocabulary ({' or '.join(found.vocabulary)}).", f"{found.by_hand()}.")
    pictures = (PICTURES,) if (path / PICTURES).is_file() else ()
    for name in sorted(each.name for each in path.glob("*.json")):
        # Code of the model's own is asked for in any of them, deep inside the network's parts too.
        if _asks_for_code(read_json(path, name)):
            raise BadRequest(
                f"{path} was refused: its {name} asks to run code of its own (auto_map), and nothing of it was run.",
                f"{found.by_hand()}.",
            )
    _check_tensors(path, found)
    return found, (CONFIGURATION, TENSORS, *pictures, *words)


def read_json(path: Path, name: str) -> Dict[str, Any]:
    """A file of a folder. Raises BadRequest where it is damaged, larger than any, or no JSON object."""
    file = path / name
    try:
        if file.stat().st_size > MOST_TEXT:
            raise BadRequest(f"{file} is larger than any of its kind.", "Get the folder from its authors again.")
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadRequest(f"{file} cannot be read.", "Get the folder from its authors again.") from error
    if not isinstance(told, dict):
        raise BadRequest(f"{file} is damaged.", "Get the folder from its authors again.")
    return told


@contextlib.contextmanager
def open_tensors(file: Path, device: str = "cpu") -> Iterator[Any]:
    """A safetensors file, its tensors not read yet. Raises BadRequest where it is damaged, then or as they are read."""
    try:
        with safe_open(file, "pt", device=device) as opened:
            yield opened
    except (SafetensorError, OSError, ValueError) as error:
        raise BadRequest(f"{file} is damaged or cut short.", "Get the file from its authors again.") from error


def checked_tensors(file: Path) -> Path:
    """The same safetensors file. Its head alone is read. Raises BadRequest where it is damaged or holds no tensors."""
    with open_tensors(file) as opened:
        empty = not list(opened.keys())
    if empty:
        raise BadRequest(f"{file} holds no tensors.", "Get the file from its authors again.")
    return file


def refuse_pickles(path: Path, remedy: str) -> None:
    """Raises BadRequest where the weights in a folder are a pickle. Nothing of it is run."""
    pickles = sorted(each.name for each in path.iterdir() if each.suffix in _PICKLES)
    if pickles:
        raise BadRequest(
            f"{path} was refused: its weights are a pickle ({pickles[0]}), which could run anything. Nothing of it "
            f"was run.",
            remedy,
        )


def _asks_for_code(told: Any) -> bool:
    if isinstance(told, dict):
        return "auto_map" in told or any(_asks_for_code(value) for value in told.values())
    return isinstance(told, list) and any(_asks_for_code(value) for value in told)


def _check_tensors(path: Path, kind: Kind) -> None:
    file = path / TENSORS
    if not file.is_file():
        refuse_pickles(path, f"{kind.by_hand()}.")
        raise BadRequest(f"{path} has no {TENSORS}.", f"{kind.by_hand()}.")
    checked_tensors(file)


def card_head(path: Path) -> str:
    """What stands in the head of a folder's own card, between its two rules; empty where there is none."""
    try:
        with (path / CARD).open(encoding="utf-8", errors="replace") as file:
            head = file.read(_MOST_CARD)
    except OSError:
        return ""
    parts = head.split("---", 2)
    return parts[1] if head.startswith("---") and len(parts) == 3 else ""


def _card_licence(path: Path) -> str:
    """The terms that the folder's own card names; empty where it names none."""
    found = _LICENCE.search(card_head(path))
    if found is None:
        return ""
    return "Apache-2.0" if found[1].lower() == "apache-2.0" else found[1]
