"""Does the runtime work? Imports every library once. Runs inside the environment, by its own Python."""

from __future__ import annotations

import importlib
import sys

LIBRARIES = ("numpy", "cv2", "OpenImageIO", "PyOpenColorIO", "av", "torch", "fileseq", "skimage", "typer", "rich")


def check() -> int:
    """Prints one ``error:`` line for each library that cannot be loaded. Answers with how many there are."""
    broken = 0
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except Exception as error:  # A broken library may raise anything while it loads.
            reason = " ".join(str(error).split())
            if ".so" in reason and "cannot open shared object file" in reason:
                library = reason.partition(":")[0]
                reason = f"the system library {library} is missing: install the package that holds it"
            print(f"error: {name} does not load: {reason}", flush=True)
            broken += 1
    return broken


if __name__ == "__main__":
    sys.exit(min(check(), 100))
