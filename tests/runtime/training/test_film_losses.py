"""FILM's losses: what they measure, whose weights they take, and a training with them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Dict, Iterator

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from kairos.cli import main
from kairos.errors import BadRequest
from kairos.training.checkpoint import load_state, load_weights
from kairos.training.log import read_log
from kairos.training.losses import FilmLoss, Vgg19, load_vgg19
from kairos.training.losses.film import FIRST, LAYERS, SECOND, feature_loss, gram, style_loss
from kairos.training.losses.vgg import MEAN, SPREAD, shapes
from kairos.training.settings import TrainSettings
from kairos.training.swift import SwiftTask
from kairos.training.tasks import judge
from kairos.training.tasks import task as task_of
from kairos.training.trainer import train
from kairos.weights.containers import file_sha256
from support.training import deaf

pytestmark = pytest.mark.usefixtures("small_textures")

CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
"""Places of VGG-19's convolutions in torchvision's ``features``: a ReLU behind each, a pool behind each block."""

SETTINGS = TrainSettings(
    steps=4, seed=5, size=64, warm_up=1, log_every=1, validate_first=False, validate_steps=4, validate_count=1,
    device="cpu", threads=1,
)  # fmt: skip


def random_vgg(seed: int = 1) -> Dict[str, Tensor]:
    """Weights that keep the size of what goes through them (He et al., 2015)."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) * (2 / (shape[1] * 9)) ** 0.5
        if len(shape) == 4
        else torch.zeros(shape)
        for name, shape in shapes().items()
    }


@pytest.fixture(scope="module")
def state() -> Dict[str, Tensor]:
    return random_vgg()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, state: Dict[str, Tensor]) -> Path:
    """As torchvision writes it: the convolutions, and what classifies (here much smaller)."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save({**state, "classifier.0.weight": torch.zeros(4, 4), "classifier.0.bias": torch.zeros(4)}, path)
    return path


@pytest.fixture(scope="module")
def film(file: Path) -> FilmLoss:
    return FilmLoss.load(file)


def pictures(seed: int = 3, side: int = 48) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))


# The judge.


def test_the_convolutions_are_where_torchvision_has_them() -> None:
    assert list(shapes()) == [f"features.{place}.{part}" for place in CONVOLUTIONS for part in ("weight", "bias")]
    assert len(shapes()) == 32
    assert sum(torch.Size(shape).numel() for shape in shapes().values()) == 20_024_384  # torchvision's vgg19.features


def test_features_are_those_of_the_plain_stack_of_layers(state: Dict[str, Tensor]) -> None:
    layers = []
    for place in range(CONVOLUTIONS[13] + 2):
        if place in CONVOLUTIONS:
            kernel = state[f"features.{place}.weight"]
            layer: torch.nn.Module = torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
            layer.load_state_dict({part: state[f"features.{place}.{part}"] for part in ("weight", "bias")})
        else:
            layer = torch.nn.MaxPool2d(2) if place in (4, 9, 18, 27) else torch.nn.ReLU()
        layers.append(layer)
    picture = pictures(side=36)
    planes, wanted = (picture - torch.tensor(MEAN)[:, None, None]) / torch.tensor(SPREAD)[:, None, None], []
    with torch.no_grad():
        for place, layer in enumerate(layers):
            planes = layer(planes)
            # Behind conv1_2, 2_2, 3_2, 4_2 and 5_2 and their ReLU.
            if place in (3, 8, 13, 22, 31):
                wanted.append(planes.clone())
    found = Vgg19(state)(picture)
    assert len(found) == len(wanted) == len(LAYERS)
    for one, two in zip(found, wanted):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("wrapping", ["bare", "nested", "parallel", "without features", "safetensors"])
def test_a_state_dict_is_taken_from_every_wrapping(wrapping: str, state: Dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "vgg"
    short = {name.removeprefix("features."): tensor for name, tensor in state.items()}
    if wrapping == "safetensors":
        save_file(state, path)
    else:
        torch.save(
            {
                "bare": state,
                "nested": {"state_dict": state, "epoch": 3},
                "parallel": {f"module.{name}": tensor for name, tensor in state.items()},
                "without features": short,
            }[wrapping],
            path,
        )
    vgg, digest = load_vgg19(path)
    assert digest == file_sha256(path)
    for one, two in zip(vgg.kernels, [tensor for tensor in state.values() if tensor.dim() == 4]):
        assert torch.equal(one, two)
    assert not any(parameter.requires_grad for parameter in vgg.parameters())


def _without(state: Dict[str, Tensor], name: str) -> Dict[str, Tensor]:
    return {each: tensor for each, tensor in state.items() if each != name}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", r"features\.34\.bias is missing"),
        ("sixteen", r"features\.25\.weight is \(512, 512, 1, 1\) and not \(512, 512, 3, 3\)"),
        ("broken", r"features\.0\.weight holds values that are not numbers"),
        ("other", r"features\.0\.weight is missing"),
        ("cut", "was refused"),
        ("none", "cannot be read"),
    ],
)
def test_another_file_is_refused_in_one_line(
    damage: str, message: str, state: Dict[str, Tensor], file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "vgg19.pth"
    if damage == "missing":
        torch.save(_without(state, "features.34.bias"), path)
    elif damage == "sixteen":
        torch.save({**state, "features.25.weight": torch.zeros(512, 512, 1, 1)}, path)
    elif damage == "broken":
        torch.save({**state, "features.0.weight": torch.full((64, 3, 3, 3), torch.nan)}, path)
    elif damage == "other":
        torch.save({"first.weight": torch.zeros(3)}, path)
    elif damage == "cut":
        path.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(BadRequest, match=message) as refused:
        load_vgg19(path)
    assert path.name in str(refused.value) and "\n" not in str(refused.value)


# What is measured.


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_the_same_picture_costs_nothing_and_another_something(film: FilmLoss, progress: float) -> None:
    picture = pictures()
    parts = film.parts(picture, picture.clone(), progress)
    assert set(parts) == ({"picture", "features"} if progress < 0.5 else {"picture", "features", "style"})
    assert all(float(part) == 0.0 for part in parts.values())
    assert all(float(part) > 0.001 for part in film.parts(picture, pictures(4), progress).values())


def test_a_gram_matrix_is_the_product_of_channels_over_channels_and_places() -> None:
    features = torch.randn(2, 5, 4, 3, generator=torch.Generator().manual_seed(1))
    wanted = torch.einsum("bchw,bdhw->bcd", features, features) / (5 * 4 * 3)
    torch.testing.assert_close(gram(features), wanted)
    torch.testing.assert_close(gram(features.repeat(1, 1, 2, 3)), wanted)


def test_the_terms_are_those_of_the_paper(film: FilmLoss, state: Dict[str, Tensor]) -> None:
    one, two = pictures(3), pictures(4)
    found, wanted = Vgg19(state)(one), Vgg19(state)(two)
    features = sum(share * float((a - b).abs().mean()) for share, a, b in zip(LAYERS, found, wanted)) / 5
    lengths = [torch.linalg.matrix_norm(gram(a) - gram(b)) for a, b in zip(found, wanted)]
    style = sum(share * float(length.mean()) for share, length in zip(LAYERS, lengths)) / 5
    assert float(feature_loss(found, wanted)) == pytest.approx(features, rel=1e-5)
    assert float(style_loss(found, wanted)) == pytest.approx(style, rel=1e-3)
    for progress, (a, b, c) in ((0.49, FIRST), (0.5, SECOND)):
        told = {name: float(part) for name, part in film.parts(one, two, progress).items()}
        assert told["picture"] == pytest.approx(a * float((one - two).abs().mean()), rel=1e-5)
        assert told["features"] == pytest.approx(b * features, rel=1e-4)
        assert told.get("style", 0.0) == pytest.approx(c * style, rel=1e-3)
    assert (FIRST, SECOND) == ((1.0, 1.0, 0.0), (1.0, 0.25, 40.0))  # section on implementation of the paper
    vgg = FilmLoss(Vgg19(state), "", "vgg")
    assert set(vgg.parts(one, two, 1.0)) == {"picture", "features"}


@pytest.mark.parametrize("name", ["picture", "features", "style"])
def test_the_picture_learns_and_vgg_does_not(film: FilmLoss, name: str) -> None:
    picture = pictures().requires_grad_(True)
    film.parts(picture, pictures(4), 1.0)[name].backward()  # type: ignore[no-untyped-call]
    assert picture.grad is not None and bool(picture.grad.isfinite().all()) and float(picture.grad.abs().max()) > 0
    assert all(parameter.grad is None for parameter in film._vgg.parameters())


def test_at_the_truth_style_has_a_slope_of_nothing_and_no_nan(film: FilmLoss) -> None:
    picture = pictures().requires_grad_(True)
    torch.stack(list(film.parts(picture, pictures(), 1.0).values())).sum().backward()  # type: ignore[no-untyped-call]
    assert picture.grad is not None and bool(picture.grad.isfinite().all())


def test_in_half_precision_the_judge_stays_in_full(film: FilmLoss) -> None:
    full = film.parts(pictures(), pictures(4), 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        half = film.parts(pictures(), pictures(4), 1.0)
    assert all(part.dtype == torch.float32 and torch.equal(part, full[name]) for name, part in half.items())


def test_the_process_that_makes_scenes_is_not_sent_the_judge(film: FilmLoss) -> None:
    sent = pickle.dumps(SwiftTask(3, "meeting", film))
    assert len(sent) < 1000
    assert pickle.loads(sent).provenance() == SwiftTask(3, "meeting").provenance()


# A training with them.


@pytest.fixture(autouse=True, scope="module")
def _unjudged() -> Iterator[None]:
    """No validation: its scenes take longer to make than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SwiftTask, "validate", lambda self, model, count, device: {"score": 0.0})
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, film: FilmLoss) -> Path:
    out = tmp_path_factory.mktemp("film") / "out"
    train(SwiftTask(1, "meeting", film), SETTINGS, out, deaf)
    return out


def test_the_log_holds_the_terms_of_both_halves(trained: Path) -> None:
    lines = [line for line in read_log(trained / "log.jsonl") if line["kind"] == "train"]
    assert len(lines) == 4
    assert all({"picture", "features", "path", "covered"} <= set(line) and "detail" not in line for line in lines)
    assert ["style" in line for line in lines] == [False, False, True, True]


def test_trained_with_the_motion_the_picture_has_the_last_three_tenths(
    film: FilmLoss, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, told = SwiftTask(1, "both", film), []
    monkeypatch.setattr(
        FilmLoss, "parts", lambda self, picture, truth, progress: told.append(progress) or {"picture": picture.mean()}
    )
    batch = task.batch(5, 0, 64, torch.device("cpu"))
    model = task.model()
    for progress in (0.69, 0.7, 0.85, 1.0):
        parts = task.loss(model, batch, progress)[1]
        assert ("picture" in parts) == (progress >= 0.7) and "flow" in parts
    assert told == pytest.approx([0.0, 0.5, 1.0])


def test_the_weights_tell_of_the_judge_and_do_not_hold_it(trained: Path, film: FilmLoss) -> None:
    for name in ("last.safetensors", "best.safetensors"):
        weights, record = load_weights(trained / name)
        assert set(weights) == set(SwiftTask().model().state_dict())
        assert record["losses"] == "style" and record["losses vgg sha256"] == film.sha256
        assert "style 40" in record["losses weights"]
    assert (trained / "state.pt").stat().st_size < 20_000_000 < 4 * 20_024_384


def test_a_resumed_training_needs_the_same_judge_and_equals_an_unbroken_one(
    trained: Path, tmp_path: Path, film: FilmLoss, state: Dict[str, Tensor]
) -> None:
    out = tmp_path / "out"
    start = {**SETTINGS.__dict__, "stop_at": 3}
    train(SwiftTask(1, "meeting", film), TrainSettings(**start), out, deaf)
    resume = TrainSettings(**{**SETTINGS.__dict__, "resume_from": out})
    for other in (None, FilmLoss(Vgg19(state), film.sha256, "vgg"), FilmLoss(Vgg19(state), "0" * 64)):
        with pytest.raises(BadRequest, match=f"--losses style --vgg FILE .SHA-256 {film.sha256}.*Give the same"):
            train(SwiftTask(1, "meeting", other), resume, out, deaf)
    train(SwiftTask(1, "meeting", film), resume, out, deaf)
    for name, tensor in load_state(trained / "state.pt")["model"].items():
        assert torch.equal(tensor, load_state(out / "state.pt")["model"][name]), name


def test_a_training_without_them_cannot_go_on_with_them(film: FilmLoss, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(SwiftTask(1, "meeting"), TrainSettings(**{**SETTINGS.__dict__, "stop_at": 0}), out, deaf)
    with pytest.raises(BadRequest, match="losses of the task itself, not with --losses style"):
        train(SwiftTask(1, "meeting", film), TrainSettings(**{**SETTINGS.__dict__, "resume_from": out}), out, deaf)


def test_the_command_trains_with_a_file(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["train", "swift", "--out", str(out), "--steps", "2", "--batch", "1", "--part", "meeting", "--seed", "5"]
    command += ["--size", "64", "--device", "cpu", "--threads", "1", "--stop-at", "1"]
    assert main([*command, "--losses", "vgg", "--vgg", str(file)]) == 0
    assert load_weights(out / "last.safetensors")[1]["losses"] == "vgg"
    assert main([*command[:-2], "--resume-from", str(out)]) == 2
    assert main([*command[:-2], "--resume-from", str(out), "--losses", "vgg", "--vgg", str(file)]) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("style", None), "needs the weights of VGG-19.*vgg19-dcbb9e9d.pth"),
        ((None, Path("vgg.pth")), "of no use without --losses"),
        (("lpips", None), "no losses 'lpips'.*own, vgg, style"),
    ],
)
def test_impossible_choices_are_refused(given: tuple[str | None, Path | None], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        judge(*given)


def test_what_makes_no_picture_cannot_be_judged_by_it(film: FilmLoss) -> None:
    with pytest.raises(BadRequest, match="--part motion makes none"):
        task_of("swift", part="motion", film=film)
    assert judge(None, None) is None and judge("own", None) is None
