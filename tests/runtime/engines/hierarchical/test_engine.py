"""The engine ``hierarchical`` on ``swift``: nothing until it is trained, then by the objects, at the right cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.engines.base import EngineSettings, Pair
from kairos.engines.hierarchical import engine as module
from kairos.engines.hierarchical.cells import both_at_cells
from kairos.engines.hierarchical.on_swift import OnSwift
from kairos.engines.hierarchical.plugged_swift import SwiftHierarchy
from kairos.engines.registry import engine
from kairos.engines.swift.ensemble import TURNS
from kairos.engines.swift.loading import SHIPPED as SWIFT
from kairos.engines.swift.motion import Features
from kairos.errors import BadRequest, EngineError
from kairos.motion.inbetween import Inbetween
from support.scenes import MemoryShot, grid, plate, texture
from support.untrained import keep_hierarchy

NAMES = ("flow_to_0", "flow_to_1", "blend", "occlusion_0", "occlusion_1", "confidence", "residual")
WAYS = ((40.0, 50.0, 22.0, 6.0, 70, 60), (190.0, 30.0, -18.0, 10.0, 64, 90))
"""Two objects: left, top, way across and down, width and height, pixels."""


def shot(height: int = 187, width: int = 333, count: int = 2) -> MemoryShot:
    """Patterned boxes on their ways over a still ground, told apart; what is in one frame alone is told there."""
    columns, rows = grid(height, width)
    frames, regions = [], []
    for time in range(count):
        picture, labels = texture(20)(columns, rows), np.zeros((height, width), np.int16)
        for number, (left, top, across, down, wide, high) in enumerate(WAYS, start=1):
            x, y = columns - left - time * across, rows - top - time * down
            inside = (x >= 0) & (x < wide) & (y >= 0) & (y < high)
            picture = np.where(inside, 1.5 * texture(29 + number)(x, y), picture)
            labels[inside] = number
        if time == 0:
            labels[140:, 120:180] = 7
        frames.append(plate(picture))
        regions.append(torch.from_numpy(labels))
    return MemoryShot(frames, regions=regions)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Tuple[Path, Path]:
    """Plug-ins: untrained, and with random numbers where training would have left its own."""
    folder = tmp_path_factory.mktemp("plugins")
    return keep_hierarchy(folder / "untrained.safetensors"), keep_hierarchy(folder / "wild.safetensors", spread=0.05)


def answers(view: MemoryShot, id: str, *times: float, pair: Pair = Pair(0, 1), **given: Any) -> List[Inbetween]:  # noqa: B008
    named = {name: given.pop(name) for name in ("scale", "tile", "precision") if name in given}
    settings = EngineSettings(**named, options={name: str(value) for name, value in given.items()})
    return list(engine(id).open(view, settings, lambda event: None).at(pair, times))


def same(first: Inbetween, second: Inbetween) -> bool:
    pairs = [(getattr(first, name), getattr(second, name)) for name in NAMES]
    return all((one is None and two is None) or torch.equal(one, two) for one, two in pairs)


# Nothing at first.


@pytest.mark.parametrize("given", [{}, {"scale": 0.5}, {"tta": True}, {"motion": "gimm"}], ids=str)
def test_untrained_it_answers_to_the_bit_what_swift_answers_with_the_same_regions(
    given: Any, files: Tuple[Path, Path]
) -> None:
    view = shot()
    ours = answers(view, "hierarchical", 0.25, 0.5, 1.0, weights=files[0], **given)
    alone = answers(view, "swift", 0.25, 0.5, 1.0, **given)
    assert all(same(*both) for both in zip(ours, alone))


def test_untrained_and_without_regions_it_is_swift_too(files: Tuple[Path, Path]) -> None:
    view = MemoryShot(shot().frames)
    assert same(answers(view, "hierarchical", 0.4, weights=files[0])[0], answers(view, "swift", 0.4)[0])


# Cells.


class Asked:
    """What plug-ins are asked for, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.labels: List[Optional[Tuple[Tensor, Tensor]]] = []
        self.outlines: List[Optional[Tuple[Tensor, Tensor]]] = []
        self.meetings = 0
        step, meet = SwiftHierarchy.step, SwiftHierarchy.meet

        def stepped(
            plugin: Any, first: Any, second: Any, scale: float, labels: Any = None, outlines: Any = None
        ) -> Any:
            self.labels.append(labels)
            self.outlines.append(outlines)
            return step(plugin, first, second, scale, labels, outlines)

        def met(plugin: Any, *given: Any) -> Any:
            self.meetings += 1
            return meet(plugin, *given)

        monkeypatch.setattr(SwiftHierarchy, "step", stepped)
        monkeypatch.setattr(SwiftHierarchy, "meet", met)


def cells_by_hand(labels: np.ndarray, count: Tuple[int, int], stride: float) -> np.ndarray:
    """What each cell shows by the pixels well inside of it: their one label, or -1 where they differ or there are
    none. Cells begin at the picture's corner.
    """
    found = np.full(count, -1, np.int16)
    for row in range(count[0]):
        for column in range(count[1]):
            top, left = round(row * stride) + 1, round(column * stride) + 1
            inside = labels[top : round((row + 1) * stride) - 1, left : round((column + 1) * stride) - 1]
            if len(np.unique(inside)) == 1:
                found[row, column] = inside.flat[0]
    return found


@pytest.mark.parametrize(
    ("size", "scale", "tta"),
    [((187, 333), 1.0, False), ((187, 333), 0.5, False), ((187, 333), 1.0, True), ((176, 320), 0.5, True)],
)
def test_labels_reach_the_plug_in_at_the_cells_of_16_pixels_that_show_them(
    size: Tuple[int, int], scale: float, tta: bool, files: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    view, asked = shot(*size), Asked(monkeypatch)
    answers(view, "hierarchical", 0.5, weights=files[1], scale=scale, **({"tta": True} if tta else {}))
    turns = TURNS if tta else TURNS[:1]
    assert len(asked.labels) == len(turns)
    for turn, told, outlined in zip(turns, asked.labels, asked.outlines):
        assert told is not None and outlined is not None
        for frame, cells in enumerate(told):
            # At half size 187 x 333 become 94 x 166 pixels: a cell is 8 of these.
            picture = round(size[0] * scale), round(size[1] * scale)
            stride = 16 * scale * size[1] / picture[1]
            wanted = tuple(-(-side // 16) * 16 // round(16 * scale) for side in picture)
            assert cells.dtype is torch.int16 and tuple(cells.shape) == (1, *wanted)
            labels = turn.planes(view.regions(frame)).numpy()  # type: ignore[arg-type]
            by_hand = cells_by_hand(np.where(labels == 7, 0, labels), wanted, stride)
            sure = by_hand >= 0
            assert sure.mean() > 0.5 and {1, 2} <= set(by_hand[sure].tolist())
            assert np.array_equal(cells[0].numpy()[sure], by_hand[sure])
            assert set(torch.unique(cells).tolist()) == {0, 1, 2}, "what one frame alone shows is of the rest"
            outlines = outlined[frame]
            assert tuple(outlines.shape) == (1, *(-(-side // 16) * 16 for side in picture))
            if scale == 1.0:
                assert np.array_equal(outlines[0, : size[0], : size[1]].numpy(), labels)


def test_beyond_the_picture_cells_show_its_border() -> None:
    # 20 pixels of 16 to a cell: the second cell shows 4 columns of the object, and more of its repetition.
    labels = torch.zeros(16, 20, dtype=torch.int16)
    labels[:, 17:] = 1
    features = Features(torch.zeros(1, 24, 4, 8), [torch.zeros(1, 48, 2, 4), torch.zeros(1, 48, 1, 2)])

    class Recorded:
        def step(self, first: Any, second: Any, scale: float, cells: Any, outlines: Any) -> Any:
            return cells, outlines

    told: Any = OnSwift(Recorded()).step(features, features, 1.0, (labels, labels))  # type: ignore[arg-type]
    assert told[0][0].tolist() == [[[0, 1]]]
    assert tuple(told[1][1].shape) == (1, 16, 32) and bool((told[1][1][0, :, 17:] == 1).all())
    assert not told[1][1][0, :, :17].any()


def test_what_is_too_small_for_the_cells_of_one_frame_is_of_the_rest_in_both() -> None:
    first, second = torch.zeros(32, 32, dtype=torch.int16), torch.zeros(32, 32, dtype=torch.int16)
    first[:16, :16], second[:4, :4] = 3, 3
    one, two = both_at_cells(first, second, (2, 2))
    assert not one.any() and not two.any()
    second[:16, :12] = 3
    one, two = both_at_cells(first, second, (2, 2))
    assert one.tolist() == two.tolist() == [[[3, 0], [0, 0]]]


def test_nothing_is_worked_out_again_for_another_time(
    files: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    view, asked = shot(count=3), Asked(monkeypatch)
    session = engine("hierarchical").open(view, EngineSettings(options={"weights": str(files[1])}), lambda event: None)
    for first in (0, 1):
        list(session.at(Pair(first, first + 1), [0.25, 0.5, 0.75]))
    assert asked.meetings == 2


# What it changes.


def test_trained_the_answer_depends_on_the_plug_in_and_on_the_objects(
    files: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    view = shot()
    (told,) = answers(view, "hierarchical", 0.5, weights=files[1])
    (untold,) = answers(view, "hierarchical", 0.5, weights=files[0])
    assert not torch.equal(told.flow_to_0, untold.flow_to_0)
    step = OnSwift.step
    monkeypatch.setattr(OnSwift, "step", lambda plugin, one, two, scale, regions: step(plugin, one, two, scale, None))
    (as_one,) = answers(view, "hierarchical", 0.5, weights=files[1])
    assert not torch.equal(told.flow_to_0, as_one.flow_to_0), "all else is told the objects in both"


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_finds_nearly_the_same(precision: str, files: Tuple[Path, Path]) -> None:
    flows = [
        answers(shot(), "hierarchical", 0.5, weights=files[1], precision=each)[0].flow_to_0
        for each in ("fp32", precision)
    ]
    assert float((flows[0] - flows[1]).abs().median()) < 0.05


def test_tiles_leave_no_trace(files: Tuple[Path, Path]) -> None:
    whole, tiled = (
        answers(shot(), "hierarchical", 0.5, weights=files[1], tile=tile)[0].flow_to_0 for tile in (None, 64)
    )
    assert float((whole - tiled).abs().max()) < 1e-3


# Weights.


def test_the_hash_of_the_weights_is_that_of_the_plug_in_and_of_swift(files: Tuple[Path, Path]) -> None:
    hashes = [
        engine("hierarchical").weights_hash(EngineSettings(options={"weights": str(each)})).split() for each in files
    ]
    assert hashes[0][0] != hashes[1][0] and hashes[0][1] == hashes[1][1] == engine("swift").weights_hash()
    assert SWIFT.is_file()


def test_while_its_weights_are_missing_it_says_so_in_one_line(
    tmp_path: Path, files: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hierarchical = engine("hierarchical")
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "hierarchical-swift.safetensors")
    reason = hierarchical.unavailable()
    assert "--weights FILE" in reason and "\n" not in reason and hierarchical.weights_hash() == ""
    for attempt in (hierarchical.settle, lambda *given: hierarchical.open(*given, lambda event: None)):
        with pytest.raises(EngineError, match=r"hierarchical cannot run: it has no plug-in for swift yet"):
            attempt(shot(), EngineSettings())
    own = EngineSettings(options={"weights": str(files[0])})
    assert hierarchical.settle(shot(), own).scale == 1.0, "a file of one's own will do"
    monkeypatch.setattr(module, "SHIPPED", files[0])
    assert hierarchical.unavailable() == "" and len(hierarchical.weights_hash().split()) == 2


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    for path in (tmp_path / "torn.safetensors", tmp_path / "nowhere.safetensors", SWIFT):
        with pytest.raises(BadRequest, match=path.name):
            answers(shot(), "hierarchical", 0.5, weights=path)
    with pytest.raises(BadRequest, match=r"hierarchical cannot compute in fp8"):
        answers(shot(), "hierarchical", 0.5, precision="fp8")


def test_a_field_can_be_held_to_its_motion_by_a_base_of_another_kind(
    files: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHIPPED", files[0])
    settings = EngineSettings(options={"engine": "hierarchical", "base": "warp", "steps": "3"})
    # The field's base is no base of the motion's.
    assert engine("siren").settle(MemoryShot(shot(64, 96).frames), settings).scale == 1.0
