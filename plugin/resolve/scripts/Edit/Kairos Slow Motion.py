"""Slows the clip at the playhead, and puts the result on the track above or into the clip as a take."""

import json
import os
import sys
from pathlib import Path

ACTION = "slow_motion"


def places():
    """Folders in which Kairos may lie: beside the scripts, around them, or where its installer recorded it."""
    # Resolve does not always say where a script lies.
    own = globals().get("__file__")
    if own:
        folders = list(Path(own).resolve().parents)
        for folder in [folders[1] / "kairos", *folders[4:5]]:
            yield folder
    home = Path.home()
    data = {
        "win32": Path(os.environ.get("LOCALAPPDATA") or str(home / "AppData" / "Local")) / "kairos",
        "darwin": home / "Library" / "Application Support" / "kairos",
    }.get(sys.platform, home / ".local" / "share" / "kairos")
    record = Path(os.environ.get("KAIROS_HOME_FILE") or str(data / "home.json"))
    if record.is_file():
        yield Path(json.loads(record.read_text(encoding="utf-8"))["home"])


def start():
    """Runs the script; whatever is wrong becomes one line on the console."""
    if sys.version_info < (3, 9):
        print("Kairos: this Python is %d.%d. Choose 3.9 or later in Resolve's preferences." % sys.version_info[:2])
        return
    try:
        for place in places():
            inner = ("nodes", "plugin/resolve") if (place / "nodes" / "kairos_nodes").is_dir() else ("",)
            if (place / inner[0] / "kairos_nodes").is_dir():
                sys.path += [str(place / one) for one in inner if str(place / one) not in sys.path]
        from kairos_resolve.main import run
    except Exception as error:
        print("Kairos was not found (%s). Install it again: kairos install resolve." % error)
        return
    run(ACTION, globals())


start()
