"""A job as arguments of the command line, for hosts and farms that run ``kairos`` as a process."""

from __future__ import annotations

from typing import List

from kairos_nodes.jobs import Job
from kairos_nodes.parameter import Parameter
from kairos_nodes.parameters import parameters_of


def job_arguments(job: Job) -> List[str]:
    """What follows ``kairos``: the job's name, options where they differ from their defaults, then its paths.

    A value never looks like an option to the command line (``--speed=-1``), nor does a path (they follow ``--``).
    """
    options: List[str] = []
    paths: List[str] = []
    for parameter in parameters_of(job.kind):
        if not parameter.in_job:
            continue
        value = getattr(job, parameter.name)
        if parameter.flag is None:
            paths.append(str(value))
        elif value != parameter.default:
            options.append(_option(parameter, parameter.flag, value))
    return [job.kind, *options, "--", *paths]


def _option(parameter: Parameter, flag: str, value: object) -> str:
    if parameter.kind == "bool":
        on, _, off = flag.partition("/")
        return on if value else off
    return f"{flag}={value}"
