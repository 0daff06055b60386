"""Command line options made from the one parameter table."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Callable, Dict, List, Mapping, Optional, Sequence

import typer

from kairos.errors import BadRequest
from kairos_nodes.parameters import Parameter, parameters_of

Body = Callable[[Dict[str, Any]], int]
"""A command's work: checked values by parameter name in, exit status out."""

TEXT: Mapping[str, type] = {"bool": bool}
"""Every other kind arrives as text and is checked by its own parameter, so that one message serves all front ends."""


def add_job_command(app: typer.Typer, job: str, summary: str, body: Body, extra: Sequence[Parameter] = ()) -> None:
    """Adds a command whose arguments and options are those that the table gives to one job.

    Args:
        app: where the command goes.
        job: ``retime``, ``vectors`` or ``inbetween``; the command has the same name.
        summary: first line of its help.
        body: its work.
        extra: parameters that only the command line has.
    """
    table = {parameter.name: parameter for parameter in [*parameters_of(job), *extra]}

    def command(**given: Any) -> None:
        values = {name: checked(table[name], value) for name, value in given.items()}
        raise typer.Exit(body(values))

    signature = [_argument(parameter) for parameter in table.values() if parameter.flag is None]
    signature += [_option(parameter) for parameter in table.values() if parameter.flag is not None]
    command.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in signature}
    command.__doc__ = summary
    app.command(job)(command)


def checked(parameter: Parameter, value: Any) -> Any:
    """A value as the parameter wants it; None stays None (not given). Raises BadRequest naming the flag."""
    return parameter.default if value is None else parameter.check(value)


def _argument(parameter: Parameter) -> inspect.Parameter:
    annotation = Annotated[str, typer.Argument(help=parameter.help, show_default=False, metavar=parameter.name.upper())]
    return inspect.Parameter(parameter.name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


def _option(parameter: Parameter) -> inspect.Parameter:
    kind = TEXT.get(parameter.kind, str)
    default = False if kind is bool else None
    shown = "" if parameter.default in (None, "", False) else f" [{parameter.default}]"
    option = typer.Option(*_flags(parameter), help=parameter.help + shown, show_default=False, metavar=_metavar(parameter))
    annotation = Annotated[Optional[kind], option]  # type: ignore[valid-type]
    return inspect.Parameter(
        parameter.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _flags(parameter: Parameter) -> List[str]:
    assert parameter.flag is not None
    return [flag.strip() for flag in parameter.flag.split("/")][:1]


def _metavar(parameter: Parameter) -> Optional[str]:
    if parameter.kind == "bool":
        return None
    if parameter.choices:
        return "|".join(parameter.choices)
    return parameter.kind.upper()


def exclusive(values: Mapping[str, Any], *names: str) -> None:
    """Raises BadRequest where more than one of ``names`` was given."""
    given = [name for name in names if values.get(name) not in (None, "")]
    if len(given) > 1:
        flags = ", ".join("--" + name.replace("_", "-") for name in given)
        raise BadRequest(f"{flags} exclude each other.", "Give one of them.")
