"""The files that weights come in: safetensors, torch's zip and older formats, TorchScript archives.

Every reader answers with a tree of names and tensors not read yet. Sizes are checked against the file before anything
is read, so that a small file cannot fill the memory.
"""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, Callable, Dict, List, Mapping, Union

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from kairos.weights.pickles import Refused, StorageRef, TensorRef, read_pickle

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

MOST_PICKLE = 1 << 26
"""Bytes of the pickle in a zip, which holds names and shapes alone."""

MOST_UNPACKED, MOST_RATIO = 1 << 32, 50
"""Of a checkpoint packed with other files: its bytes, and how far packing may have shrunk it (weights: 1.1)."""

_CHECKPOINTS = (".pth", ".pkl", ".pt", ".bin", ".ckpt", ".safetensors")

Leaf = Union[TensorRef, Tensor]
"""A tensor of a tree: still in its file, or read."""


@dataclass(frozen=True)
class Archive:
    """An open file of weights.

    Attributes:
        kind: what it is, for people.
        tree: nested dictionaries, with :data:`Leaf` for tensors.
        read: reads a leaf. Raises Refused where its numbers are not all there.
        size: bytes of the file.
    """

    kind: str
    tree: Any
    read: Callable[[Leaf], Tensor]
    size: int


def open_archive(file: IO[bytes]) -> Archive:
    """Recognises a file by its content.

    Args:
        file: seekable, and open for as long as tensors are read.

    Raises:
        Refused: it is nothing that weights come in, it is damaged, or it asks to run something.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(512)
    file.seek(0)
    if head.startswith(b"PK\x03\x04"):
        return _open_zip(file, size)
    if head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= size:
        return _open_safetensors(file, size)
    if head[:1] == b"\x80":
        return _open_legacy(file, size)
    raise Refused(_no_weights(head))


def _no_weights(head: bytes) -> str:
    text = head.lstrip().lower()
    if not head:
        return "it is empty"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page: the download did not work"
    if text.startswith(b"version https://git-lfs"):
        return "it only points to the real file, which git lfs pull brings"
    return "it is neither safetensors nor a file of torch"


def _open_safetensors(file: IO[bytes], size: int) -> Archive:
    try:
        tensors = load(file.read())
    except (SafetensorError, ValueError, KeyError, OverflowError, RuntimeError) as error:
        raise Refused("it is damaged or cut short") from error
    return Archive("safetensors", dict(tensors), _already_read, size)


def _already_read(leaf: Leaf) -> Tensor:
    if not isinstance(leaf, Tensor):
        raise Refused("it is damaged")
    return leaf


class _Storages:
    """Numbers in a file, each storage read once for all tensors on it."""

    def __init__(self, load: Callable[[StorageRef], bytearray]) -> None:
        self._load = load
        self._read: Dict[str, Tensor] = {}

    def tensor(self, leaf: Leaf) -> Tensor:
        """The tensor, (contiguous, a storage of its own)."""
        if isinstance(leaf, Tensor):
            return leaf
        place = leaf.storage
        numbers = self._read.get(place.key)
        if numbers is None or numbers.dtype != place.dtype:
            data = self._load(place)
            if len(data) != place.count * place.dtype.itemsize:
                raise Refused("it is cut short")
            numbers = torch.frombuffer(data, dtype=place.dtype) if data else torch.empty(0, dtype=place.dtype)
            self._read[place.key] = numbers
        return numbers.as_strided(leaf.shape, leaf.stride, leaf.offset).clone(memory_format=torch.contiguous_format)


def _open_zip(file: IO[bytes], size: int) -> Archive:
    try:
        archive = zipfile.ZipFile(file)
        entries = {entry.filename: entry for entry in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as error:
        raise Refused("it is damaged or cut short") from error
    roots = [name[: -len("data.pkl")] for name in entries if PurePosixPath(name).name == "data.pkl"]
    roots = [root for root in roots if root.count("/") <= 1]
    if len(roots) != 1:
        return _open_packed(archive, entries)
    root = roots[0]
    # torch packs code alone, which is not read: packed numbers, or more of them than the file has bytes, are a trap.
    numbers = [entry for name, entry in entries.items() if name.startswith((root + "data.pkl", root + "data/"))]
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in numbers):
        raise Refused("its numbers are packed, which torch never does")
    if sum(entry.file_size for entry in numbers) > size:
        raise Refused("it claims to hold more than its own size")
    if entries[root + "data.pkl"].file_size > MOST_PICKLE:
        raise Refused("it is larger than any checkpoint")
    order = entries.get(root + "byteorder")
    if order is not None and order.file_size <= 16 and _entry(archive, order) == b"big":
        raise Refused("it was written on a big-endian machine")
    script = root + "constants.pkl" in entries or any(name.startswith(root + "code/") for name in entries)

    def load(place: StorageRef) -> bytearray:
        entry = entries.get(f"{root}data/{place.key}")
        if entry is None:
            raise Refused("it is cut short")
        return _entry(archive, entry)

    tree = read_pickle(io.BytesIO(_entry(archive, entries[root + "data.pkl"])), script)
    return Archive("TorchScript" if script else "torch", tree, _Storages(load).tensor, size)


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytearray:
    try:
        return bytearray(archive.read(entry))
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise Refused("it is damaged or cut short") from error


def _open_packed(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> Archive:
    """A zip with a checkpoint among other files, as some authors publish them."""
    inside = [
        entry
        for name, entry in entries.items()
        if PurePosixPath(name).suffix in _CHECKPOINTS and not name.startswith("__MACOSX")
    ]
    if not inside:
        raise Refused("it is a zip without weights in it")
    if len(inside) > 1:
        names = ", ".join(sorted(PurePosixPath(entry.filename).name for entry in inside)[:8])
        raise Refused(f"it is a zip with several checkpoints ({names}): unpack it and add one of them")
    entry = inside[0]
    if entry.file_size > min(MOST_UNPACKED, MOST_RATIO * max(entry.compress_size, 1)):
        raise Refused("it is packed so tightly that it would fill the memory")
    file = io.BytesIO(_entry(archive, entry))
    if zipfile.is_zipfile(file) and not _is_torch(file):
        raise Refused("it is a zip in a zip")
    opened = open_archive(file)
    return Archive(f"{opened.kind} in a zip", opened.tree, opened.read, opened.size)


def _is_torch(file: IO[bytes]) -> bool:
    try:
        names = zipfile.ZipFile(file).namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        return False
    return any(PurePosixPath(name).name == "data.pkl" for name in names)


def _open_legacy(file: IO[bytes], size: int) -> Archive:
    """torch's format before 1.6: five pickles one after the other, then the numbers."""
    if read_pickle(file) != _LEGACY_MAGIC:
        raise Refused("it is a pickle, but not one of torch")
    if read_pickle(file) != _LEGACY_PROTOCOL:
        raise Refused("it was written by an unknown torch")
    system = read_pickle(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Refused("it was written on a big-endian machine")
    known: Dict[str, StorageRef] = {}
    tree = read_pickle(file, storages=known)
    keys = read_pickle(file)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Refused("it is damaged")
    places = _legacy_places(file, keys, known, size)

    def load(place: StorageRef) -> bytearray:
        if place.key not in places:
            raise Refused("it is cut short")
        file.seek(places[place.key])
        return bytearray(file.read(place.count * place.dtype.itemsize))

    return Archive("torch (before 1.6)", tree, _Storages(load).tensor, size)


def _legacy_places(file: IO[bytes], keys: List[str], known: Mapping[str, StorageRef], size: int) -> Dict[str, int]:
    """Where each storage's numbers begin."""
    places = {}
    for key in keys:
        head = file.read(8)
        place = known.get(key)
        if len(head) < 8 or place is None or struct.unpack("<q", head)[0] != place.count:
            raise Refused("it is damaged or cut short")
        places[key] = file.tell()
        if file.seek(place.count * place.dtype.itemsize, io.SEEK_CUR) > size:
            raise Refused("it is cut short")
    return places
