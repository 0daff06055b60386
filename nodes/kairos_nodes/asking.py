"""Asks an artist for a node's settings in a window of the runtime, for hosts that have no windows of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Tuple

from kairos_nodes.client.starting import Launcher, launcher_command
from kairos_nodes.errors import BadRequest, Cancelled, KairosError, ServiceError
from kairos_nodes.home import data_folder, write_whole
from kairos_nodes.nodes import node
from kairos_nodes.parameter import Parameter, Value

SETTINGS_VARIABLE = "KAIROS_SETTINGS"
"""Settings as a JSON object by name; given, no window is opened."""

ASK_VARIABLE = "KAIROS_ASK"
"""``0`` opens no window: the last settings are used again."""

LAST_VARIABLE = "KAIROS_LAST_SETTINGS"
"""Names another file for the last settings than the user's own."""

CANCELLED = 130

_FOREIGN = ("PYTHON", "QT_", "DYLD_", "LD_PRELOAD", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "__PYVENV")
"""Beginnings of the host's own variables, which would lead the window's libraries astray."""

_SENT = (
    "name",
    "kind",
    "label",
    "help",
    "default",
    "choices",
    "accepts",
    "form",
    "minimum",
    "maximum",
    "above",
    "unit",
)


@dataclass(frozen=True)
class Question:
    """What to ask for.

    Attributes:
        node: id of the node whose knobs are shown.
        note: one line for the artist: which clip, how long, at what rate.
        extra: what the host asks for beyond the node's knobs; shown first.
        hidden: knobs that the host sets itself.
        labels: how choices read, by parameter name and choice.
        timing: name of the extra choice that says which of the node's timings counts; the others are greyed out.
        depends: other settings that count with one choice of ``timing`` alone, by name.
    """

    node: str
    note: str = ""
    extra: Tuple[Parameter, ...] = ()
    hidden: Tuple[str, ...] = ()
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    timing: str = ""
    depends: Mapping[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> Tuple[Parameter, ...]:
        """All that is asked for, the host's own first."""
        return (*self.extra, *(one for one in node(self.node).knobs if one.name not in self.hidden))

    def check(self, values: Mapping[str, object]) -> Dict[str, Value]:
        """Every value in canonical form, defaults where none is given. Raises BadRequest naming the knob."""
        known = {one.name: one for one in self.parameters}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise BadRequest(f"There is no setting {', '.join(unknown)}.", f"The settings are {', '.join(known)}.")
        return {name: one.check(values.get(name)) for name, one in known.items()}

    def to_json(self, values: Mapping[str, object]) -> str:
        """The question with its present values, for the runtime."""
        extra = [{name: getattr(one, name) for name in _SENT} for one in self.extra]
        data = {one.name: getattr(self, one.name) for one in fields(self)}
        return json.dumps({**data, "extra": extra, "values": dict(values)})

    @classmethod
    def from_json(cls, text: str) -> Tuple[Question, Dict[str, Any]]:
        """The inverse of :meth:`to_json`. Raises BadRequest for what is no question."""
        try:
            data = json.loads(text)
            values = dict(data.pop("values"))
            extra = tuple(
                Parameter(**{**one, "choices": tuple(one["choices"]), "flag": None}) for one in data.pop("extra")
            )
            question = cls(**{**data, "extra": extra, "hidden": tuple(data["hidden"])})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadRequest(f"This is no question for kairos ask: {error}.", "A host asks it by itself.") from None
        node(question.node)
        return question, values


def settings(
    question: Question,
    tell: Callable[[str], object],
    launcher: Launcher = None,
    environment: Mapping[str, str] = os.environ,
) -> Dict[str, Value]:
    """The artist's settings: from the environment, or from a window, or as they were last time. Waits for the artist.

    Args:
        question: what to ask for.
        tell: hears which of the three it is.
        launcher: as of :func:`kairos_nodes.client.starting.launcher_command`.
        environment: ``KAIROS_SETTINGS`` and ``KAIROS_ASK``.

    Raises:
        Cancelled: the artist closed the window.
        BadRequest: a setting cannot be.
    """
    last = last_settings(question)
    given = environment.get(SETTINGS_VARIABLE, "")
    if given:
        tell(f"Settings from {SETTINGS_VARIABLE}: {given}")
        return question.check({**last, **_object(given)})
    if environment.get(ASK_VARIABLE) != "0":
        tell("The settings window opens; the very first time, Kairos installs itself before.")
        try:
            values = question.check(ask(question, last, launcher))
        except (Cancelled, BadRequest):
            raise
        except KairosError as error:
            tell(f"{error.message} {error.remedy}".strip())
        else:
            _remember(question, values)
            return values
    tell(f"Settings as last time: {_differing(question, last) or 'the defaults'}.")
    return question.check(last)


def ask(question: Question, values: Mapping[str, object], launcher: Launcher = None) -> Dict[str, Any]:
    """Opens the window and waits for the artist.

    Raises:
        Cancelled: the artist closed it.
        ServiceError: it cannot be opened, and why.
    """
    with tempfile.TemporaryDirectory(prefix="kairos-") as folder:
        path = Path(folder) / "question.json"
        path.write_text(question.to_json(values), encoding="utf-8")
        try:
            done = subprocess.run(
                [*launcher_command(launcher), "ask", str(path), "--json"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env=own_environment(),
                check=False,
                **no_console(),
            )
        except OSError as error:
            raise ServiceError(f"Kairos cannot be started: {error.strerror}.", "Run kairos doctor.") from None
    if done.returncode == CANCELLED:
        raise Cancelled("Cancelled.", "Nothing was changed.")
    answer = _last_object(done.stdout)
    if done.returncode == 0 and isinstance(answer.get("values"), dict):
        return dict(answer["values"])
    why = answer.get("message") or _last_line(done.stderr) or f"it ended with status {done.returncode}"
    raise ServiceError(f"The settings window cannot be opened: {why}", str(answer.get("remedy", "")))


def windows_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """False where the environment asks for none."""
    return environment.get(ASK_VARIABLE) != "0" and not environment.get(SETTINGS_VARIABLE)


def show(text: str, launcher: Launcher = None, environment: Mapping[str, str] = os.environ) -> bool:
    """Shows a message in a window of the runtime, without waiting. False where no window is wanted or possible."""
    if not windows_wanted(environment):
        return False
    try:
        subprocess.Popen(
            [*launcher_command(launcher), "ask", "--message", text],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=own_environment(),
            **no_console(),
        )
    except (OSError, KairosError):
        return False
    return True


def last_settings(question: Question) -> Dict[str, Value]:
    """The settings that were used last, as far as they are still such; empty where there are none."""
    try:
        kept = json.loads(_last_file().read_text(encoding="utf-8"))[question.node]
    except (OSError, RuntimeError, ValueError, LookupError, TypeError):
        return {}
    found: Dict[str, Value] = {}
    for one in question.parameters:
        if isinstance(kept, dict) and one.name in kept:
            try:
                found[one.name] = one.check(kept[one.name])
            except BadRequest:
                continue
    return found


def own_environment() -> Dict[str, str]:
    """The host's environment without what belongs to the host alone: what a window of the runtime starts with."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}


def no_console() -> Dict[str, Any]:
    """Options of a process without a console window, which Windows would open for the launcher."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW}
    return {}


def _remember(question: Question, values: Mapping[str, Value]) -> None:
    """Keeps them for the next time; a full or read-only disk costs no more than that."""
    try:
        path = _last_file()
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            kept = {}
        kept = kept if isinstance(kept, dict) else {}
        kept[question.node] = {**(kept.get(question.node) or {}), **values}
        write_whole(path, json.dumps(kept, indent=2, sort_keys=True) + "\n")
    except (OSError, RuntimeError):
        return


def _last_file() -> Path:
    given = os.environ.get(LAST_VARIABLE)
    return Path(given) if given else data_folder() / "settings.json"


def _differing(question: Question, values: Mapping[str, Value]) -> str:
    """What is not at its default, for people."""
    defaults = {one.name: one.default for one in question.parameters}
    return ", ".join(f"{name} {value}" for name, value in values.items() if value != defaults.get(name))


def _object(text: str) -> Dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadRequest(f"{SETTINGS_VARIABLE} is no JSON: {error}.", 'Write it such as {"speed": "0.25"}.') from None
    if not isinstance(found, dict):
        raise BadRequest(f"{SETTINGS_VARIABLE} is no JSON object.", 'Write it such as {"speed": "0.25"}.')
    return found


def _last_object(text: str) -> Dict[str, Any]:
    """The last line that is a JSON object; libraries may have printed others."""
    for line in reversed(text.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
