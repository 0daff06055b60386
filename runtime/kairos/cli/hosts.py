"""``kairos install``: the plugin into Blender, Nuke or Resolve, and out again. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, List, Optional

import typer

from kairos.errors import BadRequest
from kairos_installer.hosts import HOSTS, System, states
from kairos_installer.hosts import install as put_in
from kairos_installer.hosts import uninstall as take_out


def add_commands(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("install")(install)


def install(
    host: Annotated[Optional[str], typer.Argument(metavar="[blender|nuke|resolve]", help="The host.")] = None,
    host_path: Annotated[
        Optional[List[Path]],
        typer.Option("--host-path", help="The host's program, settings or scripts folder, where it is not found."),
    ] = None,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Remove exactly what was installed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the hosts that are here, with their plugins.")] = False,
) -> None:
    """Put Kairos into Blender, Nuke or Resolve; run again after an update of Kairos."""
    if listed:
        found = states(System())
        for state in found:
            print(state.line)
        if not found:
            print(f"None of {', '.join(one.title for one in HOSTS.values())} was found in its standard places.")
        return
    if host is None:
        raise BadRequest("Which host?", f"kairos install {'|'.join(sorted(HOSTS))}, or kairos install --list")
    do = take_out if uninstall else put_in
    do(host.lower(), System(), lambda line: print(line, flush=True), paths=host_path or (), dry=dry_run)
