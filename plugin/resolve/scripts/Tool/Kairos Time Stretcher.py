"""Renders the selected TimeStretcher's Source Time, and puts a Loader in its place."""

import json
import os
import sys
from pathlib import Path

ACTION = "time_stretcher"


def places():
    """Folders in which Kairos may lie: beside the scripts, around them, or where its installer says."""
    # Resolve does not always say where a script lies.
    own = Path(globals().get("__file__") or places.__code__.co_filename)
    if own.is_file():
        folders = list(own.resolve().parents)
        yield folders[1] / "kairos"
        yield from folders[4:5]
    home = Path.home()
    data = {
        "win32": Path(os.environ.get("LOCALAPPDATA") or str(home / "AppData" / "Local")) / "kairos",
        "darwin": home / "Library" / "Application Support" / "kairos",
    }.get(sys.platform, home / ".local" / "share" / "kairos")
    record = Path(os.environ.get("KAIROS_HOME_FILE") or str(data / "home.json"))
    if record.is_file():
        yield Path(json.loads(record.read_text(encoding="utf-8"))["home"])
    fusion = globals().get("fusion") or globals().get("fu")
    for folder in str(fusion.MapPath("Scripts:")).split(";") if fusion else ():
        yield Path(folder) / "kairos"


def start():
    """Runs the script; whatever is wrong becomes one line on the console."""
    if sys.version_info < (3, 9):  # noqa: UP036 - Resolve takes whatever Python it finds
        print(f"Kairos: this Python is {sys.version.split()[0]}. Install 3.9 or later for Resolve to find.")
        return
    try:
        for place in places():
            inner = ("nodes", "plugin/resolve") if (place / "nodes" / "kairos_nodes").is_dir() else ("",)
            if (place / inner[0] / "kairos_nodes").is_dir():
                sys.path += [str(place / one) for one in inner if str(place / one) not in sys.path]
        from kairos_resolve.main import run
    except Exception as error:
        print(f"Kairos was not found ({error}). Install it again: kairos install resolve.")
        return
    run(ACTION, globals())


start()
