"""Command line options made from the one parameter table."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Callable, Dict, Optional

import typer

from kairos_nodes.parameters import Parameter, parameters_of

Body = Callable[[Dict[str, Any]], int]
"""A command's work: checked values by parameter name in, exit status out."""


def add_job_command(app: typer.Typer, job: str, summary: str, body: Body) -> None:
    """Adds a command whose arguments and options are those that the table gives to one job.

    Values arrive as text and are checked by their own parameter, so that one message serves all front ends.

    Args:
        app: where the command goes.
        job: ``retime``, ``vectors`` or ``inbetween``; the command has the same name.
        summary: first line of its help.
        body: its work.
    """
    table = {parameter.name: parameter for parameter in parameters_of(job)}

    def command(**given: Any) -> None:
        raise typer.Exit(body({name: table[name].check(value) for name, value in given.items()}))

    signature = [_argument(parameter) for parameter in table.values() if parameter.flag is None]
    signature += [_option(parameter, parameter.flag) for parameter in table.values() if parameter.flag is not None]
    command.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in signature}
    command.__doc__ = summary
    app.command(job)(command)


def _argument(parameter: Parameter) -> inspect.Parameter:
    annotation = Annotated[str, typer.Argument(help=parameter.help, show_default=False, metavar=parameter.name.upper())]
    return inspect.Parameter(parameter.name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


def _option(parameter: Parameter, flag: str) -> inspect.Parameter:
    shown = "" if parameter.default in (None, "", False) else f" Default: {parameter.default}."
    switch = parameter.kind == "bool"
    option = typer.Option(
        flag, help=parameter.help + shown, show_default=False, metavar=None if switch else _metavar(parameter)
    )
    annotation = Annotated[Optional[bool], option] if switch else Annotated[Optional[str], option]
    return inspect.Parameter(parameter.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _metavar(parameter: Parameter) -> str:
    if parameter.choices:
        return "|".join([*parameter.choices, *([parameter.form] if parameter.form else [])])
    return (parameter.form or parameter.kind).upper()
