"""Jobs of the engine ``inbetween`` from two files to frames on disk, with a tiny random model."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.cli.app import run as command_line
from kairos.engines.inbetween import generation, memory, sampling
from kairos.engines.inbetween.changes import Changes
from kairos.engines.inbetween.plate import Plate, PlateSettings
from kairos.engines.inbetween.recipe import Recipe
from kairos.errors import BadRequest, Cancelled, EngineError
from kairos.events import Event
from kairos.motion.encode import encode, shot_exposure
from kairos.retime import settle
from kairos.weights.pipelines import CHANGES
from kairos.weights.store import Store
from support.differences import write_changes
from support.exr import Planes, read_exr, write_exr
from support.generating import (
    BRIGHT,
    PLATE,
    QUICK,
    SPEED,
    generated,
    job,
    kept_model,
    outputs,
    plate,
    stages,
    truth,
    write_keys,
)
from support.process import command, environment, kairos
from support.tiny_svd import tiny_changes

FRAMES = 3
"""Of the smaller of the tiny models."""

RATE = lru_cache(memory.measured_rate)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a tiny model of three pictures, and its tuned differences."""
    return kept_model(tmp_path_factory.mktemp("three") / "store", FRAMES)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: Path) -> Path:
    """A cache of the test's own, and the model of the module. How quick the machine is, is measured once."""
    monkeypatch.setattr(memory, "measured_rate", RATE)
    monkeypatch.setenv("KAIROS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KAIROS_WEIGHTS", str(stored))
    return tmp_path / "cache"


@pytest.mark.slow
def test_the_command_line_writes_25_frames_between_two_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The acceptance line, as an artist types it; the quick settings are for the clock alone."""
    monkeypatch.setenv("KAIROS_WEIGHTS", str(kept_model(tmp_path / "store", 25)))
    first, second = write_keys(tmp_path)
    out = tmp_path / "out" / "out.%04d.exr"
    arguments = [str(first), str(second), str(out), "--count", "23", "--engine", "inbetween", "--device", "cpu"]
    more = ["--vectors", "nuke", "--masks", "--generate", f"{PLATE},steps=2,repeats=0", "--json"]
    done = kairos("inbetween", *arguments, *more)
    assert done.returncode == 0, done.stderr
    files = outputs(tmp_path)
    assert [file.name for file in files] == [f"out.{number:04d}.exr" for number in range(1, 26)]
    for key, file in ((first, files[0]), (second, files[-1])):
        wanted, found = read_exr(key), read_exr(file)
        for name, plane in wanted.items():
            assert np.array_equal(found[name].view(np.int32), plane.view(np.int32)), f"{name} of {file.name}"
    middle = read_exr(files[12])
    assert {"forward.u", "backward.v", "occlusion.forward", "confidence.a", "depth.Z", "id.ID"} <= set(middle)
    assert all(bool(np.isfinite(plane).all()) for plane in middle.values())
    assert set(np.unique(middle["id.ID"])) <= {0.0, 7.0} and set(np.unique(middle["depth.Z"])) <= {3.0, 30.0}
    events = [Event.from_json(line) for line in done.stdout.splitlines()]
    assert stages(events)[:2] == ["plan", "generate"] and stages(events)[-1] == "render"
    steps = [event.data for event in events if event.data.get("stage") == "generate"]
    assert {each["step"] for each in steps} >= {1, 2} and steps[-1]["done"] == steps[-1]["total"] == 4
    assert steps[-1]["eta"] == 0 and all(each["steps"] == 2 for each in steps)
    # Nothing but its own lines: no advice of the libraries.
    assert "torchvision" not in done.stderr and "accelerate" not in done.stderr


def test_the_plan_comes_first_and_is_shown_on_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wanted = job(tmp_path, 1)
    arguments = ["inbetween", wanted.frame_a, wanted.frame_b, wanted.output, "--count", "1", "--engine", "inbetween"]
    assert command_line([*arguments, "--device", "cpu", "--generate", f"{QUICK},preview=1"]) == 0
    lines = capfd.readouterr().err.splitlines()
    plan = next(number for number, line in enumerate(lines) if line.startswith(f"cpu: {FRAMES} frames of 128x64"))
    assert re.search(r"3 evaluations.*MiB in memory .*generating .*free; .* s or more; maps=full", lines[plan])
    sheet = next(number for number, line in enumerate(lines) if line.startswith("how it comes along: "))
    assert plan < sheet and Path(lines[sheet].partition(": ")[2]).read_bytes().startswith(b"\x89PNG")
    assert any("inbetween: done, 3 frames" in line for line in lines[sheet:])


def shown_truth() -> List[Tensor]:
    """What a perfect model would paint: the true scene as the network is shown keys, at even times."""
    stills = [torch.from_numpy(np.stack([plate(part)[name] for name in "RGB"])) for part in _parts()]
    exposure = shot_exposure([stills[0], stills[-1]])
    encoded = [encode(still.half().float(), exposure) for still in stills]
    settings = PlateSettings(canvas=(64, 128))
    # The curve is chosen from both keys together.
    return [Plate(encoded[0], still, settings).shown()[1] for still in encoded]


def _parts() -> List[float]:
    return [index / (FRAMES - 1) for index in range(FRAMES)]


def test_highlights_and_layers_move_with_what_was_generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model paints nothing that corresponds with the keys: here the decoder gives the true scene, clipped as
    a model paints it, and the rest of the way is the engine's own.
    """
    pictures = shown_truth()
    monkeypatch.setattr(generation, "decoded", truth(lambda part: pictures[round(part * (FRAMES - 1))], FRAMES))
    generated(job(tmp_path, FRAMES - 2, vectors="nuke", masks=True))
    for index in range(1, FRAMES - 1):
        found, wanted = read_exr(outputs(tmp_path)[index]), plate(index / (FRAMES - 1))
        bright = wanted["R"] == BRIGHT
        inside = _shrunk(bright)
        assert float(np.median(found["R"][inside])) > 0.8 * BRIGHT, "the model itself paints no more than 1"
        assert float((found["id.ID"][inside] == 7.0).mean()) > 0.9
        assert float((found["depth.Z"][inside] == 3.0).mean()) > 0.9
        assert set(np.unique(found["id.ID"])) <= {0.0, 7.0}
        # Half the way per frame; +v is up on disk.
        assert float(np.median(found["forward.u"])) == pytest.approx(SPEED[0] / 2, abs=0.5)
        assert float(np.median(found["forward.v"])) == pytest.approx(-SPEED[1] / 2, abs=0.5)
        assert float(np.median(found["backward.u"])) == pytest.approx(-SPEED[0] / 2, abs=0.5)


def element(part: float) -> Dict[str, Planes]:
    """A disc with a soft edge on nothing, premultiplied, at a part of the way between two keys."""
    y, x = np.mgrid[:60, :100].astype(np.float32)
    alpha = np.clip((24 - np.hypot(x - 35 - SPEED[0] * part, y - 28 - SPEED[1] * part)) / 12, 0, 1)
    texture = 0.3 + 0.1 * np.sin((x - SPEED[0] * part) / 3) + 0.1 * np.cos((y - SPEED[1] * part) / 2.5)
    colour = {name: (texture * alpha * share).astype(np.float32) for name, share in zip("RGB", (1, 0.8, 0.6))}
    return {**colour, "A": alpha.astype(np.float32)}


def test_the_soft_edge_of_an_element_comes_back_premultiplied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network sees colour divided by alpha, and so it paints: at the edge that would be a bright fringe."""
    truths = [element(part) for part in _parts()]
    for name, planes in (("a", truths[0]), ("b", truths[-1])):
        write_exr(tmp_path / f"{name}.exr", planes)
    stills = [torch.from_numpy(np.stack([planes[name] for name in "RGB"])) for planes in truths]
    exposure = shot_exposure([stills[0], stills[-1]])
    encoded = [encode(still, exposure, torch.from_numpy(each["A"])[None]) for still, each in zip(stills, truths)]
    pictures = [Plate(encoded[0], still, PlateSettings(canvas=(64, 128))).shown()[1] for still in encoded]
    monkeypatch.setattr(generation, "decoded", truth(lambda part: pictures[round(part * (FRAMES - 1))], FRAMES))
    generated(job(tmp_path, FRAMES - 2))
    found, wanted = read_exr(outputs(tmp_path)[1]), truths[1]
    for low, high in ((0.05, 0.3), (0.3, 0.6), (0.6, 0.9)):
        edge = (wanted["A"] > low) & (wanted["A"] < high)
        for name in "RGBA":
            assert float(found[name][edge].mean()) == pytest.approx(float(wanted[name][edge].mean()), rel=0.05)


def _shrunk(mask: np.ndarray) -> np.ndarray:
    """Two pixels less on every side."""
    out = mask.copy()
    for axis in (0, 1):
        for by in (-2, -1, 1, 2):
            out &= np.roll(mask, by, axis)
    return out


@pytest.mark.parametrize("longer", ["retime", "keys"])
def test_other_counts_are_made_between_the_generated_pictures(
    tmp_path: Path, longer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second frame is a generated picture, whatever the way of making the others."""
    runs: List[int] = []

    def counted(*given: Any) -> Any:
        runs.append(1)
        return sampling.run(*given)

    monkeypatch.setattr(generation, "run", counted)
    folders = {count: tmp_path / f"{count}" for count in (1, 3)}
    for count, folder in folders.items():
        generated(job(folder, count, f"{QUICK},longer={longer}"))
    few, many = (outputs(folder) for folder in folders.values())
    assert (len(few), len(many)) == (3, 5)
    for index, file in enumerate(few):
        again, once = read_exr(many[2 * index]), read_exr(file)
        assert all(np.array_equal(again[name], once[name]) for name in once)
    # Found again the second time; keys are generated in each of the two gaps.
    assert len(runs) == (1 if longer == "retime" else 3)
    assert all(bool(np.isfinite(plane).all()) for file in many for plane in read_exr(file).values())


def test_a_cancelled_job_stops_within_a_run_and_goes_on_with_the_same_bits(tmp_path: Path, cache: Path) -> None:
    settings = f"{PLATE},steps=3,repeats=1"
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    generated(job(whole, 1, settings))
    heard: List[Event] = []

    def interrupts(event: Event) -> None:
        heard.append(event)
        if event.data.get("stage") == "generate" and event.data["step"] >= 2:
            raise Cancelled("Cancelled.")

    for path in cache.rglob("*.safetensors"):
        path.unlink()
    with pytest.raises(Cancelled):
        generated(job(broken, 1, settings), interrupts)
    # Two steps are on disk, and nothing was done after the listener said so.
    assert heard[-1].kind == "failed"
    assert (heard[-2].data["step"], heard[-2].data["done"], heard[-2].data["total"]) == (2, 6, 8)
    assert len(outputs(broken)) <= 1, "no more than a key"
    events: List[Event] = []
    generated(job(broken, 1, settings), events.append)
    steps = [event.data["step"] for event in events if event.data.get("stage") == "generate"]
    assert min(steps) >= 2 and max(steps) == 3, "finished steps are not made again"
    for one, other in zip(outputs(whole), outputs(broken)):
        planes, again = read_exr(one), read_exr(other)
        assert all(np.array_equal(planes[name].view(np.int32), again[name].view(np.int32)) for name in planes)


def test_a_killed_process_goes_on_from_the_last_finished_step_with_the_same_bits(tmp_path: Path, cache: Path) -> None:
    settings = f"{PLATE},steps=16,repeats=0"
    wanted = job(tmp_path / "killed", 1, settings)
    keys = [wanted.frame_a, wanted.frame_b, wanted.output]
    more = ["--count", "1", "--engine", "inbetween", "--device", "cpu", "--generate", settings, "--json"]
    arguments = command("inbetween", *keys, *more)
    with subprocess.Popen(arguments, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("step", 0) >= 3:
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.read()
    assert process.returncode == -signal.SIGKILL and len(outputs(tmp_path / "killed")) <= 1, "no more than a key"
    (state,) = cache.rglob("*.safetensors")
    events: List[Event] = []
    generated(wanted, events.append)
    assert min(event.data["step"] for event in events if event.data.get("stage") == "generate") >= 3
    state.unlink()
    generated(job(tmp_path / "whole", 1, settings))
    for one, other in zip(outputs(tmp_path / "whole"), outputs(tmp_path / "killed")):
        planes, again = read_exr(one), read_exr(other)
        assert all(np.array_equal(planes[name].view(np.int32), again[name].view(np.int32)) for name in planes)


def test_progress_is_told_for_every_step_with_the_time_that_is_left(tmp_path: Path) -> None:
    events: List[Event] = []
    generated(job(tmp_path, 1, f"{PLATE},steps=4,repeats=1"), events.append)
    steps = [event.data for event in events if event.data.get("stage") == "generate"]
    assert sorted({each["step"] for each in steps} - {0}) == [1, 2, 3, 4]
    # Two steps made twice, two once, both directions each.
    assert steps[-1]["done"] == steps[-1]["total"] == 12
    assert all(each["eta"] is not None and each["rate"] > 0 for each in steps if each["step"] >= 1)
    plan = next(event for event in events if event.data.get("stage") == "plan")
    needs = plan.data["needs"]
    assert needs["peak"] > 0 and needs["needed"] >= needs["peak"] and needs["free"] > 0
    assert events.index(plan) < events.index(next(event for event in events if event.data.get("step")))
    assert json.loads(plan.to_json())["event"] == "progress"


def test_finished_frames_are_skipped_and_a_finished_generation_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated(job(tmp_path, 1))
    outputs(tmp_path)[1].unlink()
    monkeypatch.setattr(generation, "run", _never)
    again = generated(job(tmp_path, 1))
    assert again.rendered == (2,) and again.skipped == (1, 3)
    # What is done with pictures afterwards takes no new ones; another seed does.
    generated(job(tmp_path, 1, f"{QUICK},colours=0", overwrite=True))
    with pytest.raises(AssertionError, match="generated again"):
        generated(job(tmp_path, 1, f"{QUICK},seed=5", overwrite=True))


def test_a_job_is_not_gone_on_with_in_another_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU ``--precision auto`` is fp16, and another movement: a farm's frames must not be of both."""
    generated(job(tmp_path, 1))
    outputs(tmp_path)[1].unlink()
    # bf16, since processors compute in it.
    monkeypatch.setattr(settle, "_precision", lambda job, engine: "bf16")
    with pytest.raises(BadRequest, match="made with other settings"):
        generated(job(tmp_path, 1))


def _never(*given: object) -> None:
    raise AssertionError("generated again")


def test_without_tuned_differences_it_takes_trf_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAIROS_WEIGHTS", str(kept_model(tmp_path / "store", FRAMES, tuned=False)))
    modes: List[str] = []

    def noted(parts: Any, changes: Any, recipe: Recipe, *rest: Any) -> Any:
        modes.append(recipe.mode)
        return sampling.run(parts, changes, recipe, *rest)

    monkeypatch.setattr(generation, "run", noted)
    events: List[Event] = []
    generated(job(tmp_path, 1), events.append)
    assert modes == ["trf"]
    assert any("takes mode=trf" in event.data["message"] for event in events if event.kind == "warning")


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("extra", r"cannot run: .*diffusers.* not installed.*'inbetween'"),
        ("weights", r"has no weights. Download https://huggingface.co/stabilityai.*kairos weights add FOLDER"),
        ("part", r"The weights svd are missing.*kairos weights remove"),
        ("damage", r"The weights tuned-3 are damaged.*kairos weights remove"),
        ("frames", r"svd makes 3 pictures at once, and not frames=25"),
        ("memory", r"Too little memory: inbetween needs .* and 1 MiB are free on cpu\. Use a smaller canvas"),
        ("tuned", r"rotated attention in all layers needs tuned differences"),
        ("folder", r"is no name of weights. Run kairos weights add"),
    ],
)
def test_what_is_missing_is_told_in_one_line(
    trouble: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_keys(tmp_path)
    generate, more = QUICK, []
    if trouble == "extra":
        monkeypatch.setattr("importlib.util.find_spec", _without_diffusers)
    elif trouble == "weights":
        monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "empty"))
    elif trouble == "part":
        store = kept_model(tmp_path / "store", FRAMES)
        next((store / "svd" / "vae").glob("*.safetensors")).unlink()
        monkeypatch.setenv("KAIROS_WEIGHTS", str(store))
    elif trouble == "damage":
        store = Store(kept_model(tmp_path / "store", FRAMES))
        (kept,) = store.of(CHANGES)
        write_changes(store.path(kept.name), Changes(tiny_changes(store.folder("svd"), 0.9)))
        said = said.replace("tuned-3", kept.name)
        monkeypatch.setenv("KAIROS_WEIGHTS", str(store.root))
    elif trouble == "frames":
        generate += ",frames=25"
    elif trouble == "memory":
        monkeypatch.setattr(memory, "free_memory", lambda device: 1 << 20)
        generate += ",maps=full,split=no,chunk=4"
    elif trouble == "tuned":
        generate += ",mode=rotated,changes=none"
    else:
        more = ["--weights", str(tmp_path)]
    keys = [f"{tmp_path}/a.exr", f"{tmp_path}/b.exr", f"{tmp_path}/o.%04d.exr", "--count", "1"]
    status = command_line(
        ["inbetween", *keys, "--engine", "inbetween", "--device", "cpu", "--generate", generate, *more]
    )
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kairos: ")]
    assert status in (EngineError.exit_status, BadRequest.exit_status)
    assert len(lines) == 1 and re.search(said, lines[0]), lines
    # Told before anything is written, the first key included.
    assert not list(tmp_path.glob("o.*.exr"))


def _without_diffusers(name: str) -> object:
    return None if name == "diffusers" else object()
