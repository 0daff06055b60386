"""What the plan says beforehand is what a job takes, measured from outside: the process's own memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.generating import job, kept_model
from support.process import environment

WITHIN = 0.2
"""How far the peak may lie from the plan."""

MEASURED = """
import contextlib, json, sys
from kairos.allocator import give_back, keep_memory
from kairos.errors import Cancelled
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
    if stage == "decode":
        told["most"] = memory("VmHWM")
        if event.data["done"] == event.data["total"]:
            raise Cancelled("What follows is no part of the plan.")

with contextlib.suppress(Cancelled):
    run_inbetween(InbetweenJob(**json.loads(sys.argv[1])), listen)
print(json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the most memory since a moment")
def test_the_peak_of_a_job_is_what_its_plan_says(tmp_path: Path) -> None:
    """Pictures large enough that what libraries keep for themselves, which the plan takes for 80 MiB, is not what is
    measured.
    """
    store = kept_model(tmp_path / "store", 8)
    wanted = job(tmp_path, 1, "canvas=320x256,steps=1,repeats=0,chunk=8")
    variables = {**environment(), "KAIROS_WEIGHTS": str(store), "KAIROS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, json.dumps(wanted.to_dict())],
        env={**os.environ, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    taken = told["most"] - told["before"]
    assert told["planned"] > 100 << 20
    assert abs(taken - told["planned"]) <= WITHIN * told["planned"], told
