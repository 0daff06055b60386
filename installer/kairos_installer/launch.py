"""What the launchers start when the runtime is not ready yet, and for ``kairos test``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import List

from kairos_installer import testing
from kairos_installer.commands import replace_process
from kairos_installer.machine import clean_environment
from kairos_installer.runtime import Runtime, ensure
from kairos_nodes.errors import KairosError


def main(arguments: List[str]) -> int:
    """Makes the runtime ready, then becomes the command line.

    Args:
        arguments: the checkout's folder, then those of the command line.
    """
    checkout, rest = Path(arguments[0]).resolve(), arguments[1:]
    runtime = Runtime.of(checkout, os.environ)
    try:
        if rest[:1] == ["test"]:
            ensure(runtime, os.environ, testing=True)
            return testing.run(runtime, rest[1:], os.environ)
        ensure(runtime, os.environ)
    except KairosError as error:
        print(f"kairos: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("kairos: stopped; run the same command again to go on from here.", file=sys.stderr)
        return 130
    return replace_process([str(runtime.python), "-I", "-m", "kairos", *rest], clean_environment(os.environ))
