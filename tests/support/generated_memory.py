"""A generation for real in a process of its own, whose memory is measured: ``python -m support.generated_memory``."""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import torch

from kairos.engines.inbetween.changes import Changes
from kairos.engines.inbetween.parts import load_parts
from kairos.engines.inbetween.recipe import Recipe
from kairos.engines.inbetween.sampling import conditions, decoded, run
from support.parity import drawn
from support.tiny_svd import tiny_changes


def resident(which: str) -> int:
    """Bytes of this process in memory (``VmRSS``), or the most since the last reset (``VmHWM``). Linux alone."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(which))


def measured(run: Callable[[], Any]) -> Tuple[Any, int]:
    """What a computation answers, and the most bytes that were resident meanwhile, over those before it."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = resident("VmRSS")
    # 5 resets the high-water mark, see proc(5).
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    answer = run()
    return answer, resident("VmHWM") - before


def generation(folder: Path, recipe: Recipe, canvas: Tuple[int, int], chunk: int) -> Dict[str, int]:
    """Bytes over the loaded model, by stage."""
    parts = load_parts(folder, torch.device("cpu"))
    changes = Changes(tiny_changes(folder))

    def stages(height: int, width: int) -> Dict[str, int]:
        first, second = (drawn(f"key {each}", torch.Size((3, height, width))).sigmoid() for each in range(2))
        told, keys = measured(lambda: conditions(parts, recipe, first, second))
        states, generate = measured(lambda: list(run(parts, changes, recipe, told, None, lambda done, total: None)))
        _, decode = measured(lambda: [stack.half() for stack in decoded(parts, states[-1].latents, chunk)])
        return {"keys": keys, "generate": generate, "decode": decode}

    # The libraries' own tables and threads are made on their first use.
    stages(64, 64)
    return stages(*canvas)


if __name__ == "__main__":
    torch.set_num_threads(1)
    told = json.loads(sys.argv[1])
    found = generation(
        Path(told["folder"]), Recipe(**told["recipe"]), (told["canvas"][0], told["canvas"][1]), told["chunk"]
    )
    print(json.dumps(found))
