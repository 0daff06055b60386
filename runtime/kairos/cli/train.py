"""``kairos train``: trains Kairos' own networks on scenes that Kairos makes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Dict, List, Optional

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from kairos.errors import BadRequest, Cancelled
from kairos.events import Event

from .train_inbetween import TASK, inbetween_settings, inbetween_task

if TYPE_CHECKING:
    from kairos.training.task import Task


def add_commands(app: typer.Typer) -> None:
    """Adds the trainer."""
    app.command("train")(train)


def train(
    task: Annotated[str, typer.Argument(metavar="TASK", help="What to train: swift, gimm, hierarchical or inbetween.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the training: weights, state, log and curve.")],
    minutes: Annotated[Optional[float], typer.Option("--minutes", help="Length by the clock.")] = None,
    steps: Annotated[Optional[int], typer.Option("--steps", help="Length in steps.")] = None,
    resume_from: Annotated[
        Optional[Path],
        typer.Option("--resume-from", help="Folder of a training to go on with, or .safetensors to start from."),
    ] = None,
    seed: Annotated[Optional[int], typer.Option("--seed", help="Of network and scenes. Default: 0.")] = None,
    batch: Annotated[
        Optional[int], typer.Option("--batch", help="Scenes, or clips, per step. Default: the task's own.")
    ] = None,
    part: Annotated[
        Optional[str],
        typer.Option("--part", help="Of the network, to train alone (swift: motion, meeting; hierarchical: hce_s …)."),
    ] = None,
    losses: Annotated[
        Optional[str],
        typer.Option("--losses", help="Of the picture: own, vgg or style (FILM's; need --vgg). Default: own."),
    ] = None,
    vgg: Annotated[Optional[Path], typer.Option("--vgg", help="Weights of VGG-19 (vgg19-dcbb9e9d.pth).")] = None,
    size: Annotated[Optional[int], typer.Option("--size", help="Side of the crop, pixels. Default: 256.")] = None,
    lr: Annotated[
        Optional[float], typer.Option("--lr", help="Peak learning rate. Default: 0.0003; inbetween 0.0001, throughout.")
    ] = None,
    warm_up: Annotated[Optional[int], typer.Option("--warm-up", help="Steps. Default: 500; inbetween 0.")] = None,
    ema_decay: Annotated[
        Optional[float], typer.Option("--ema-decay", help="Of the mean weights. Default: 0.999; inbetween 0.")
    ] = None,
    clip: Annotated[Optional[float], typer.Option("--clip", help="Greatest gradient norm. Default: 1.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="auto, bf16 (CUDA only) or fp32.")] = "auto",
    validate_every: Annotated[
        Optional[str], typer.Option("--validate-every", metavar="STEPS|MINUTESm", help="500 (steps) or 5m (minutes).")
    ] = None,
    validate_count: Annotated[
        Optional[int], typer.Option("--validate-count", help="Scenes, or clips. Default: 64; inbetween 8.")
    ] = None,
    save_minutes: Annotated[Optional[float], typer.Option("--save-minutes", help="Between saves. Default: 5.")] = None,
    threads: Annotated[Optional[int], typer.Option("--threads", help="CPU threads.")] = None,
    workers: Annotated[int, typer.Option("--workers", help="1 makes scenes ahead in a second process.")] = 0,
    half_weights: Annotated[
        bool, typer.Option("--half-weights", help="Write weights in half precision; inbetween always does.")
    ] = False,
    stop_at: Annotated[Optional[int], typer.Option("--stop-at", help="Stop after this step, to resume later.")] = None,
    clips: Annotated[
        Optional[List[str]],
        typer.Option("--clips", help="inbetween: a movie, a sequence, or a folder of them; as often as there are."),
    ] = None,
    model: Annotated[
        Optional[str],
        typer.Option("--model", help="inbetween: what is tuned, a name of kairos weights list or a folder."),
    ] = None,
    stride: Annotated[
        Optional[int],
        typer.Option("--stride", help="inbetween: every so many frames of a clip one is taken. Default: 2."),
    ] = None,
    canvas: Annotated[
        Optional[str], typer.Option("--canvas", help="inbetween: WIDTHxHEIGHT clips are cropped to. Default: 1024x576.")
    ] = None,
    colorspace: Annotated[str, typer.Option("--colorspace", help="inbetween: colour space of the clips.")] = "",
    ocio: Annotated[str, typer.Option("--ocio", help="inbetween: OCIO config where $OCIO is not set.")] = "",
) -> None:
    """Train a network on made scenes, or inbetween on your own. Ctrl-C finishes the step and saves; --resume-from OUT
    goes on.
    """
    # The jobs of other commands must not wait for these to load.
    from kairos.training.settings import TrainSettings
    from kairos.training.tasks import judge
    from kairos.training.tasks import task as task_of
    from kairos.training.trainer import train as run

    given: Dict[str, Any] = {
        "minutes": minutes,
        "steps": steps,
        "resume_from": resume_from,
        "seed": seed,
        "size": size,
        "lr": lr,
        "warm_up": warm_up,
        "ema_decay": ema_decay,
        "clip": clip,
        "device": device,
        "precision": precision,
        "validate_count": validate_count,
        "save_minutes": save_minutes,
        "threads": threads,
        "workers": workers,
        "half_weights": half_weights,
        "stop_at": stop_at,
        **parse_interval(validate_every),
    }
    learned: Task
    if task == TASK:
        if part is not None or losses is not None or vgg is not None:
            raise BadRequest("inbetween is trained as published.", "Leave --part, --losses and --vgg away.")
        settings = TrainSettings(**inbetween_settings(given))
        bar = TrainBar(f"{TASK}, clips")
        try:
            learned = inbetween_task(
                clips,
                out,
                settings,
                bar,
                model=model,
                batch=batch,
                stride=stride,
                canvas=canvas,
                colorspace=colorspace,
                ocio=ocio,
            )
        except KeyboardInterrupt:
            raise Cancelled("Stopped before the first step.", "Encoded clips are kept: the same goes on.") from None
        finally:
            bar.close()
    else:
        own = {"--clips": clips, "--model": model, "--stride": stride, "--canvas": canvas}
        given_too = [flag for flag, value in {**own, "--colorspace": colorspace, "--ocio": ocio}.items() if value]
        if given_too:
            raise BadRequest(
                f"{given_too[0]} is for kairos train {TASK}.", f"Leave it away: {task} learns from made scenes."
            )
        settings = TrainSettings(**{name: value for name, value in given.items() if value is not None})
        learned = task_of(task, batch, part, judge(losses, vgg))
    bar = TrainBar(task)
    try:
        result = run(learned, settings, out, bar)
    finally:
        bar.close()
    if result.stopped and result.steps != stop_at:
        raise Cancelled(f"Training stopped after step {result.steps}; all is saved.", f"--resume-from {out} goes on.")
    figures = ", ".join(f"{name} {value:.4g}" for name, value in result.figures.items())
    print(f"{task}: {result.steps} steps, {result.samples} samples, {result.seconds / 3600:.2f} h. {figures}")
    print(f"best score {result.score:.4g}: {result.best}")


def parse_interval(text: Optional[str]) -> Dict[str, Any]:
    """``500`` is a number of steps, ``5m`` one of minutes. Answers with settings. Raises BadRequest."""
    if text is None:
        return {}
    match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)m", text.strip())
    if match is None:
        raise BadRequest(f"--validate-every {text} is no interval.", "Give steps (500) or minutes (5m).")
    return {"validate_steps": int(match[1])} if match[1] else {"validate_minutes": float(match[2])}


class TrainBar:
    """Progress of a training; off a terminal a line at every validation."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._title = title
        self._task: Optional[TaskID] = None
        self._score: Optional[float] = None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("step {task.fields[step]}  loss {task.fields[loss]}  score {task.fields[score]}"),
            TextColumn("{task.fields[rate]:.1f} samples/s"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __call__(self, event: Event) -> None:
        if event.kind == "warning":
            text = f"warning: {event.data['message']} {event.data['remedy']}".rstrip()
            self._console.print(text, style="yellow")
        elif event.kind == "progress":
            self._show(event.data)

    def _show(self, data: Dict[str, Any]) -> None:
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=data["total"], step=0, loss="", score="", rate=0.0)
        loss, score = ("" if data[name] is None else f"{data[name]:.4g}" for name in ("loss", "score"))
        told = f"{self._title}, validating" if data["stage"] == "validation" else self._title
        fields: Dict[str, Any] = {"step": data["step"], "rate": data["rate"], "loss": loss, "score": score}
        self._bar.update(self._task, completed=data["done"], description=told, **fields)
        if not self._console.is_terminal and data["score"] is not None and data["score"] != self._score:
            self._score = data["score"]
            self._console.print(f"{self._title}: step {data['step']}, score {score}, {data['rate']:.1f} samples/s")

    def close(self) -> None:
        """Takes the bar down."""
        self._bar.stop()
