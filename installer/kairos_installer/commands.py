"""Runs the commands that build the runtime, with their output in a log."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, Callable, Deque, Mapping, Optional, Sequence

from kairos_installer.messages import explain
from kairos_nodes.errors import Cancelled, KairosError

_TAIL = 200


class CommandFailed(KairosError):
    """A command ended with an error. ``output`` is the end of what it printed."""

    def __init__(self, message: str, remedy: str, output: str) -> None:
        super().__init__(message, remedy)
        self.output = output


class Commands:
    """Runs commands one after the other.

    Args:
        log: file that every command's output is added to.
        environment: variables they see.
        tick: called several times a second with the latest line.
        lock: descriptor of the builder's lock, inherited so that an orphaned command keeps it.
    """

    def __init__(
        self, log: Path, environment: Mapping[str, str], tick: Callable[[str], None], lock: Optional[int] = None
    ) -> None:
        self.log = log
        self._environment = dict(environment)
        self._tick = tick
        self._lock = lock

    def run(self, arguments: Sequence[str], extra: Optional[Mapping[str, str]] = None) -> str:
        """Runs a command to its end and answers with the last lines that it printed.

        Raises:
            CommandFailed: it cannot be started, or ends with an error; the message says why in one line.
            Cancelled: Ctrl-C.
        """
        tail: Deque[str] = deque(maxlen=_TAIL)
        inherited = () if self._lock is None or sys.platform == "win32" else (self._lock,)
        try:
            process = subprocess.Popen(
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                env={**self._environment, **(extra or {})},
                pass_fds=inherited,
            )
        except OSError as error:
            raise CommandFailed(f"{arguments[0]} cannot be started: {error}.", self._where(), str(error)) from None
        assert process.stdout is not None
        reader = threading.Thread(target=self._read, args=(arguments, process.stdout, tail), daemon=True)
        reader.start()
        try:
            while reader.is_alive():
                reader.join(0.2)
                self._tick(tail[-1].strip() if tail else "")
            status = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            raise Cancelled("Stopped.", "Run the same command again to go on from here.") from None
        output = "".join(tail)
        if status != 0:
            said = output if status > 0 else f"{output}\nIt was killed by signal {-status}."
            raise CommandFailed(explain(said), self._where(), output)
        return output

    def _where(self) -> str:
        return f"The full log is {self.log}."

    def _read(self, arguments: Sequence[str], stream: IO[str], tail: Deque[str]) -> None:
        """Copies a command's output to the log and the tail. A log that cannot be written is done without."""
        log: Optional[IO[str]] = None
        with contextlib.suppress(OSError):
            log = self.log.open("a", encoding="utf-8")
            log.write(f"\n{time.strftime('%Y-%m-%d %H:%M:%S')}  {' '.join(arguments)}\n")
        for line in stream:
            tail.append(line)
            if log is not None:
                try:
                    log.write(line)
                    log.flush()
                except OSError:
                    log = None
        if log is not None:
            with contextlib.suppress(OSError):
                log.close()


def replace_process(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Becomes another program: signals and exit status are its own. On Windows it runs as a child instead."""
    if sys.platform != "win32":
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(arguments[0], list(arguments), dict(environment))
    child = subprocess.Popen(list(arguments), env=dict(environment))
    while True:
        # Ctrl-C reaches the child too; it decides what to do about it.
        with contextlib.suppress(KeyboardInterrupt):
            return child.wait()
