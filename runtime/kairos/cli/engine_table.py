"""``kairos engines`` as a table: what can run here, on which terms, and what it takes on this machine."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any, Dict, List, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from kairos.bench.measured import LIMIT, SIZE, Cache, Subject, key_of, measure
from kairos.bench.speed_report import GIB
from kairos.engines.adapters.engine import PublishedEngine
from kairos.engines.registry import engine
from kairos.errors import KairosError

_WIDTH = 140
"""Columns of the table off a terminal."""

HINT = "kairos engines --measure"
_SHIPPED = "come with Kairos"

_FACTS = (
    ("commercial", "commercial use"),
    ("any_time", "any time"),
    ("gives_motion", "gives motion"),
    ("paints", "paints"),
    ("clip", "fits the whole clip"),
    ("generates", "makes movement up"),
)


def show(rows: Sequence[Mapping[str, Any]], whole: bool, as_json: bool, measuring: bool) -> None:
    """Prints engines, and measures them first where that is asked for.

    Args:
        rows: as ``kairos.cli.house.engine_rows`` tells them.
        whole: each in full, in place of the table.
        as_json: as JSON, with everything.
        measuring: measure those that can run, one that is shown whole with all its weights and however long it takes.
    """
    cache = Cache()
    if measuring:
        subjects = [subject for row in rows for subject in _subjects(row)[: None if whole else 1]]
        for row in rows:
            if row["why_not"]:
                _told(f"{row['id']}: left out, {row['why_not']}")
        if subjects:
            try:
                measure(subjects, cache, _told, None if whole else LIMIT)
            except KeyboardInterrupt:
                _told("Interrupted. What was measured is kept.")
    told = [with_measurements(row, cache) for row in rows]
    if as_json:
        print(json.dumps(told, indent=2))
    elif whole:
        for row in told:
            print(in_full(row))
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console = Console(highlight=False, width=_WIDTH)
        console.print(table(told))
        _notes(console, told)


def with_measurements(row: Mapping[str, Any], cache: Cache) -> Dict[str, Any]:
    """A row and what was measured here with each of the engine's weights, those first that are taken unasked."""
    measured: List[Dict[str, Any]] = []
    for subject in _subjects(row):
        try:
            found, outdated = cache.find(key_of(subject))
        except KairosError as error:
            found, outdated = None, str(error)
        figures: Dict[str, Any] = {"first": None, "further": None, "memory": None, "when": None}
        if found is not None:
            figures = {**asdict(found), **asdict(found.key)}
            del figures["key"]
        measured.append({"weights": subject.weights, **figures, "outdated": outdated})
    return {**row, "measured": measured}


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The engines, a row each. Rows are those of :func:`with_measurements`."""
    made = Table(box=box.SIMPLE_HEAD, show_lines=False, pad_edge=False)
    for title, settings in _COLUMNS:
        made.add_column(title, **settings)
    for row in rows:
        first, further, memory = _figures(row["measured"][0]) if row["measured"] else ("-", "", "")
        made.add_row(
            row["id"],
            "no" if row["why_not"] else "ready",
            _yes(row["commercial"]),
            row["code_licence"],
            row["weights_licence"] or "none needed",
            _weights(row),
            _yes(row["any_time"]),
            _yes(row["gives_motion"]),
            _yes(row["paints"]),
            first,
            further,
            memory,
        )
    return made


_CENTRED = {"justify": "center", "no_wrap": True}
_RIGHT = {"justify": "right", "no_wrap": True}

_COLUMNS: Sequence[Any] = (
    ("\nengine", {"no_wrap": True}),
    ("runs\nhere", {"no_wrap": True}),
    ("com-\nmercial", _CENTRED),
    ("licence of\nthe code", {"min_width": 12, "ratio": 2}),
    ("licence of\nthe weights", {"min_width": 14, "ratio": 5}),
    ("\nweights", {"min_width": 15, "ratio": 3}),
    ("any\ntime", _CENTRED),
    ("gives\nmotion", _CENTRED),
    ("\npaints", _CENTRED),
    ("first\ns", _RIGHT),
    ("further\ns", _RIGHT),
    ("peak\nGiB", _RIGHT),
)
"""Titles, and how rich sets them."""


def in_full(row: Mapping[str, Any]) -> str:
    """One engine in lines."""
    lines = [
        f"{row['id']:12} {'cannot run here: ' + row['why_not'] if row['why_not'] else 'ready'}",
        row["title"],
        f"code {row['code_licence']}, weights {row['weights_licence'] or 'none needed'}",
        row["paper"],
    ]
    lines += [f"{words}: {_yes(row[key])}" for key, words in _FACTS]
    lines += [f"precision: {', '.join(row['precisions'])}"]
    lines += [f"{option}: {meaning}" for option, meaning in row["parameters"].items()]
    if row["weights"]:
        lines.append(f"yours: {', '.join(row['weights'])}; kairos weights list tells their terms")
    lines += [] if row["why_not"] else row["notes"]
    for each in row["measured"]:
        name = f"{each['weights']}: " if each["weights"] else ""
        first, further, memory = _figures(each)
        if each["first"] is None:
            note = f" ({each['outdated']})" if each["outdated"] else ""
            lines.append(f"{name}not measured here{note}. kairos engines {row['id']} --measure")
        else:
            lines.append(
                f"{name}first {first} s, further {further} s, peak {memory} GiB at {_size()} in {each['precision']} "
                f"on {each['device']} ({each['when']})"
            )
    return f"\n{'':13}".join(lines)


def _subjects(row: Mapping[str, Any]) -> List[Subject]:
    """The engine with each of its weights, in the order in which it takes them; none where it cannot run."""
    # What fits the clip or generates takes its time before the first frame, and no frame's time tells of it.
    if row["why_not"] or row["clip"] or row["generates"]:
        return []
    known = engine(row["id"])
    # Some know an order of weights that are the user's; published engines have no others.
    own = [Subject(row["id"], record.name) for record in known.records()] if hasattr(known, "records") else []
    return own if isinstance(known, PublishedEngine) else [Subject(row["id"]), *own]


def _weights(row: Mapping[str, Any]) -> str:
    """Which were found, those first that are taken unasked."""
    if row["weights"]:
        return ", ".join([each["weights"] or _SHIPPED for each in row["measured"]] or row["weights"])
    if row["why_not"]:
        return "none, see below"
    return _SHIPPED if row["weights_licence"] else "none needed"


def _figures(measured: Mapping[str, Any]) -> Any:
    """First, further and memory for people."""
    if measured["first"] is None:
        return ("outdated" if measured["outdated"] else "?", "", "")
    memory = f"{measured['memory'] / GIB:.2f}" if measured["memory"] else "?"
    return f"{measured['first']:.2f}", f"{measured['further']:.2f}", memory


def _notes(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """What the columns mean, what is missing in them, and how to get it."""
    known = [each for row in rows for each in row["measured"][:1]]
    device = next((each["device"] for each in known if each["first"] is not None), "")
    on = f" on {device}" if device else ""
    lines = [f"First, further, peak: seconds for a pair's in-betweens, and memory, at {_size()} in fp32{on}."]
    lines += sorted({f"Outdated: {each['outdated']}." for each in known if each["outdated"]})
    if any(each["first"] is None for each in known):
        lines.append(f"Not measured yet, or outdated: {HINT} does it.")
    lines += [f"{row['id']} cannot run here: {row['why_not']}" for row in rows if row["why_not"]]
    for line in lines:
        # An address that is broken over two lines cannot be copied.
        console.print(line, soft_wrap=True, markup=False)


def _size() -> str:
    return f"{SIZE[0]}x{SIZE[1]}"


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
