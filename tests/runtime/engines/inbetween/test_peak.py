"""What the plan says beforehand is what a job takes, measured from outside: the process's own memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Tuple

import pytest
import torch

from kairos.engines.base import EngineSettings
from kairos.engines.inbetween.counting import HOST, Counter
from kairos.engines.inbetween.motion import Mover
from kairos.engines.inbetween.placing import placing_of
from kairos.engines.inbetween.plan import PROGRAM
from kairos.engines.inbetween.plate import Plate, PlateSettings
from kairos.engines.registry import engine
from support.generating import job, kept_model
from support.process import environment

WITHIN = 0.2
"""How far the peak may lie from the plan."""

MEASURED = """
import json, sys
from kairos.allocator import give_back, keep_memory
from kairos.inbetween import run_inbetween
from kairos_nodes.jobs import InbetweenJob

keep_memory()
told = {}

def memory(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

def listen(event):
    stage = event.data.get("stage")
    if stage == "plan":
        told["planned"] = event.data["needs"]["peak"]
        give_back()
        # From here on the most that the process has had is counted anew.
        open("/proc/self/clear_refs", "w").write("5")
        told["before"] = memory("VmRSS")

run_inbetween(InbetweenJob(**json.loads(sys.argv[1])), listen)
print(json.dumps({**told, "most": memory("VmHWM")}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the most memory since a moment")
@pytest.mark.parametrize(
    ("frames", "canvas", "threads"), [(4, "256x192", 1), (5, "256x128", 2)], ids=["one-thread", "two-threads"]
)
def test_the_peak_of_a_whole_job_is_what_its_plan_says(tmp_path: Path, frames: int, canvas: str, threads: int) -> None:
    store = kept_model(tmp_path / "store", frames)
    wanted = job(tmp_path, frames - 2, f"canvas={canvas},steps=1,repeats=0,chunk={frames},engine=classic")
    variables = {**environment(), "KAIROS_WEIGHTS": str(store), "KAIROS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, json.dumps(wanted.to_dict())],
        env={**os.environ, **variables, "OMP_NUM_THREADS": str(threads)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    taken = told["most"] - told["before"]
    # Most of it is no constant of the plan's.
    assert told["planned"] > 4 * PROGRAM
    assert abs(taken - told["planned"]) <= WITHIN * told["planned"], told


@pytest.mark.parametrize(
    ("plate", "canvas", "fit"), [((300, 500), (192, 320), "pad"), ((540, 400), (128, 256), "crop")], ids=["pad", "crop"]
)
def test_placing_takes_what_was_counted_small(plate: Tuple[int, int], canvas: Tuple[int, int], fit: str) -> None:
    settings, mover, frames = PlateSettings(canvas, fit), Mover(engine("classic"), EngineSettings()), 4
    planned = placing_of(plate, settings, frames, mover, HOST)
    keys = [torch.rand(3, *plate, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    large = Plate(keys[0], keys[1], settings)
    shown = large.shown()
    generated = [torch.lerp(*shown, part / (frames - 1)).half()[None] for part in range(frames)]
    own = sum(each.nbytes for each in generated)
    counter = Counter(HOST, [*large.keys, *shown, *generated])
    with counter.counting():
        placed = large.place(generated, mover)
    count = counter.count()
    assert planned.match == pytest.approx(count.peak - count.before + own, rel=0.1)
    showing, kept = Counter(HOST), []
    with showing.counting():
        for index in range(frames):
            del kept[:-2]
            kept.append(placed.at(index))
    assert planned.show == pytest.approx(showing.count().peak + count.after - count.before, rel=0.1)
