"""Several plug-ins trained side by side on the very same batches: what each part of the hierarchy is worth."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from safetensors import safe_open

from kairos.engines.hierarchical.blocks import PARTS
from kairos.engines.hierarchical.loading import load_hierarchy, save_hierarchy
from kairos.engines.hierarchical.plugged_swift import SwiftHierarchy
from kairos.errors import BadRequest
from kairos.training.files import written_whole
from kairos.training.hierarchical import HierarchicalTask, looked, losses
from kairos.training.schedule import rate
from kairos.training.swift import motion_losses

ROWS: Mapping[str, Tuple[str, ...]] = {
    "no part": (),
    "HCE-S": ("hce_s",),
    "HCE-T": ("hce_t",),
    "HIR-L": ("hir_l",),
    "HIR-S": ("hir_s",),
    "all": PARTS,
}
"""Parts by row. Without any, what is left is a small network of its own in the same place: trained as long, it says
what the training alone is worth.
"""

SEED = 7
"""Of networks and scenes."""

_LR, _WARM_UP, _CLIP = 1e-3, 100, 1.0
SMOOTH = 50
"""Steps that a point of a curve is the mean of."""

UNPLUGGED = "swift"
"""Row of the base as it is, which learns nothing and has a curve."""

Curves = Dict[str, List[float]]
"""Error of the motion at every pixel, as it is trained on, by row: means over so many steps."""

Listener = Callable[[str], None]


def train_rows(
    steps: int,
    size: int = 256,
    rows: Mapping[str, Tuple[str, ...]] = ROWS,
    listener: Optional[Listener] = None,
    workers: int = 1,
) -> Tuple[Dict[str, SwiftHierarchy], Curves]:
    """Trains every row, each by itself: the batches, the steps and the rates are the same, and nothing else is shared.

    Args:
        steps: of each row.
        size: side of the square scenes, pixels.
        rows: parts by name.
        listener: told a line for every point of the curves; pickled where there are several workers.
        workers: processes that share the rows out.

    Returns:
        The plug-ins in evaluation mode, and how they learned.
    """
    names = list(rows)
    shares = [{name: rows[name] for name in names[first::workers]} for first in range(min(workers, len(names)))]
    work = partial(_trained, steps, size, listener=listener)
    if len(shares) == 1:
        return work(rows)
    plugins: Dict[str, SwiftHierarchy] = {}
    curves: Curves = {}
    with pool_of(len(shares)) as pool:
        for found, learned in pool.map(work, shares):
            plugins.update(found)
            curves.update(learned)
    return {name: plugins[name] for name in names}, {name: curves[name] for name in (UNPLUGGED, *names)}


def pool_of(workers: int) -> ProcessPoolExecutor:
    """Processes of one thread each."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,))


def _trained(
    steps: int, size: int, rows: Mapping[str, Tuple[str, ...]], listener: Optional[Listener]
) -> Tuple[Dict[str, SwiftHierarchy], Curves]:
    """See :func:`train_rows`."""
    task, device = HierarchicalTask(), torch.device("cpu")
    plugins, optimizers = {}, {}
    for name, parts in rows.items():
        torch.manual_seed(SEED)
        plugins[name] = SwiftHierarchy(parts).train()
        optimizers[name] = torch.optim.AdamW(plugins[name].parameters(), _LR)
    curves: Curves = {name: [] for name in (UNPLUGGED, *rows)}
    sums = dict.fromkeys(curves, 0.0)
    base = task.base(device)
    for step in range(steps):
        batch = task.batch(SEED, step, size, device)
        seen = looked(base, batch.seen.scenes, batch.seen.prior, batch.scale)
        for name, plugin in plugins.items():
            parts_of_loss = losses(base, plugin, seen, batch.labels)
            optimizers[name].zero_grad(set_to_none=True)
            torch.stack(list(parts_of_loss.values())).sum().backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(plugin.parameters(), _CLIP)
            for group in optimizers[name].param_groups:
                group["lr"] = _LR * rate(step, step / steps, _WARM_UP)
            optimizers[name].step()
            sums[name] += float(parts_of_loss["flow"].detach())
        with torch.no_grad():
            estimates, flow = base.motion(seen.first, seen.second, seen.prior)
            sums[UNPLUGGED] += float(motion_losses(seen.scenes, estimates, flow)["flow"])
        if (step + 1) % SMOOTH == 0:
            for name, total in sums.items():
                curves[name].append(total / SMOOTH)
            sums = dict.fromkeys(curves, 0.0)
            if listener is not None:
                told = ", ".join(f"{name} {curve[-1]:.3f}" for name, curve in curves.items())
                listener(f"step {step + 1} of {steps}: {told}")
    return {name: plugin.eval().requires_grad_(False) for name, plugin in plugins.items()}, curves


def save_rows(folder: Path, plugins: Mapping[str, SwiftHierarchy], curves: Curves, steps: int) -> None:
    """Writes one file of weights for each row, with how it learned. Raises KairosError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, plugin in plugins.items():
        told = {"row": name, "steps": str(steps), "seed": str(SEED), "curve": json.dumps(curves[name])}
        save_hierarchy(_file(folder, name), plugin, told)
    with written_whole(_unplugged(folder)) as temporary:
        temporary.write_text(json.dumps(curves[UNPLUGGED]))


def load_curves(folder: Path, names: Sequence[str] = tuple(ROWS)) -> Curves:
    """How those rows learned that are there."""
    found = {UNPLUGGED: json.loads(_unplugged(folder).read_text())} if _unplugged(folder).is_file() else {}
    for name in names:
        if _file(folder, name).is_file():
            with safe_open(str(_file(folder, name)), "pt") as file:
                found[name] = [float(value) for value in json.loads((file.metadata() or {}).get("curve", "[]"))]
    return found


def load_rows(folder: Path, names: Sequence[str] = tuple(ROWS)) -> Dict[str, SwiftHierarchy]:
    """Those rows of a folder that are there, in order.

    Raises:
        BadRequest: there is none, or a file is damaged.
    """
    found = {name: _file(folder, name) for name in names if _file(folder, name).is_file()}
    if not found:
        raise BadRequest(f"{folder} holds no trained rows.", "Give --steps to train some into it.")
    return {name: load_hierarchy(path, torch.device("cpu")) for name, path in found.items()}


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name.lower().replace(' ', '-')}.safetensors"


def _unplugged(folder: Path) -> Path:
    return folder / f"{UNPLUGGED}.json"
