"""A progress window of the runtime with a Cancel button, for hosts that have none of their own."""

from __future__ import annotations

import json
import os
import subprocess
from types import TracebackType
from typing import Mapping, Optional, Type

from kairos_nodes.asking import CANCELLED, no_console, own_environment, windows_wanted
from kairos_nodes.client.starting import Launcher, launcher_command
from kairos_nodes.errors import KairosError


class ProgressWindow:
    """A window while a job runs; without a display, or where windows are not wanted, all of it does nothing.

    Args:
        title: what is rendered.
        launcher: as of :func:`kairos_nodes.client.starting.launcher_command`.
        environment: ``KAIROS_SETTINGS`` and ``KAIROS_ASK``.
    """

    def __init__(self, title: str, launcher: Launcher = None, environment: Mapping[str, str] = os.environ) -> None:
        self._title, self._launcher, self._environment = title, launcher, environment
        self._process: Optional[subprocess.Popen[str]] = None

    def __enter__(self) -> ProgressWindow:
        if windows_wanted(self._environment):
            try:
                self._process = subprocess.Popen(
                    [*launcher_command(self._launcher), "ask", "--progress", self._title],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=own_environment(),
                    encoding="utf-8",
                    **no_console(),
                )
            except (OSError, KairosError):
                self._process = None
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Closes it: the window ends when nobody can write to it any more."""
        process = self._process
        if process is not None and process.stdin is not None:
            try:
                process.stdin.close()
            except OSError:
                # It was closed at the other end, and what was left to write no longer matters.
                process.poll()

    @property
    def cancelled(self) -> bool:
        """Whether the artist pressed Cancel or closed it."""
        return self._process is not None and self._process.poll() == CANCELLED

    def show(self, done: int, total: int, text: str = "") -> None:
        """Shows how far it is.

        Args:
            done, total: frames.
            text: what is being done.
        """
        process = self._process
        if process is None or process.stdin is None or process.poll() is not None:
            return
        try:
            process.stdin.write(json.dumps({"done": done, "total": total, "text": text}) + "\n")
            process.stdin.flush()
        except (OSError, ValueError):
            self._process = process if process.poll() == CANCELLED else None
