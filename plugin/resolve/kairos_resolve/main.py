"""The way into every script: finds what Resolve gives it, runs, and tells errors in the artist's words."""

from __future__ import annotations

import traceback
from typing import Any, Callable, Dict, Mapping, Optional

from kairos_nodes.asking import show
from kairos_nodes.errors import BadRequest, Cancelled, KairosError
from kairos_resolve import slow_motion, time_stretcher, vectors
from kairos_resolve.work import keep_trace


def run(action: str, given: Mapping[str, Any]) -> bool:
    """Runs a script; never raises.

    Args:
        action: ``slow_motion``, ``vectors`` or ``time_stretcher``.
        given: the script's globals, where Resolve and Fusion put ``resolve``, ``fusion``, ``comp``, ``tool``, ``bmd``.

    Returns:
        Whether it did what was asked.
    """
    try:
        _ACTIONS[action](given)
    except Cancelled as error:
        tell(error.message)
    except KairosError as error:
        tell(str(error))
        show(f"{error.message}\n\n{error.remedy}".strip())
    except Exception as error:
        # Resolve's objects answer None for much that goes wrong; an artist has no use for where that was noticed.
        log = keep_trace(traceback.format_exc())
        tell(f"something unexpected went wrong: {type(error).__name__}: {error}. Details: {log}")
    else:
        return True
    return False


def tell(text: str) -> None:
    """A line on the console of Resolve (Workspace > Console)."""
    print(f"Kairos: {text}", flush=True)


def resolve_of(given: Mapping[str, Any]) -> Optional[Any]:
    """Resolve itself; None in Fusion Studio."""
    found = given.get("resolve")
    for name, method, arguments in (("bmd", "scriptapp", ("Resolve",)), ("fusion", "GetResolve", ())):
        host = given.get(name)
        if not found and host is not None and getattr(host, method, None):
            found = getattr(host, method)(*arguments)
    return found or None


def _slow_motion(given: Mapping[str, Any]) -> None:
    slow_motion.run(_needed(given), tell)


def _vectors(given: Mapping[str, Any]) -> None:
    vectors.run(_needed(given), tell)


def _time_stretcher(given: Mapping[str, Any]) -> None:
    composition = given.get("comp") or given.get("composition")
    fusion = given.get("fusion") or given.get("fu")
    if not composition and fusion is not None:
        composition = fusion.GetCurrentComp()
    if not composition:
        raise BadRequest("No composition is open.", "Open it on the Fusion page, and select the TimeStretcher.")
    time_stretcher.run(composition, tell, given.get("tool"), resolve_of(given))


def _needed(given: Mapping[str, Any]) -> Any:
    found = resolve_of(given)
    if not found:
        raise BadRequest("This script needs DaVinci Resolve.", "Run it from Workspace > Scripts.")
    return found


_ACTIONS: Dict[str, Callable[[Mapping[str, Any]], None]] = {
    "slow_motion": _slow_motion,
    "vectors": _vectors,
    "time_stretcher": _time_stretcher,
}
