"""Models that are published as folders are kept whole, with their licence, and what would run anything is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
import torch
from safetensors.torch import save_file

from kairos.cli.weights import add as add_command
from kairos.errors import BadRequest, KairosError
from kairos.weights.adding import Titled, add
from kairos.weights.folders import read_folder
from kairos.weights.store import Record, Store


def yes(network: Titled, terms: str) -> bool:
    """Accepts every licence."""
    return True


def published(path: Path, model_type: str = "sam_hq", card: str = "", **told: Any) -> Path:
    """A folder as a hub publishes it, of one tensor."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps({"model_type": model_type, **told}))
    (path / "preprocessor_config.json").write_text("{}")
    save_file({"weight": torch.ones(2)}, path / "model.safetensors")
    if model_type != "sam_hq":
        (path / "vocab.txt").write_text("[PAD]\ndog\n")
    if card:
        (path / "README.md").write_text(f"---\nlicense: {card}\ntags:\n- vision\n---\n# Model\n")
    return path


def kept(tmp_path: Path, **about: Any) -> Record:
    return add(published(tmp_path / "sam-hq-vit-base", **about), Store(tmp_path / "store"), yes)


def test_a_folder_is_kept_with_what_is_needed_of_it(tmp_path: Path) -> None:
    folder = published(tmp_path / "dino", "grounding-dino", "apache-2.0")
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    store = Store(tmp_path / "store")
    record = add(folder, store, yes)
    assert (record.name, record.architecture, record.variant) == ("grounding-dino",) * 3
    assert record.licence == "code Apache-2.0; weights Apache-2.0; commercial use allowed" and record.accepted
    assert sorted(each.name for each in store.folder(record.name).iterdir()) == [
        "config.json", "model.safetensors", "preprocessor_config.json", "vocab.txt",
    ]  # fmt: skip
    assert record.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert store.of("grounding-dino") == [record] and store.verify() == [("grounding-dino", "")]


def test_a_licence_that_is_not_accepted_leaves_nothing(tmp_path: Path) -> None:
    shown: List[str] = []

    def no(network: Titled, terms: str) -> bool:
        shown.append(f"{network.title}: {terms}")
        return False

    with pytest.raises(BadRequest, match=r"licence of sam-hq was not accepted.*--accept-licence"):
        add(published(tmp_path / "sam"), Store(tmp_path / "store"), no)
    assert shown and "SAM-HQ" in shown[0] and "Apache-2.0" in shown[0] and not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("about", "licence", "non_commercial"),
    [
        ({"card": "cc-by-nc-4.0"}, "weights cc-by-nc-4.0; no commercial use", True),
        ({"card": "mit"}, "weights mit; commercial use allowed", False),
        ({"model_type": "mm-grounding-dino"}, "weights see the model's card; use as the card says", False),
    ],
    ids=["non-commercial", "another", "others' training without a card"],
)
def test_the_licence_is_what_the_folders_own_card_says(
    tmp_path: Path, about: Dict[str, Any], licence: str, non_commercial: bool
) -> None:
    record = kept(tmp_path, **about)
    assert record.licence == f"code Apache-2.0; {licence}" and record.non_commercial is non_commercial


def test_a_changed_file_of_a_folder_is_found(tmp_path: Path) -> None:
    record = kept(tmp_path)
    store = Store(tmp_path / "store")
    (store.folder(record.name) / "config.json").write_text('{"model_type": "sam_hq", "auto_map": {}}')
    assert store.verify() == [(record.name, "are damaged")]
    (store.folder(record.name) / "config.json").unlink()
    assert store.verify() == [(record.name, "are missing")]


def test_a_removed_folder_takes_its_files_and_no_others_with_it(tmp_path: Path) -> None:
    record = kept(tmp_path)
    store = Store(tmp_path / "store")
    mine = store.folder(record.name) / "notes.txt"
    mine.write_text("mine")
    store.remove(record.name)
    assert [each.name for each in store.root.rglob("*") if each.is_file()] == ["notes.txt"]
    mine.unlink()
    store.folder(record.name).rmdir()
    again = kept(tmp_path)
    store.remove(again.name)
    assert not list(store.root.iterdir())


def test_a_record_cannot_name_files_outside_of_its_folder(tmp_path: Path) -> None:
    record = kept(tmp_path)
    path = tmp_path / "store" / f"{record.name}.json"
    told = json.loads(path.read_text())
    told["values"]["files"] = {"../../precious.txt": "0"}
    path.write_text(json.dumps(told))
    assert Store(tmp_path / "store").records() == []


def test_two_folders_of_one_model_live_side_by_side(tmp_path: Path) -> None:
    first = kept(tmp_path)
    other = published(tmp_path / "Large one")
    save_file({"weight": torch.zeros(2)}, other / "model.safetensors")
    second = add(other, Store(tmp_path / "store"), yes)
    assert (first.name, second.name) == ("sam-hq", "large-one")
    assert add(tmp_path / "sam-hq-vit-base", Store(tmp_path / "store"), yes).name == "sam-hq"


def refusals(folder: Path, case: str) -> None:
    """Makes a good folder one that has to be refused."""
    config = json.loads((folder / "config.json").read_text())
    if case == "pickle":
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(b"\x80\x02cos\nsystem\n.")
    elif case == "code":
        config["vision_config"] = {"auto_map": {"AutoConfig": "evil.Config"}}
    elif case == "code in the tokenizer":
        (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["evil.Words", null]}}')
    elif case == "none":
        (folder / "model.safetensors").unlink()
    elif case == "cut short":
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[:-3])
    elif case == "another model":
        config["model_type"] = "bert"
    elif case == "no json":
        (folder / "config.json").write_text("[1, 2")
        return
    elif case == "no object":
        (folder / "config.json").write_text("[1, 2]")
        return
    elif case == "no configuration":
        (folder / "config.json").unlink()
        return
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("pickle", r"a pickle \(pytorch_model.bin\), which could run anything.*syscv-community/sam-hq-vit-base"),
        ("code", r"config.json asks to run code of its own \(auto_map\)"),
        ("code in the tokenizer", r"tokenizer_config.json asks to run code of its own"),
        ("none", r"has no model.safetensors\. Download .*Apache-2.0"),
        ("cut short", "damaged or cut short"),
        ("another model", r"holds the model 'bert'.*grounding-dino, mm-grounding-dino, sam_hq"),
        ("no json", "config.json cannot be read"),
        ("no object", "config.json is damaged"),
        ("no configuration", "no folder of a model: it has no config.json"),
    ],
)
def test_what_is_no_model_or_would_run_something_is_refused(tmp_path: Path, case: str, message: str) -> None:
    folder = published(tmp_path / "sam")
    refusals(folder, case)
    with pytest.raises(BadRequest, match=message) as told:
        read_folder(folder)
    assert "\n" not in str(told.value)
    with pytest.raises(BadRequest):
        add(folder, Store(tmp_path / "store"), yes)
    assert not (tmp_path / "store").exists()


def test_a_detector_without_its_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = published(tmp_path / "dino", "grounding-dino")
    (folder / "vocab.txt").unlink()
    with pytest.raises(BadRequest, match=r"no vocabulary \(vocab.txt or tokenizer.json\)"):
        read_folder(folder)
    (folder / "tokenizer.json").write_text("{}")
    assert "tokenizer.json" in read_folder(folder).files


def test_a_full_disk_leaves_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kairos.weights.store.shutil.copyfile", full)
    with pytest.raises(KairosError, match="No space left"):
        kept(tmp_path)
    assert Store(tmp_path / "store").records() == []


def test_the_command_adds_a_folder_and_says_what_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "store"))
    add_command(published(tmp_path / "sam"), None, True)
    told = capsys.readouterr()
    assert told.out.startswith("sam-hq: sam_hq, from a folder") and "Use it with --regions" in told.out
    assert "licence: code Apache-2.0; weights Apache-2.0" in told.err
