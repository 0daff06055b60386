"""From a file of weights to the state dicts in it, the wrappings of trainings taken off."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Dict, Iterator, List, Mapping, Tuple

from torch import Tensor

from kairos.errors import BadRequest
from kairos.weights.archives import Archive, Leaf, open_archive
from kairos.weights.pickles import Instance, Refused, TensorRef

MOST_NODES, MOST_DEPTH = 300_000, 24
"""Of the tree in a file: a few thousand and 6 in the largest published checkpoints."""

PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")
"""What wrappers (several GPUs, compilation, trainers) put before every name."""

_MEAN_PREFIXES = ("ema_model.", "model_ema.", "ema.")

_MEAN_NAMES = ("ema", "params_ema", "state_dict_ema", "model_ema", "ema_model", "ema_state_dict", "shadow")

_BESIDE = ("optim", "sched", "scaler", "rng", "lr")
"""How the entries begin that trainings keep beside the weights."""

_COUNTERS = frozenset({"n_averaged", "initted", "step", "num_updates", "decay"})


@dataclass(frozen=True)
class Candidate:
    """One state dict of a file.

    Attributes:
        label: where in the file it is (``params_ema``), empty for the file's top level.
        mean: it is the moving average that trainings keep for use (EMA).
        leaves: names, wrappers' prefixes removed, and tensors not read yet.
    """

    label: str
    mean: bool
    leaves: Mapping[str, Leaf]


@dataclass(frozen=True)
class Container:
    """An open file of weights.

    Attributes:
        path: of the file.
        kind: of the file, for people.
        sha256: of the file.
        candidates: its state dicts, in order of preference: moving averages first.
    """

    path: Path
    kind: str
    sha256: str
    candidates: Tuple[Candidate, ...]
    _archive: Archive

    def tensors(self, candidate: Candidate) -> Dict[str, Tensor]:
        """The tensors of a state dict, on the CPU.

        Raises:
            BadRequest: they are not all there.
        """
        with _told(self.path):
            # Many names may share one storage; written out, they must not be many times the file.
            if sum(_bytes(leaf) for leaf in candidate.leaves.values()) > 2 * self._archive.size + (1 << 20):
                raise Refused("it claims to hold more than its own size")
            return {name: self._archive.read(leaf) for name, leaf in candidate.leaves.items()}


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Container]:
    """A file of weights: safetensors, torch's formats, TorchScript, or a zip with one of them.

    Nothing in the file is run.

    Raises:
        BadRequest: it cannot be read, is damaged, asks to run something, or holds no tensors.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror or error}.", "Check the file's name.") from None
    with file, _told(path):
        archive = open_archive(file)
        candidates = tuple(_candidates(archive.tree))
        if not candidates:
            raise Refused("it holds no tensors")
        digest = _sha256(file)
        yield Container(path, archive.kind, digest, candidates, archive)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise BadRequest(f"{path} was refused: {error}.", "Get the file from its authors again.") from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return _sha256(file)


def _sha256(file: IO[bytes]) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _bytes(leaf: Leaf) -> int:
    return leaf.nbytes if isinstance(leaf, TensorRef) else leaf.numel() * leaf.element_size()


def _is_leaf(value: Any) -> bool:
    return isinstance(value, (Tensor, TensorRef))


def _candidates(tree: Any) -> List[Candidate]:
    """The state dicts of a tree, moving averages first, then from the outside in."""
    found: List[Tuple[Tuple[str, ...], Dict[str, Leaf]]] = []
    _Walk().collect(tree, (), found)
    candidates = [each for path, leaves in found for each in _split(".".join(path), _is_mean(path), leaves)]
    return sorted(candidates, key=lambda each: not each.mean)


def _is_mean(path: Tuple[str, ...]) -> bool:
    return any(part.lower() in _MEAN_NAMES for part in path)


def _split(label: str, mean: bool, leaves: Mapping[str, Leaf]) -> Iterator[Candidate]:
    """A flat state dict may hold the moving average and the last step side by side, told apart by prefixes."""
    for prefix in _MEAN_PREFIXES:
        inside = {name[len(prefix) :]: leaf for name, leaf in leaves.items() if name.startswith(prefix)}
        if inside and len(inside) < len(leaves):
            yield Candidate(".".join(filter(None, (label, prefix[:-1]))), True, _bare(inside))
    yield Candidate(label, mean, _bare(leaves))


def _bare(leaves: Mapping[str, Leaf]) -> Dict[str, Leaf]:
    """Names without the prefix that all of them have, and without a wrapper's counters."""
    named = {name: leaf for name, leaf in leaves.items() if name not in _COUNTERS} or dict(leaves)
    while True:
        prefix = next((each for each in PREFIXES if all(name.startswith(each) for name in named)), None)
        if prefix is None:
            return named
        named = {name[len(prefix) :]: leaf for name, leaf in named.items()}


class _Walk:
    """A walk through a tree from a file, which may refer to itself or be nested without end."""

    def __init__(self) -> None:
        self._nodes = 0

    def collect(self, node: Any, path: Tuple[str, ...], found: List[Tuple[Tuple[str, ...], Dict[str, Leaf]]]) -> None:
        """Adds every dictionary of tensors below ``node`` to ``found``."""
        self._step(path)
        if isinstance(node, Instance):
            leaves: Dict[str, Leaf] = {}
            self._attributes(node.state, "", len(path), leaves)
            if leaves:
                found.append((path, leaves))
            return
        if not isinstance(node, dict):
            return
        leaves = {name: value for name, value in node.items() if isinstance(name, str) and _is_leaf(value)}
        if leaves:
            found.append((path, leaves))
        for name, value in node.items():
            if isinstance(name, str) and not name.lower().startswith(_BESIDE):
                self.collect(value, (*path, name), found)

    def _attributes(self, state: Any, prefix: str, depth: int, leaves: Dict[str, Leaf]) -> None:
        """Tensors among a scripted module's attributes, and among those of its modules."""
        self._step(range(depth))
        if not isinstance(state, dict):
            return
        for name, value in state.items():
            self._nodes += 1
            if _is_leaf(value):
                leaves[f"{prefix}{name}"] = value
            elif isinstance(value, Instance):
                self._attributes(value.state, f"{prefix}{name}.", depth + 1, leaves)

    def _step(self, depth: Any) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES or len(depth) > MOST_DEPTH:
            raise Refused("it is nested deeper than any checkpoint")
