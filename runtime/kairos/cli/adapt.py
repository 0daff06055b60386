"""``kairos adapt``: fits the network's weights to the artist's own shot."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Callable, Dict, Optional

import typer

from kairos.errors import BadRequest, EngineError
from kairos.events import Event, Listener
from kairos_nodes.ranges import parse_range

from .jobs import Interrupts
from .report import JsonLines
from .train import TrainBar

if TYPE_CHECKING:
    from kairos.images import Shot
    from kairos.training.adapt import Adapted, AdaptSettings

TASK = "adapt swift"
"""In the provenance record of weights that were fitted to a shot."""

ENDING = ".kairos-adapted.safetensors"


def add_commands(app: typer.Typer) -> None:
    """Adds adaptation."""
    app.command("adapt")(adapt)


def adapt(
    shot: Annotated[str, typer.Argument(metavar="SHOT", help="A movie or sequence, as for kairos retime.")],
    range_: Annotated[str, typer.Option("--range", help="Which frames to learn from, such as 1001-1048.")] = "",
    out: Annotated[
        Optional[Path],
        typer.Option("--out", help=f"Where to write the weights. Default: NAME{ENDING} beside the shot."),
    ] = None,
    minutes: Annotated[float, typer.Option("--minutes", help="Time spent fitting.")] = 1.5,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
    engine: Annotated[str, typer.Option("--engine", help="swift: the only one that learns from a shot.")] = "swift",
    weights: Annotated[
        Optional[Path], typer.Option("--weights", help="Weights to begin with in place of those that come with Kairos.")
    ] = None,
    colorspace: Annotated[str, typer.Option("--colorspace", help="Colour space of the input.")] = "",
    ocio: Annotated[str, typer.Option("--ocio", help="OCIO config where $OCIO is not set.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Report progress as JSON lines.")] = False,
) -> None:
    """Fit the weights of swift to one shot; they are kept only where they prove better on frames held back."""
    from kairos.training.adapt import AdaptSettings

    if engine != "swift":
        raise BadRequest(f"--engine {engine} learns nothing from a shot.", "Use --engine swift.")
    request = Request(shot, range_, out, weights, device, colorspace, ocio)
    bar = None if as_json else TrainBar("adapt")
    listener: Listener = JsonLines() if bar is None else bar
    try:
        with Interrupts() as stop:
            done = run_adapt(request, AdaptSettings(minutes=minutes), listener, stop)
    finally:
        if bar is not None:
            bar.close()
    if not as_json:
        print(done.text)


@dataclass(frozen=True)
class Request:
    """What to fit to, and where the weights go; see the command's options."""

    shot: str
    range: str = ""
    out: Optional[Path] = None
    weights: Optional[Path] = None
    device: str = "auto"
    colorspace: str = ""
    ocio: str = ""


@dataclass(frozen=True)
class Done:
    """How it ended.

    Attributes:
        result: of the fitting.
        path: of the new weights, None where none were written.
        text: the same for people.
    """

    result: Adapted
    path: Optional[Path]
    text: str


def run_adapt(request: Request, settings: AdaptSettings, listener: Listener, cancelled: Callable[[], bool]) -> Done:
    """Fits weights to a shot and writes them if they are better.

    Raises:
        BadRequest: a shot too short, weights that do not fit, or an output that is something else.
        KairosError: the shot cannot be read, or the weights cannot be written.
        Cancelled: nothing was written.
    """
    # The jobs of other commands must not wait for these to load.
    import torch

    from kairos.color import ColorConfig
    from kairos.engines.swift.loading import SHIPPED, load_network
    from kairos.images import open_shot
    from kairos.retime.layout import read_layout
    from kairos.retime.plate import Plate
    from kairos.retime.settle import settle_device
    from kairos.training.adapt import adapt as fit

    started = time.monotonic()
    config = ColorConfig.load(request.ocio or None)
    where = settle_device(request.device)
    base = request.weights or SHIPPED
    network = load_network(base, where)
    frames = parse_range(request.range) if request.range else None
    with open_shot(request.shot, frame_range=frames, colorspace=request.colorspace or None, config=config) as shot:
        path = request.out or shot.path(0).parent / (shot_name(shot) + ENDING)
        _may_write(path, SHIPPED, base)
        plate = Plate(shot, read_layout(shot, "", "rgb"), where, config, linear=False)
        try:
            listener(
                Event(
                    "planned",
                    {"frames": len(shot), "skipped": 0, "engine": "swift", "device": str(where), "layers": {}},
                )
            )
            result = fit(plate.view(plate.layout.views[0]), network, settings, listener, cancelled)
        except torch.OutOfMemoryError as error:
            raise EngineError(f"Out of memory on {where}.", "Use --device cpu.") from error
        finally:
            plate.close()
        if result.kept:
            _write(path, result, shot, base, where)
        done = Done(result, path if result.kept else None, _told(request, result, path))
    listener(Event("done", {**_figures(result), "file": str(path) if result.kept else None, "missing": [],
                            "frames": len(result.held), "seconds": round(time.monotonic() - started, 3)}))  # fmt: skip
    return done


def shot_name(shot: Shot) -> str:
    """What a shot is called: its files' name without number and ending, or its folder's where that leaves nothing."""
    path = shot.path(0)
    name = path.stem if shot.movie else re.sub(r"[._ -]*\d+$", "", path.stem)
    return name or path.resolve().parent.name or "shot"


def _may_write(path: Path, shipped: Path, base: Path) -> None:
    """Refuses to write over anything but weights fitted earlier, before time is spent."""
    from kairos.training.checkpoint import load_weights

    if path.suffix != ".safetensors":
        raise BadRequest(f"--out {path} is no name for weights.", "Give a name that ends in .safetensors.")
    if not path.exists():
        return
    others = "Give another --out."
    if any(each.exists() and path.samefile(each) for each in (shipped, base)):
        raise BadRequest(f"{path} are the weights to begin with; they stay as they are.", others)
    try:
        record = load_weights(path)[1]
    except BadRequest:
        record = {}
    if record.get("task") != TASK:
        raise BadRequest(f"{path} is there already and was not made by kairos adapt.", others)


def _write(path: Path, result: Adapted, shot: Shot, base: Path, device: Any) -> None:
    from kairos.engines.files import file_hash
    from kairos.training import checkpoint

    identities = "\n".join(shot.identity(position) for position in range(len(shot)))
    held = {shot.numbers[gain.position]: [round(gain.before, 4), round(gain.after, 4)] for gain in result.held}
    record: Dict[str, str] = {
        "task": TASK,
        **checkpoint.machine_record(device),
        "shot": shot.spec,
        "frames": f"{shot.numbers[0]}-{shot.numbers[-1]}",
        "identity": hashlib.sha256(identities.encode()).hexdigest(),
        "base": file_hash(base),
        "steps": str(result.steps),
        "hours": f"{result.seconds / 3600:.8g}",
        "fitted": json.dumps([shot.numbers[position] for position in result.fitted]),
        "held": json.dumps(held),
        "part": str(result.part),
        "gain": f"{result.after - result.before:.4f}",
        "history": json.dumps(checkpoint.history(checkpoint.load_weights(base)[1])),
    }
    checkpoint.save_weights(path, result.network, record)


def _figures(result: Adapted) -> Dict[str, Any]:
    return {
        "kept": result.kept,
        "why": result.why,
        "before": round(result.before, 3),
        "after": round(result.after, 3),
        "worst": round(min(gain.difference for gain in result.held), 3),
        "part": result.part,
        "steps": result.steps,
    }


def _told(request: Request, result: Adapted, path: Path) -> str:
    lines = [
        f"before {result.before:.2f} dB, after {result.after:.2f} dB on {len(result.held)} frames held back, "
        f"{result.steps} steps in {result.seconds:.0f} s"
    ]
    if not result.kept:
        return "\n".join([*lines, f"Nothing was written: {result.why}. The weights as they are serve this shot."])
    lines.append(f"{path}: {result.why}. Use it:")
    arguments = [
        "kairos",
        "retime",
        request.shot,
        "OUTPUT",
        "--speed",
        "0.5",
        "--engine",
        "swift",
        "--weights",
        str(path),
    ]
    return "\n".join([*lines, shlex.join(arguments)])
