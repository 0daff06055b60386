"""The engine ``hierarchical`` on published networks, with weights of the user's that hold a plug-in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest
import torch
from torch import Tensor

from kairos.bench.untrained import keep_tensors
from kairos.engines.base import EngineSettings, Pair
from kairos.engines.hierarchical import stored
from kairos.engines.hierarchical.architecture import build, plugged_values
from kairos.engines.hierarchical.cells import both_at_cells
from kairos.engines.hierarchical.checkpoint import Origin, save
from kairos.engines.hierarchical.plugged import Plugged
from kairos.engines.registry import engine
from kairos.engines.rife.architecture import VARIANTS as RIFE
from kairos.errors import BadRequest, EngineError, KairosError
from kairos.motion.inbetween import Inbetween
from kairos.motion.region_choice import RegionRule
from kairos.weights.adding import add
from kairos.weights.store import Store
from support.scenes import MemoryShot, grid, plate, texture
from support.untrained import EXAMPLES

VALUES: Dict[str, Dict[str, Any]] = {
    "ifrnet": {"variant": "ifrnet", "widths": [8, 8, 12, 16], "kernel": 3, "side": 8},
    "rife": EXAMPLES["rife"],
    "amt": EXAMPLES["amt"],
    "ema": EXAMPLES["ema"],
    "rife-paper": {**RIFE["rife-paper"], "widths": [16, 12, 8]},
}
"""Hyper-parameters of a network of each base, and of one that knows the middle alone."""

HEIGHT, WIDTH = 90, 141


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "weights"))
    yield Store(tmp_path / "weights")
    stored._plugged.cache_clear()


def made(name: str, spread: float = 0.0) -> Plugged:
    """A random base with a plug-in that is untrained, or whose last layer is random too."""
    torch.manual_seed(3)
    network = build(plugged_values(name.partition("-")[0], VALUES[name]))
    assert isinstance(network, Plugged)
    if spread:
        (plugin,) = network.plugin.values()
        last: Any = plugin.hierarchy.inter.last  # type: ignore[union-attr]
        torch.nn.init.normal_(last.weight, std=spread)
    return network.eval()


def kept(store: Store, network: Plugged, name: str, base: str) -> None:
    """Puts a plugged network into the store."""
    values = plugged_values(base.partition("-")[0], VALUES[base])
    keep_tensors(store, "hierarchical", values, network.state_dict(), name)


def shot(rules: Optional[Dict[int, RegionRule]] = None, count: int = 2) -> MemoryShot:
    """A box that moves 8 pixels to the right and 4 down, and is told apart."""
    columns, rows = grid(HEIGHT, WIDTH)
    frames, regions = [], []
    for time in range(count):
        x, y = columns - 30 - 8 * time, rows - 20 - 4 * time
        inside = (x >= 0) & (x < 50) & (y >= 0) & (y < 40)
        frames.append(plate(torch.where(torch.from_numpy(inside), *told(x, y, columns, rows)).numpy()))
        regions.append(torch.from_numpy(inside).to(torch.int16) * 4)
    return MemoryShot(frames, regions=regions, rules=rules)


def told(x: Any, y: Any, columns: Any, rows: Any) -> Tuple[Tensor, Tensor]:
    return torch.from_numpy(1.5 * texture(9)(x, y)), torch.from_numpy(texture(4)(columns, rows))


def answers(view: MemoryShot, *times: float, id: str = "hierarchical", **options: Any) -> List[Inbetween]:
    settings = EngineSettings(options=options, scale=options.pop("scale", None), tile=options.pop("tile", None))
    return list(engine(id).open(view, settings, lambda event: None).at(Pair(0, 1), times))


def prepared(monkeypatch: pytest.MonkeyPatch) -> List[Any]:
    """The labels that networks are told from here on."""
    found: List[Any] = []
    prepare = Plugged.prepare

    def noted(network: Any, first: Any, second: Any, scale: float = 1.0, labels: Any = None) -> Any:
        found.append(labels)
        return prepare(network, first, second, scale, labels)

    monkeypatch.setattr(Plugged, "prepare", noted)
    return found


# Answers.


@pytest.mark.parametrize(
    ("base", "given"),
    [("ifrnet", {}), ("rife", {}), ("amt", {}), ("ema", {}), ("ifrnet", {"motion": "gimm"}), ("rife", {"scale": 0.5})],
)
def test_untrained_each_base_answers_what_it_answers_alone(base: str, given: Dict[str, Any], store: Store) -> None:
    network, view = made(base), shot()
    kept(store, network, "mine", base)
    keep_tensors(store, base, VALUES[base], network.base.state_dict(), "alone")
    (ours,), (alone,) = answers(view, 0.5, base=base, **given), answers(view, 0.5, id=base, **given)
    for name in ("flow_to_0", "flow_to_1", "blend", "occlusion_0", "confidence"):
        assert torch.equal(getattr(ours, name), getattr(alone, name)), name
    assert (ours.image is None) == (alone.image is None) == (base != "amt")
    assert ours.image is None or (alone.image is not None and torch.equal(ours.image, alone.image))


@pytest.mark.parametrize("base", ["ifrnet", "rife", "amt", "ema"])
def test_trained_the_answer_depends_on_the_objects(base: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(store, made(base, spread=0.05), "mine", base)
    kept(store, made(base), "untrained", base)
    view, seen = shot(), prepared(monkeypatch)
    (ours,) = answers(view, 0.5, base="mine")
    (none,) = answers(MemoryShot(view.frames), 0.5, base="mine")
    (untrained,) = answers(view, 0.5, base="untrained")
    assert not torch.equal(ours.flow_to_0, none.flow_to_0) and not torch.equal(ours.flow_to_0, untrained.flow_to_0)
    assert seen[0] is not None and seen[1] is None and set(torch.unique(torch.cat(seen[0])).tolist()) == {0, 4}


@pytest.mark.parametrize(("base", "scale"), [("ifrnet", 1.0), ("ifrnet", 0.5), ("rife", 1.0), ("ema", 1.0)])
def test_labels_are_those_of_the_cells_of_the_padded_frame(
    base: str, scale: float, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, view = made(base), shot()
    kept(store, network, "mine", base)
    seen = prepared(monkeypatch)
    answers(view, 0.25, 0.5, 0.75, base=base, scale=scale)
    assert len(seen) == 1, "once for all times"
    # A frame that shows each pixel's own label, padded as frames are.
    pictures = [view.regions(position)[None, None].float() for position in (0, 1)]  # type: ignore[index]
    one, two = (network.padding.pad(each, scale)[0, 0].to(torch.int16) for each in pictures)
    rows, columns = network.grid(*one.shape, scale)
    assert all(torch.equal(*both) for both in zip(seen[0], both_at_cells(one, two, (rows, columns))))
    left, _, above, _ = network.padding.margins(HEIGHT, WIDTH, scale)
    side_y, side_x = one.shape[0] / rows, one.shape[1] / columns
    # The box lies at 30..80 across and 20..60 down in the first frame: so do the cells around its middle.
    assert int(seen[0][0][0, int((above + 40) / side_y), int((left + 55) / side_x)]) == 4
    assert int(seen[0][0][0, 0, 0]) == 0


def test_pictures_painted_on_the_way_carry_the_objects_of_the_nearer_source(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(store, made("rife-paper", spread=0.01), "middle", "rife-paper")
    view, seen = shot(), prepared(monkeypatch)
    (answer,) = answers(view, 0.25, base="middle")
    assert len(seen) == 2 and all(labels is not None for labels in seen), "the middle, then the quarter"
    assert torch.equal(seen[0][0], seen[1][0]) and set(torch.unique(seen[1][1]).tolist()) == {0, 4}
    assert bool(answer.flow_to_0.isfinite().all())


def test_objects_are_held_and_other_rules_are_refused_in_one_line(store: Store) -> None:
    kept(store, made("ifrnet"), "ifrnet-mine", "ifrnet")
    kept(store, made("amt"), "amt-mine", "amt")
    view = shot({4: RegionRule(hold=True)})
    early, late = answers(view, 0.25, 0.75, base="ifrnet")
    for answer, position, weight in ((early, 0, 1.0), (late, 1, 0.0)):
        inside = view.regions(position) == 4  # type: ignore[operator]
        assert not answer.flow_to_0[:, inside].any() and bool((answer.blend[0][inside] == weight).all())
    with pytest.raises(BadRequest, match=r"no layers.*--base swift"):
        answers(shot({4: RegionRule(order=1)}), 0.5, base="ifrnet")
    with pytest.raises(BadRequest, match=r"amt paints"):
        answers(view, 0.5, base="amt")


def test_a_matte_is_kept_apart_as_by_the_base_alone(store: Store) -> None:
    network, view = made("ifrnet"), shot()
    kept(store, network, "mine", "ifrnet")
    keep_tensors(store, "ifrnet", VALUES["ifrnet"], network.base.state_dict(), "alone")
    mattes = [(view.regions(position) > 0).float()[None] for position in (0, 1)]  # type: ignore[operator]
    (ours,), (alone,) = (
        answers(MemoryShot(view.frames, mattes), 0.5, **given) for given in ({"base": "ifrnet"}, {"id": "ifrnet"})
    )
    assert torch.equal(ours.flow_to_0, alone.flow_to_0) and torch.equal(ours.blend, alone.blend)


def test_tiles_leave_no_trace(store: Store) -> None:
    kept(store, made("ifrnet", spread=0.01), "mine", "ifrnet")
    whole, tiled = (answers(shot(), 0.5, base="ifrnet", tile=tile)[0].flow_to_0 for tile in (None, 64))
    assert float((whole - tiled).abs().max()) < 1e-3


# Weights.


def test_a_file_that_is_added_is_chosen_by_its_base_or_its_name(store: Store, tmp_path: Path) -> None:
    origin = Origin("MIT", "Apache-2.0", False, "made", "ifrnet.pth", "ab" * 32)
    save(tmp_path / "one.safetensors", made("ifrnet", spread=0.05), origin)
    record = add(tmp_path / "one.safetensors", store, lambda network, terms: True)
    assert record.architecture == "hierarchical" and record.name == "hierarchical-ifrnet"
    kept(store, made("rife"), "other", "rife")
    ways = [
        {"base": "ifrnet"},
        {"base": record.name},
        {"weights": record.name},
        {"base": "ifrnet", "weights": record.name},
    ]
    found = [answers(shot(), 0.5, **way)[0].flow_to_0 for way in ways]
    assert all(torch.equal(found[0], each) for each in found[1:])
    hierarchical = engine("hierarchical")
    assert {hierarchical.weights_hash(EngineSettings(options=way)) for way in ways} == {record.sha256}
    settled = hierarchical.settle(shot(), EngineSettings(options={"base": "rife"}))
    assert settled.options == {"base": "rife", "weights": "other"} and settled.scale == 1.0
    assert [each.name for each in hierarchical.records()] == ["hierarchical-ifrnet", "other"]


def test_a_plug_in_alone_finds_its_base_among_the_users_weights(store: Store, tmp_path: Path) -> None:
    network = made("ifrnet", spread=0.05)
    base = keep_tensors(store, "ifrnet", VALUES["ifrnet"], network.base.state_dict(), "ifrnet-of-mine")
    origin = Origin("MIT", "Apache-2.0", False, "made", base.name, base.sha256)
    save(tmp_path / "alone.safetensors", network, origin, embed=False)
    record = add(tmp_path / "alone.safetensors", store, lambda network, terms: True)
    kept(store, network, "whole", "ifrnet")
    (ours,), (whole,) = answers(shot(), 0.5, base=record.name), answers(shot(), 0.5, base="whole")
    assert torch.equal(ours.flow_to_0, whole.flow_to_0)
    store.remove(base.name)
    stored._plugged.cache_clear()
    with pytest.raises(BadRequest, match=rf"{record.name} belongs on weights of ifrnet that are not here"):
        answers(shot(), 0.5, base=record.name)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base": "ema"}, r"no weights on ema yet.*kairos weights add FILE.*--base swift"),
        ({"base": "raft"}, r"no weights 'raft'.*swift, ifrnet, rife, amt, ema.*There are amt-mine, mine"),
        ({"base": "mine", "weights": "other"}, r"--base mine and --weights other both name weights"),
        ({"base": "ifrnet", "weights": "amt-mine"}, r"no weights 'amt-mine' on ifrnet.*There are mine"),
        ({"base": "ifrnet", "tta": True}, r"on ifrnet has no tta.*--base swift"),
        ({"base": "ifrnet", "flow": "raft"}, r"on ifrnet has no flow.*--base swift"),
        ({"base": "amt", "motion": "gimm"}, r"amt decides on its paths itself"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_with_the_remedy(options: Dict[str, Any], said: str, store: Store) -> None:
    kept(store, made("ifrnet"), "mine", "ifrnet")
    kept(store, made("amt"), "amt-mine", "amt")
    with pytest.raises(KairosError, match=said) as refused:
        engine("hierarchical").settle(shot(), EngineSettings(options=options))
    assert "\n" not in str(refused.value) and refused.value.remedy
    if options == {"base": "ema"}:
        assert isinstance(refused.value, EngineError)


def test_large_frames_are_looked_at_in_half_size_where_the_base_can(store: Store) -> None:
    kept(store, made("ifrnet"), "mine", "ifrnet")
    large = replace_size(shot(), (1440, 2000))
    assert engine("hierarchical").settle(large, EngineSettings(options={"base": "mine"})).scale == 0.5
    given = replace(EngineSettings(options={"base": "mine"}), scale=1.0)
    assert engine("hierarchical").settle(large, given).scale == 1.0


def replace_size(view: MemoryShot, size: Tuple[int, int]) -> MemoryShot:
    view.size = size
    return view
