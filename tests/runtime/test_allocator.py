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
