"""``kairos weights``: the weights of published networks that this user has."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Callable, Optional

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from kairos.errors import BadRequest

if TYPE_CHECKING:
    from kairos.engines.architecture import Architecture
    from kairos.weights.adding import Titled
    from kairos.weights.store import Record

DOWNLOADS = "downloads"
"""Folder of the store where broken-off downloads wait."""

_ACCEPT = Annotated[bool, typer.Option("--accept-licence", help="Accept the weights' licence without being asked.")]
_JSON = Annotated[bool, typer.Option("--json", help="As JSON.")]


_FLOWS = ("raft",)
"""Networks that are no engines and find the motion for some."""
_REGIONS = ("grounding-dino", "sam-hq", "ram")
"""Those that find objects for regions."""
_CHANGES = "inbetween-changes"
"""What tuning makes of the model of an engine."""
_UNUSED = "kept; no job uses it by itself"


def add_commands(app: typer.Typer) -> None:
    """Adds ``weights`` with its own commands."""
    weights = typer.Typer(help="Keep the weights of published networks.", no_args_is_help=True, rich_markup_mode=None)
    for name, command in (
        ("add", add), ("list", list_weights), ("verify", verify), ("remove", remove), ("fetch", fetch),
    ):  # fmt: skip
        weights.command(name)(command)
    app.add_typer(weights, name="weights")


def add(
    file: Annotated[Path, typer.Argument(help="Official weights, as they were published: a file, or a folder.")],
    name: Annotated[
        Optional[str], typer.Option("--name", help="For --weights. Default: the network's variant.")
    ] = None,
    accept_licence: _ACCEPT = False,
    base: Annotated[
        Optional[str], typer.Option("--base", help="Of a tuned U-Net: name of the kept model it was tuned from.")
    ] = None,
) -> None:
    """Recognise a file or folder of weights and keep it. Nothing in it is run."""
    from kairos.weights.adding import add as add_file
    from kairos.weights.store import Store

    _told(add_file(file, Store(), _asker(accept_licence), name, base=base))


def list_weights(as_json: _JSON = False) -> None:
    """Show the weights that are kept, their licences and where they came from."""
    from kairos.weights.store import Store

    store = Store()
    records = store.records()
    if as_json:
        print(json.dumps([asdict(record) for record in records], indent=2))
        return
    for record in records:
        use = _use(record)
        print(f"{record.name:16} {record.variant}, {f'for {use}' if use else _UNUSED}")
        print(f"                 {record.licence} (accepted {record.accepted})")
        print(f"                 from {record.source}, SHA-256 {record.source_sha256}; {record.taken}")
    if not records:
        print(f"There are no weights in {store.root}. See kairos weights fetch --help, or kairos weights add FILE.")


def verify() -> None:
    """Check that all weights are as they were added."""
    from kairos.weights.store import Store

    report = Store().verify()
    for name, trouble in report:
        print(f"{name:16} {trouble or 'as it was added'}")
    raise typer.Exit(1 if any(trouble for _, trouble in report) else 0)


def remove(name: Annotated[str, typer.Argument(help="Of the weights, as kairos weights list shows it.")]) -> None:
    """Remove weights."""
    from kairos.weights.store import Store

    record = Store().remove(name)
    print(f"{record.name}: removed")


def fetch(
    name: Annotated[
        Optional[str], typer.Argument(metavar="[NAME]", help="Official weights; none: which there are.")
    ] = None,
    accept_licence: _ACCEPT = False,
) -> None:
    """Download official weights, check them and keep them. A broken-off download goes on where it was."""
    from kairos.weights.adding import add as add_file
    from kairos.weights.catalogue import CATALOGUE, place
    from kairos.weights.download import download
    from kairos.weights.store import Store

    if name is None:
        for each in CATALOGUE:
            print(f"{each.name:16} {each.note or each.file}{'' if each.url else ' (by hand: ' + each.page + ')'}")
        return
    wanted, store = place(name), Store()
    if any(record.name == wanted.name for record in store.records()):
        raise BadRequest(f"There are weights {name!r} already.", f"kairos weights remove {name} removes them.")
    accept = _asker(accept_licence)
    # Before the download: nobody wants to fetch what may not be used.
    architecture = _architecture(wanted.architecture)
    if architecture is not None:
        from kairos.weights.adding import licence

        terms = licence(architecture)
        if not accept(architecture, terms):
            raise BadRequest(f"The licence of {name} was not accepted: {terms}.", "Add --accept-licence to accept it.")
    bar = DownloadBar(wanted.file)
    try:
        file = download(wanted, store.root / DOWNLOADS, bar)
    finally:
        bar.close()
    _told(add_file(file, store, lambda known, terms: known is architecture or accept(known, terms), name, wanted.url))
    file.unlink(missing_ok=True)


def _architecture(id: str) -> Optional[Architecture]:
    from kairos.engines.architectures import ARCHITECTURES

    return next((each for each in ARCHITECTURES if each.id == id), None)


def _asker(accepted: bool) -> Callable[[Titled, str], bool]:
    """Shows the licence, and asks on a terminal where it was not accepted by the flag."""

    def ask(network: Titled, terms: str) -> bool:
        print(f"{network.title} ({network.paper})\nlicence: {terms}", file=sys.stderr)
        if accepted or not sys.stdin.isatty():
            return accepted
        return typer.confirm("Do you accept this licence?", err=True)

    return ask


def _told(record: Record) -> None:
    use = _use(record)
    then = f"Use it with {use}" if use else f"It is {_UNUSED}"
    print(f"{record.name}: {record.variant}, from {record.taken}. {then}.")


def _use(record: Record) -> str:
    """The flags that make a job use these weights; empty where no job can."""
    from kairos.engines.registry import engines

    if any(engine.card.id == record.architecture for engine in engines()):
        return f"--engine {record.architecture} --weights {record.name}"
    if record.architecture in _REGIONS:
        return "--regions"
    if record.architecture == _CHANGES:
        return f"--engine inbetween --generate changes={record.name}"
    # These find motion for other engines.
    return "" if record.architecture not in _FLOWS else f"--flow {record.architecture}:{record.name}"


class DownloadBar:
    """Progress of a download; off a terminal nothing but its end."""

    def __init__(self, title: str) -> None:
        console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
            TimeRemainingColumn(), console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._bar.start()
        self._task = self._bar.add_task(title, total=None)

    def __call__(self, done: int, total: Optional[int]) -> None:
        self._bar.update(self._task, completed=done, total=total)

    def close(self) -> None:
        """Takes the bar down."""
        self._bar.stop()
