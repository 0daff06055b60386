"""Files that are damaged, foreign or made to harm are refused in one line, quickly, and nothing in them is run."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import pytest
import torch

from kairos.errors import BadRequest
from kairos.weights.adding import add
from kairos.weights.containers import open_container
from kairos.weights.store import Store
from support.wrappings import SMALL, WRAPPINGS, small_state


class Calls:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Tuple[Callable[..., Any], Tuple[Any, ...]]:
        return self._call


def refused(path: Path) -> str:
    """The one line with which a file is refused; the store stays as it was."""
    store = Store(path.parent / "store")
    started = time.monotonic()
    with pytest.raises(BadRequest) as error:
        add(path, store, lambda architecture, terms: True, architectures=(SMALL,))
    assert time.monotonic() - started < 20
    assert not store.root.exists(), "a refused file changes nothing"
    assert "\n" not in str(error.value) and path.name in error.value.message and error.value.remedy
    return error.value.message


HOSTILE: Dict[str, Callable[[str], Any]] = {
    "system": lambda mark: Calls(os.system, f"touch {mark}"),
    "eval": lambda mark: Calls(eval, f"open({mark!r}, 'w')"),
    "import": lambda mark: Calls(__import__, "antigravity"),
    "getattr": lambda mark: Calls(getattr, "text", "upper"),
    "popen": lambda mark: Calls(subprocess.Popen, ["touch", mark]),
    "beside-weights": lambda mark: {**small_state(), "note": Calls(os.system, f"touch {mark}")},
    "inside-optimizer": lambda mark: {"state_dict": small_state(), "optimizer": [Calls(os.system, f"touch {mark}")]},
    "whole-module": lambda mark: torch.nn.Conv2d(3, 4, 3),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("old", [False, True], ids=["zip", "old"])
def test_a_pickle_that_asks_to_run_something_is_refused_and_runs_nothing(kind: str, old: bool, tmp_path: Path) -> None:
    mark, path = tmp_path / "it-ran", tmp_path / "hostile.pth"
    torch.save(HOSTILE[kind](str(mark)), path, _use_new_zipfile_serialization=not old)
    message = refused(path)
    assert "asks to run" in message and "nothing of it was run" in message, message
    assert not mark.exists()


def test_a_bare_pickle_is_refused(tmp_path: Path) -> None:
    mark, path = tmp_path / "it-ran", tmp_path / "bare.pkl"
    path.write_bytes(pickle.dumps(Calls(os.system, f"touch {mark}")))
    assert "asks to run" in refused(path) and not mark.exists()
    path.write_bytes(pickle.dumps({"weight": [1.0, 2.0]}))
    assert "not one of torch" in refused(path)


@pytest.mark.parametrize("wrapping", ["safetensors", "zip", "old", "scripted", "packed"])
@pytest.mark.parametrize("part", [0.999, 0.9, 0.5, 0.1, 0.01])
def test_truncated_files_are_refused(wrapping: str, part: float, tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    WRAPPINGS[wrapping](small_state(64), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    refused(path)


@pytest.mark.parametrize("wrapping", ["safetensors", "zip", "old", "scripted"])
def test_damaged_files_are_refused_or_read_but_never_fail_otherwise(wrapping: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.pth"
    WRAPPINGS[wrapping](small_state(), path)
    data = path.read_bytes()
    for place in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            with open_container(path) as container:
                for candidate in container.candidates:
                    container.tensors(candidate)
        except BadRequest as error:
            assert "\n" not in str(error)


def archive(path: Path, tree: bytes, numbers: bytes = bytes(64), packing: int = zipfile.ZIP_STORED) -> Path:
    """A file in torch's format made by hand."""
    with zipfile.ZipFile(path, "w", packing) as file:
        file.writestr("archive/data.pkl", tree)
        file.writestr("archive/data/0", numbers)
        file.writestr("archive/version", "3\n")
    return path


def tensor_pickle(count: int, offset: int, shape: Tuple[int, ...], stride: Tuple[int, ...]) -> bytes:
    """A pickle of {'first.weight': tensor} with these claims."""

    class Storage:
        """Stands for the tensor's numbers."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", count) if isinstance(value, Storage) else None

    file = io.BytesIO()
    made = Calls(torch._utils._rebuild_tensor_v2, Storage(), offset, shape, stride, False, {})
    Pickler(file, 2).dump({"first.weight": made})
    return file.getvalue()


@pytest.mark.parametrize(
    ("count", "offset", "shape", "stride"),
    [
        (16, 0, (1 << 40,), (0,)),
        (16, 0, (4, 5), (5, 1)),
        (16, 12, (4, 2), (2, 1)),
        (16, 0, (-1, 4), (4, 1)),
        (16, -4, (4,), (1,)),
        (16, 0, (4, 4), (-1, 1)),
        (16, 0, (4, 4), (1,)),
        (1 << 40, 0, (1 << 20, 1 << 20), (1 << 20, 1)),
        (1 << 62, 0, (1 << 31, 1 << 31), (1 << 31, 1)),
        (16, 0, (1,) * 40, (1,) * 40),
    ],
    ids=str,
)
def test_absurd_shapes_are_refused(
    count: int, offset: int, shape: Tuple[int, ...], stride: Tuple[int, ...], tmp_path: Path
) -> None:
    refused(archive(tmp_path / "absurd.pth", tensor_pickle(count, offset, shape, stride)))


def test_the_file_made_by_hand_is_read_where_its_claims_hold(tmp_path: Path) -> None:
    path = archive(tmp_path / "sound.pth", tensor_pickle(16, 0, (4, 4), (4, 1)))
    with open_container(path) as container:
        assert container.tensors(container.candidates[0])["first.weight"].shape == (4, 4)


def test_packed_numbers_are_refused_unread(tmp_path: Path) -> None:
    tree = tensor_pickle(1 << 23, 0, (1 << 12, 1 << 11), (1 << 11, 1))
    path = archive(tmp_path / "bomb.pth", tree, bytes(1 << 25), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    assert "packed" in refused(path)


def test_a_checkpoint_packed_beyond_reason_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("flownet.pkl", bytes(1 << 25))
    assert "fill the memory" in refused(path)


def test_many_names_for_one_storage_do_not_fill_the_memory(tmp_path: Path) -> None:
    big = torch.zeros(1 << 16)
    torch.save({f"tensor.{index}": big for index in range(4000)}, tmp_path / "copies.pth")
    assert "more than its own size" in refused(tmp_path / "copies.pth")


def billion_laughs() -> bytes:
    """Dictionaries in dictionaries, each named ten times by the next: ten to the thirtieth when walked through."""
    tree: Dict[str, Any] = {"end": 1}
    for _ in range(20):
        tree = {str(index): tree for index in range(10)}
    return pickle.dumps(tree, 2)


@pytest.mark.parametrize(
    "tree",
    [
        billion_laughs(),
        b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x02" + b"]" + b"]a" * 10 + b"a." + b"0" * 10,
        b"\x80\x02}r\xff\xff\xff\xff.",
        b"\x80\x02X\xff\xff\xff\xff",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60),
        b"\x80\x02}K\x01s.",
        b"\x80\x02h\x05.",
        b"\x80\x02.",
        b"\x80\x02cos\nsystem\n.",
        b"\x80\x02ctorch\nload\n.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02}.",
        b"",
    ],
    ids=lambda tree: repr(tree[:20]),
)
def test_pickles_made_to_harm_are_refused(tree: bytes, tmp_path: Path) -> None:
    refused(archive(tmp_path / "tree.pth", tree))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>Virus scan warning</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "neither"),
        (struct.pack("<Q", 1 << 60) + b"{}" + bytes(100), "neither"),
        (struct.pack("<Q", 2) + b"{}", "no tensors"),
        (
            struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,99999]}}  ' + bytes(16),
            "damaged",
        ),
    ],
)
def test_files_that_hold_no_weights_say_what_they_are(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "download.pth"
    path.write_bytes(content)
    assert words in refused(path)


def test_files_without_tensors_and_zips_of_many_are_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "note": "weights follow"}, tmp_path / "none.pth")
    assert "no tensors" in refused(tmp_path / "none.pth")
    with zipfile.ZipFile(tmp_path / "models.zip", "w") as file:
        file.writestr("a.pth", b"1")
        file.writestr("b.pth", b"2")
    assert "a.pth, b.pth" in refused(tmp_path / "models.zip")
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as file:
        file.writestr("model.py", "print()")
    assert "without weights" in refused(tmp_path / "code.zip")
    with pytest.raises(BadRequest, match="cannot be read"), open_container(tmp_path / "nothing.pth"):
        raise AssertionError("opened a file that is not there")
