"""RAM's tags: the network's parts, its checkpoint as it is published, and the lists beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import pytest
import torch
from torch import Tensor

from kairos.engines.architecture import shapes_of
from kairos.engines.hierarchical.masks.ram import Ram
from kairos.engines.hierarchical.masks.ram_checkpoint import ARCHITECTURE, EXPECTED, recognise, spelled
from kairos.engines.hierarchical.masks.swin import Swin, joined, offsets, parted
from kairos.engines.hierarchical.masks.tags import Tagger, load_tagger
from kairos.errors import BadRequest, EngineError
from kairos.weights.adding import add
from kairos.weights.store import Record, Store

TINY: Dict[str, Any] = {
    "side": 64, "width": 8, "depths": [2, 2, 2, 1], "stage_heads": [1, 2, 2, 4], "window": 2, "tags": 5, "text": 12,
    "hidden": 16, "layers": 2, "heads": 4, "inner": 24,
}  # fmt: skip
NAMES = ["dog", "cat", "tree", "car", "tennis racket"]


def tiny(seed: int = 0) -> Ram:
    torch.manual_seed(seed)
    network = Ram(**TINY).eval()
    for name, tensor in network.named_parameters():
        if name.endswith("label_embed") or "table" in name:
            torch.nn.init.normal_(tensor)
    return network


def published(network: Ram) -> Dict[str, Any]:
    """A container like the published one: the old name, index buffers, and parts that tags have no use for."""
    state: Dict[str, Tensor] = {
        name.replace("tagging_head", "vision_multi"): tensor for name, tensor in network.state_dict().items()
    }
    state["visual_encoder.layers.0.blocks.0.attn.relative_position_index"] = offsets(2)
    state["visual_encoder.layers.0.blocks.1.attn_mask"] = torch.zeros(4, 4, 4)
    state["vision_multi.embeddings.LayerNorm.weight"] = torch.ones(16)
    state["text_decoder.cls.predictions.bias"] = torch.ones(7)
    state["text_encoder.encoder.layer.0.intermediate.dense.weight"] = torch.ones(3, 3)
    return {"model": state, "epoch": 9}


def kept(tmp_path: Path, network: Ram, monkeypatch: pytest.MonkeyPatch) -> Record:
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "store"))
    torch.save(published(network), tmp_path / "ram_swin_large_14m.pth")
    return add(tmp_path / "ram_swin_large_14m.pth", Store(), lambda architecture, terms: True)


def listed(record: Record, thresholds: List[float]) -> None:
    (Store().root / f"{record.name}.tags.txt").write_text("\n".join(NAMES) + "\n")
    (Store().root / f"{record.name}.thresholds.txt").write_text("\n".join(map(str, thresholds)) + "\n")


def picture() -> Tensor:
    return torch.rand(3, 50, 90, generator=torch.Generator().manual_seed(1))


def test_the_published_container_loads_whole_and_tags_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = tiny()
    record = kept(tmp_path, network, monkeypatch)
    assert (record.architecture, record.variant) == ("ram", "ram")
    assert {name: record.values[name] for name in TINY} == TINY
    tensors = Store().load(record.name)[1]
    assert tensors.keys() == network.state_dict().keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in network.state_dict().items())
    seen = torch.nn.functional.interpolate(picture()[None], (64, 64), mode="bilinear", antialias=True)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        scores = network((seen - mean.view(3, 1, 1)) / deviation.view(3, 1, 1))[0]
    assert scores.shape == (5,) and bool(((scores > 0) & (scores < 1)).all())
    # Each tag's own threshold decides: the second and last are just over theirs, the others just under.
    shift = [1e-4, -1e-4, 1e-4, 1e-4, -1e-4]
    listed(record, [float(score) + off for score, off in zip(scores, shift)])
    tagger = load_tagger("", torch.device("cpu"))
    assert tagger is not None
    assert tagger.tags(picture()) == ["cat", "tennis racket"]


def test_without_weights_there_is_no_tagger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path))
    assert load_tagger("", torch.device("cpu")) is None
    with pytest.raises((BadRequest, EngineError), match="no weights"):
        load_tagger("mine", torch.device("cpu"))


def test_a_missing_or_foreign_list_of_tags_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = kept(tmp_path, tiny(), monkeypatch)
    tagger = Tagger(record, torch.device("cpu"))
    with pytest.raises(EngineError, match=r"list of tags.*ram\.tags\.txt.*ram_tag_list\.txt") as told:
        tagger.tags(picture())
    assert "\n" not in str(told.value)
    tagger.list_path.write_text("dog\ncat\n")
    with pytest.raises(EngineError, match="has 2 lines, and the weights have 5 tags"):
        tagger.tags(picture())
    listed(record, [0.5] * 5)
    tagger.thresholds_path.write_text("a\n" * 5)
    with pytest.raises(EngineError, match="no number"):
        tagger.tags(picture())


def test_without_thresholds_the_usual_one_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny()
    torch.nn.init.zeros_(network.fc.weight)
    for bias, expected in ((0.61, []), (0.63, NAMES)):
        # 0.65 is what the logistic function makes of 0.619.
        torch.nn.init.constant_(network.fc.bias, bias)
        record = kept(tmp_path / str(bias), network, monkeypatch) if (tmp_path / str(bias)).mkdir() is None else None
        assert record is not None
        listed(record, [])
        (Store().root / "ram.thresholds.txt").unlink()
        assert Tagger(record, torch.device("cpu")).tags(picture()) == expected


def test_the_published_sizes_are_recognised_from_shapes_alone() -> None:
    with torch.device("meta"):
        network = Ram()
    state = network.state_dict()
    assert recognise(shapes_of(state)) == ARCHITECTURE.variants["ram-swin-large"]
    # Swin-L without its classifier (Liu et al. 2021, table 7: 197 M with its 1.5 M classifier of 1000), and the rest.
    count = sum(tensor.numel() for name, tensor in state.items() if name.startswith("visual_encoder."))
    assert round(count / 1e6) == 195
    assert state["label_embed"].shape == (4585, 512) and state["image_proj.weight"].shape == (512, 1536)
    assert state["tagging_head.encoder.layer.1.crossattention.self.key.weight"].shape == (768, 512)


def test_every_name_of_the_network_is_on_the_list_of_expected_ones() -> None:
    import re

    patterns = []
    for name in EXPECTED:
        pattern = re.escape(name).replace(r"\{", "(").replace(r"\}", ")").replace(",", "|")
        patterns.append(re.sub("STAGE|BLOCK|LAYER(?!Norm)", r"\\d+", pattern))
    names = list(tiny().state_dict())
    assert not [name for name in names if not any(re.fullmatch(pattern, name) for pattern in patterns)]
    assert all(any(re.fullmatch(pattern, name) for name in names) for pattern in patterns)


def test_a_checkpoint_that_lacks_a_tensor_is_refused_by_its_name(tmp_path: Path) -> None:
    told = published(tiny())
    del told["model"]["vision_multi.encoder.layer.1.output.dense.bias"]
    torch.save(told, tmp_path / "ram.pth")
    with pytest.raises(BadRequest, match=r"looks like ram, but 1 of .*tagging_head.encoder.layer.1.output.dense.bias"):
        add(tmp_path / "ram.pth", Store(tmp_path / "store"), lambda architecture, terms: True)


def test_ram_plus_is_not_taken_for_ram(tmp_path: Path) -> None:
    told = published(tiny())
    told["model"]["reweight_scale"] = torch.ones(())
    torch.save(told, tmp_path / "ram_plus.pth")
    with pytest.raises(BadRequest, match=r"superfluous \(reweight_scale\)"):
        add(tmp_path / "ram_plus.pth", Store(tmp_path / "store"), lambda architecture, terms: True)


def test_other_networks_keep_their_names() -> None:
    tensors = {"fc.weight": torch.ones(2), "encoder.weight": torch.ones(3)}
    assert spelled(tensors) == tensors and recognise(shapes_of(tensors)) is None


def test_a_query_sees_the_picture_and_no_other_query() -> None:
    network = tiny()
    seen = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        before = network(seen)
        network.label_embed[3] += 1
        after = network(seen)
        other = network(seen.flip(-1))
    changed = (before != after)[0].tolist()
    assert changed == [False, False, False, True, False]
    assert bool((other != after).all())


def test_tokens_of_swin_are_their_mean_and_all_of_them() -> None:
    torch.manual_seed(0)
    swin = Swin(64, 8, [1, 1, 1, 1], [1, 1, 2, 2], 2).eval()
    with torch.no_grad():
        tokens = swin(torch.randn(2, 3, 64, 64))
    assert tokens.shape == (2, 1 + 4, 64)
    assert torch.allclose(tokens[:, 0], tokens[:, 1:].mean(1), atol=1e-6)


def test_windows_are_parted_and_joined_again() -> None:
    plane = torch.arange(2 * 4 * 6 * 3.0).view(2, 4, 6, 3)
    windows = parted(plane, 2)
    assert torch.equal(windows[1], plane[0, :2, 2:4].reshape(4, 3))
    assert torch.equal(joined(windows, 2, plane.shape), plane)


def test_equal_offsets_share_a_row_of_the_table() -> None:
    rows = offsets(3)
    assert rows.unique().numel() == (2 * 3 - 1) ** 2 and int(rows.max()) == 24
    # One step to the right, wherever it begins; and its opposite is another row.
    assert int(rows[0, 1]) == int(rows[1, 2]) == int(rows[4, 5]) != int(rows[1, 0])


def test_a_shift_does_not_let_opposite_borders_see_each_other() -> None:
    torch.manual_seed(3)
    swin = Swin(32, 8, [2], [1], 4).eval()
    first = torch.randn(1, 3, 32, 32)
    second = first.clone()
    second[..., -4:] += 1
    with torch.no_grad():
        one, other = (swin(each)[:, 1:].view(8, 8, 8) for each in (first, second))
    changed = (one - other).abs().amax(-1).amax(0) > 1e-6
    # Columns 4..7 are its window, 2..5 that of the shifted windows: the first two columns see nothing of it.
    assert changed.tolist() == [False, False, True, True, True, True, True, True]


def test_the_lists_are_not_read_before_a_picture_is_tagged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = kept(tmp_path, tiny(), monkeypatch)
    assert not Tagger(record, torch.device("cpu")).list_path.exists(), "and there are none"
