"""Words to boxes to masks with tiny untrained networks of the real kinds, offline, from folders on disk."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from kairos.engines.hierarchical.masks import models as models_module
from kairos.engines.hierarchical.masks import open_world
from kairos.engines.hierarchical.masks.detector import Found
from kairos.engines.hierarchical.masks.models import Models, identity_of, load_models
from kairos.engines.hierarchical.masks.segmenter import CHUNK, at_size
from kairos.errors import BadRequest, EngineError, KairosError
from kairos.motion.region_rules import Word
from kairos.weights.adding import add
from kairos.weights.store import Store
from support.open_world import keep_folders, vocabulary

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Path]:
    """Tiny untrained networks."""
    return keep_folders(tmp_path_factory.mktemp("folders"))


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "store"))
    return Store()


@pytest.fixture
def models(folders: Dict[str, Path]) -> Models:
    return load_models(CPU, str(folders["grounding-dino"]), str(folders["sam-hq"]))


def picture(seed: int = 0, height: int = 48, width: int = 80) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


class Boxes:
    """A detector whose answers are given, and a count of how often it was asked."""

    def __init__(self, *answers: Sequence[Found]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def boxes(self, picture: Tensor, tags: Sequence[str]) -> List[Found]:
        self.asked += 1
        return list(self.answers[(self.asked - 1) % len(self.answers)])


class Squares:
    """A segmenter whose masks are the boxes."""

    def encoded(self, picture: Tensor) -> Tuple[int, int]:
        return picture.shape[-2], picture.shape[-1]

    def masks(self, encoded: Tuple[int, int], boxes: Sequence[Tuple[float, ...]]) -> Iterator[Tensor]:
        for box in boxes:
            left, top, right, bottom = map(int, box)
            mask = torch.zeros(encoded, dtype=torch.bool)
            mask[top:bottom, left:right] = True
            yield mask


def told(*frames: Sequence[Found]) -> Models:
    detector: Any = Boxes(*frames)
    segmenter: Any = Squares()
    return Models(detector, segmenter, None, CPU, "")


def found(tag: str, left: int, top: int, right: int, bottom: int, score: float = 0.5) -> Found:
    return Found(tag, (left, top, right, bottom), score)


def test_tags_become_words_with_masks_of_the_pictures_size_offline(
    folders: Dict[str, Path], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any) -> None:
        raise AssertionError("the network was asked")

    for folder in folders.values():
        add(folder, store, lambda network, terms: True)
    # Kept weights, loaded where nothing answers.
    monkeypatch.setattr(socket.socket, "connect", refused)
    models = load_models(CPU)
    words = open_world.words(picture(), ["Dog", "tennis racket", "dog."], models)
    assert [word.name for word in words] == ["dog", "tennis racket"]
    for word in words:
        assert word.mask.shape == (48, 80) and word.mask.dtype is torch.bool and 0.25 < word.score <= 1
    again = open_world.words(picture(), ["dog", "tennis racket"], models)
    assert all(torch.equal(one.mask, other.mask) for one, other in zip(words, again))
    # Known by their files alone, wherever these lie.
    lying = [str(folder) for folder in folders.values()]
    assert models.identity == identity_of() == identity_of(*lying) == load_models(CPU, *lying).identity
    names, maps = open_world.label_maps([picture(), picture(1)], ["dog", "tree"], models)
    assert len(maps) == 2 and all(each.shape == (48, 80) and each.dtype is torch.int16 for each in maps)
    assert all(int(each.max()) <= len(names) for each in maps)


def test_a_frame_is_encoded_once_for_all_its_boxes(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    network = models.segmenter._network
    calls = {"encoder": 0, "decoder": []}  # type: Dict[str, Any]
    encode, decode = network.vision_encoder.forward, network.mask_decoder.forward

    def encoder(*args: Any, **kwargs: Any) -> Any:
        calls["encoder"] += 1
        return encode(*args, **kwargs)

    def decoder(*args: Any, **kwargs: Any) -> Any:
        assert len(kwargs["intermediate_embeddings"]) == 1 and kwargs["multimask_output"] is False
        calls["decoder"].append(kwargs["sparse_prompt_embeddings"].shape[1])
        return decode(*args, **kwargs)

    monkeypatch.setattr(network.vision_encoder, "forward", encoder)
    monkeypatch.setattr(network.mask_decoder, "forward", decoder)
    many: Any = Boxes([found("dog", index, 0, index + 9, 20) for index in range(CHUNK + 3)])
    words = open_world.words(picture(), ["dog"], Models(many, models.segmenter, None, CPU, ""))
    assert calls == {"encoder": 1, "decoder": [CHUNK, 3]} and len(words) == 1


def test_boxes_reach_the_network_in_pixels_of_its_own_square(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: List[Tensor] = []
    network = models.segmenter._network
    embed = network.prompt_encoder.forward

    def prompts(**kwargs: Any) -> Any:
        seen.append(kwargs["input_boxes"])
        return embed(**kwargs)

    monkeypatch.setattr(network.prompt_encoder, "forward", prompts)
    encoded = models.segmenter.encoded(picture(height=96, width=128))
    assert encoded.inner == (48, 64) and encoded.size == (96, 128)
    list(models.segmenter.masks(encoded, [(32.0, 48.0, 128.0, 96.0)]))
    assert seen[0].tolist() == [[[16.0, 24.0, 64.0, 48.0]]]


def test_a_mask_of_the_square_comes_back_to_where_it_was_in_the_picture() -> None:
    # A picture of 60 x 120 lies in the upper 32 rows of a square of 64; the network's mask has 16 x 16 cells of 4.
    logits = torch.full((16, 16), -1.0)
    logits[2:6, 4:12] = 1.0
    logits[8:] = 1.0
    mask = at_size(logits, 64, (32, 64), (60, 120))
    rows, columns = torch.nonzero(mask, as_tuple=True)
    assert mask.shape == (60, 120)
    # Cells 2..6 of 8 and 4..12 of 16; what lies below the picture touches its last row's blend alone.
    inside = rows < 52
    assert abs(int(rows[inside].min()) - 15) <= 1 and abs(int(rows[inside].max()) + 1 - 45) <= 1
    assert abs(int(columns[inside].min()) - 30) <= 1 and abs(int(columns[inside].max()) + 1 - 90) <= 1
    assert bool(mask[20:40, 35:85].all()) and not bool(mask[:13].any()) and not bool(mask[48:57].any())


def test_tags_are_split_into_texts_that_the_network_reads_whole(models: Models) -> None:
    tags = ["Dog", "tennis racket", " person ", "dog", "dogs", "a.b", "", "Tree", "a b c d", "c", "d c", "b c"]
    queries = models.detector.queries(tags)
    assert [query.text for query in queries] == [
        "dog. tennis racket. person. dogs. a b. tree. a b c d. c.", "d c. b c.",
    ]  # fmt: skip
    tokenizer = models.detector._tokenizer
    for query in queries:
        assert len(query.ids) <= 24 and list(query.ids) == tokenizer(query.text)["input_ids"]
        for tag, (first, after) in query.places.items():
            assert tokenizer.decode(query.ids[first:after]) == tag
    assert models.detector.queries([" ", "."]) == []
    with pytest.raises(BadRequest, match="too long"):
        models.detector.queries(["a " * 30])


def test_thresholds_decide_which_boxes_and_words_count(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        # Tokens: [CLS] dog . tree . [SEP]; four boxes.
        logits = torch.full((1, 4, 24), -torch.inf)
        pred_boxes = torch.tensor([[[0.5, 0.5, 0.5, 0.25], [0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 1, 1], [0.5, 0.5, 0, 1]]])

    def logit(score: float) -> float:
        return float(torch.logit(torch.tensor(score)))

    Answer.logits[0, 0, 1], Answer.logits[0, 0, 3] = logit(0.9), logit(0.2)
    Answer.logits[0, 1, 1], Answer.logits[0, 1, 3] = logit(0.26), logit(0.3)
    Answer.logits[0, 2, 1], Answer.logits[0, 3, 1] = logit(0.24), logit(0.9)
    monkeypatch.setattr(models.detector, "_network", lambda **inputs: Answer)
    boxes = models.detector.boxes(picture(height=40, width=80), ["dog", "tree"])
    # The first is a dog alone; the second both, cut off at the border; the third scores too low; the last is empty.
    assert [(each.tag, round(each.score, 2)) for each in boxes] == [("dog", 0.9), ("dog", 0.26), ("tree", 0.3)]
    assert boxes[0].box == pytest.approx((20, 15, 60, 25)) and boxes[1].box == pytest.approx((0, 0, 24, 12))


def test_a_word_is_the_union_of_its_boxes_and_its_best_score() -> None:
    words = open_world.words(
        picture(height=20, width=30),
        ["tree", "cat", "Dog"],
        told([found("dog", 0, 0, 5, 5, 0.4), found("dog", 10, 10, 20, 20, 0.7), found("tree", 10, 10, 20, 20, 0.3)]),
    )
    assert [(word.name, word.score, int(word.mask.sum())) for word in words] == [("tree", 0.3, 100), ("dog", 0.7, 125)]


def test_nothing_found_costs_no_masks() -> None:
    assert open_world.words(picture(), ["dog"], told([])) == []


def test_a_number_is_the_same_word_in_all_frames() -> None:
    dog, tree, ball = found("dog", 0, 0, 5, 5), found("tree", 10, 0, 15, 5), found("ball", 20, 0, 25, 5)
    names, maps = open_world.label_maps(
        [picture(height=10, width=30)] * 4, ["dog", "tree", "ball"], told([tree], [dog, tree], [dog], [dog, ball])
    )
    assert names == ["tree", "dog"], "the ball is in one frame alone"
    assert [sorted(each.unique().tolist()) for each in maps] == [[0, 1], [0, 1, 2], [0, 2], [0, 2]]
    assert int(maps[1][2, 2]) == int(maps[3][2, 2]) == 2 and int(maps[0][2, 12]) == int(maps[1][2, 12]) == 1


def test_a_word_given_up_in_a_pair_is_given_up_in_both_of_its_frames() -> None:
    dog, part, apart = found("dog", 0, 0, 10, 10), found("ear", 0, 0, 4, 4), found("ear", 20, 0, 24, 4)
    names, maps = open_world.label_maps(
        [picture(height=10, width=30)] * 2, ["dog", "ear"], told([dog, part], [dog, apart])
    )
    assert names == ["dog"] and all(each.unique().tolist() == [0, 1] for each in maps)


def test_words_that_only_a_middle_frame_brings_together_are_put_to_the_rule_there() -> None:
    dog, ear = found("dog", 0, 0, 10, 10), found("ear", 0, 0, 4, 4)
    names, maps = open_world.label_maps(
        [picture(height=10, width=30)] * 3, ["dog", "ear"], told([dog], [dog, ear], [ear])
    )
    assert names == ["dog", "ear"]
    assert [each.unique().tolist() for each in maps] == [[0, 1], [0, 1], [0, 2]]


def test_frames_without_any_word_are_all_remainder() -> None:
    names, maps = open_world.label_maps([picture()] * 2, ["dog"], told([]))
    assert names == [] and all(not bool(each.any()) and each.shape == (48, 80) for each in maps)


def test_frames_are_tagged_where_no_words_are_given() -> None:
    class Tags:
        def tags(self, picture: Tensor) -> List[str]:
            return ["dog"]

    tagger: Any = Tags()
    models = told([found("dog", 0, 0, 5, 5)])
    with pytest.raises(EngineError, match="no weights of ram"):
        open_world.label_maps([picture()] * 2, None, models)
    tagged = Models(models.detector, models.segmenter, tagger, CPU, "")
    assert open_world.label_maps([picture()] * 2, None, tagged)[0] == ["dog"]


def test_one_frame_or_frames_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="two frames"):
        open_world.label_maps([picture()], ["dog"], told([]))
    with pytest.raises(ValueError, match="one size"):
        open_world.label_maps([picture(), picture(height=50)], ["dog"], told([]))


def test_missing_weights_are_told_in_one_line_with_where_they_are() -> None:
    with pytest.raises(EngineError) as refusal:
        load_models(CPU)
    text = str(refusal.value)
    assert "\n" not in text and "grounding-dino and sam-hq" in text and "kairos weights add FOLDER" in text
    assert "IDEA-Research/grounding-dino-tiny (Apache-2.0)" in text
    assert "syscv-community/sam-hq-vit-base (Apache-2.0)" in text


def test_only_what_is_missing_is_named(folders: Dict[str, Path]) -> None:
    with pytest.raises(EngineError, match=r"need the weights of sam-hq\.") as refusal:
        load_models(CPU, detector=str(folders["grounding-dino"]))
    assert "IDEA-Research" not in str(refusal.value)


def test_a_missing_package_is_told_in_one_line(folders: Dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    models_module._detector.cache_clear()
    monkeypatch.setattr(models_module.importlib, "import_module", missing)
    with pytest.raises(EngineError, match=r"package transformers, which is not installed.*'regions'"):
        load_models(CPU, *(str(folder) for folder in folders.values()))


def test_a_folder_of_the_other_model_and_an_unknown_name_are_refused(folders: Dict[str, Path]) -> None:
    with pytest.raises(BadRequest, match="holds the model 'sam_hq'"):
        load_models(CPU, str(folders["sam-hq"]), str(folders["sam-hq"]))
    with pytest.raises(BadRequest, match="mine is neither a folder nor weights of sam-hq"):
        load_models(CPU, str(folders["grounding-dino"]), "mine")


def test_kept_weights_that_have_changed_are_not_used(folders: Dict[str, Path], store: Store) -> None:
    for folder in folders.values():
        add(folder, store, lambda network, terms: True)
    with (store.folder("sam-hq") / "config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(KairosError, match="The weights sam-hq are damaged"):
        load_models(CPU)


def copied(folder: Path, target: Path) -> Path:
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_a_model_that_lacks_tensors_is_refused(folders: Dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["sam-hq"], tmp_path / "short")
    save_file({"mask_decoder.iou_token.weight": torch.zeros(1, 32)}, folder / "model.safetensors")
    with pytest.raises(EngineError, match=r"lacks \d+ of its tensors"):
        load_models(CPU, str(folders["grounding-dino"]), str(folder))


def test_another_vocabulary_is_refused(folders: Dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["grounding-dino"], tmp_path / "words")
    (folder / "vocab.txt").write_text("\n".join(reversed(vocabulary())))
    with pytest.raises(EngineError, match="another than BERT's"):
        load_models(CPU, str(folder), str(folders["sam-hq"]))


def test_the_vocabulary_of_a_tokenizer_file_serves_as_well(folders: Dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["grounding-dino"], tmp_path / "tokenizer")
    (folder / "vocab.txt").unlink()
    words = {word: number for number, word in enumerate(vocabulary())}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordPiece", "vocab": words}}))
    models = load_models(CPU, str(folder), str(folders["sam-hq"]))
    assert models.detector.queries(["dogs"])[0].ids == (101, 1030, 1035, 1012, 102)


def test_a_picture_with_light_over_white_or_none_at_all_gives_masks(models: Models) -> None:
    bright = picture() * 4 - 1
    bright[:, 3, 3] = torch.nan
    words: List[Word] = open_world.words(bright, ["dog"], models)
    assert all(word.mask.shape == (48, 80) for word in words)
    with pytest.raises(ValueError, match=r"\(3, H, W\)"):
        open_world.words(torch.zeros(1, 48, 80), ["dog"], models)
