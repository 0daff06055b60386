"""Memory that is kept costs no more page faults, and is given back when it is asked for."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from typing import Any, Dict

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's memory is set up")

FRAMES = 20

SCRIPT = f"""
import json, resource, sys
from pathlib import Path
from kairos.allocator import give_back, keep_memory
if sys.argv[1] == "kept":
    keep_memory()
import torch

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def frame():
    return [torch.ones(64, 360, 640) for _ in range(3)]

frame()
before = faults()
for _ in range({FRAMES}):
    frame()
told = {{"faults": faults() - before, "kept": resident()}}
give_back()
print(json.dumps({{**told, "left": resident(), "page": resource.getpagesize()}}))
"""
"""Twenty times three planes of 59 MB each, returned every time."""


def measured(way: str) -> Dict[str, Any]:
    ran = subprocess.run([sys.executable, "-c", SCRIPT, way], check=True, capture_output=True, text=True)
    told: Dict[str, Any] = json.loads(ran.stdout)
    return told


def test_kept_memory_is_used_again_and_given_back() -> None:
    plain, kept = measured("plain"), measured("kept")
    pages = 3 * 64 * 360 * 640 * 4 / kept["page"]
    # Without keeping every frame asks for its pages anew; kept, the first few do, until all pieces have their places.
    assert plain["faults"] > 0.8 * FRAMES * pages
    assert kept["faults"] < 0.5 * FRAMES * pages
    assert kept["kept"] - kept["left"] > 0.8 * pages


LEAN = """
import json
from pathlib import Path
from kairos.allocator import keep_memory, lean_memory
keep_memory()
import torch

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))

MIB = 1 << 20
# Every second piece is kept, so that gaps of a mebibyte lie between.
pieces = [torch.ones(MIB // 4) for _ in range(200)]
del pieces[::2]
with lean_memory():
    before = resident()
    work = [torch.ones(MIB // 8) for _ in range(100)]
    held = resident() - before
    del work
    left = resident() - before
pieces += [torch.ones(MIB // 4) for _ in range(100)]
print(json.dumps({"held": held, "left": left, "after": resident() - before}))
"""


def test_lean_memory_gives_back_what_older_gaps_would_hold() -> None:
    ran = subprocess.run([sys.executable, "-c", LEAN], check=True, capture_output=True, text=True)
    told = json.loads(ran.stdout)
    mib = 1 << 20
    assert told["held"] > 45 * mib and told["left"] < 5 * mib
    # Afterwards the gaps are used again: a hundred pieces of a mebibyte fit where they were.
    assert told["after"] < 110 * mib
