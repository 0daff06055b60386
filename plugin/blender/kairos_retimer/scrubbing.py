# SPDX-License-Identifier: GPL-3.0-or-later
"""Preview while scrubbing: when the playhead rests, the frame there is made in the background and shown."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional, Tuple

import bpy
from bpy.app.handlers import persistent

from kairos_nodes.errors import KairosError

from .nodes import all_nodes, find_node
from .operators import made_preview, one_frame, show_result
from .request import Request, request_of, settings_print
from .running import Run, begin, drop, end

REST_SECONDS = 0.25
"""How long the playhead must lie still: while it is dragged, or the animation plays, nothing is begun."""

TICK_SECONDS = 0.1

_moved: List[float] = []
"""When the playhead was moved last, until that has been acted upon."""

_jobs: Dict[str, Tuple[Run, Request, int, str]] = {}
"""Previews on their way, by node: the run, its request, the frame, and the settings it is made with."""


@persistent
def playhead_moved(scene: Any, depsgraph: Any = None) -> None:
    """Blender's frame_change_post: notes the time alone, so that scrubbing stays quick."""
    if bpy.app.background or bpy.app.is_job_running("RENDER"):
        return
    if any(node.follow for node in all_nodes()):
        moved(time.monotonic())
        if not bpy.app.timers.is_registered(_timer):
            bpy.app.timers.register(_timer, first_interval=REST_SECONDS)


def moved(now: float) -> None:
    """The playhead was moved; ``now`` as :func:`time.monotonic` counts."""
    _moved[:] = [now]


def tick(context: Any, now: float) -> bool:
    """Looks after previews: begins those of a playhead that rests, shows those that are done.

    Args:
        context: Blender's.
        now: seconds, as :func:`time.monotonic` counts.

    Returns:
        Whether there is anything left to look after.
    """
    for key in list(_jobs):
        _follow(context, key)
    if _moved and now - _moved[0] >= REST_SECONDS:
        _moved.clear()
        for node in [node for node in all_nodes() if node.follow]:
            _begin(context, node)
    return bool(_moved or _jobs)


def _timer() -> Optional[float]:
    """Blender's timer; nothing it meets may end it with a traceback on the artist's terminal."""
    try:
        return TICK_SECONDS if tick(bpy.context, time.monotonic()) else None
    except (KairosError, OSError, ReferenceError) as error:
        print(f"Kairos: preview while scrubbing: {error}")
        return None


def _begin(context: Any, node: Any) -> None:
    """Shows the frame at the playhead, at once where it was made before."""
    key, frame, settings = node.key, context.scene.frame_current, settings_print(node.kairos, node)
    old = _jobs.pop(key, None)
    if old is not None:
        drop(context, old[0])
    try:
        request = request_of(context, node.kairos, node)
        done = request.finished() or request.preview(frame)
        if done is not None:
            if node.result != str(done.folder) or (node.result_first, node.result_last) != (done.first, done.last):
                show_result(context, key, done, settings)
            return
        _jobs[key] = begin(context, one_frame(request, frame), "Preview", key), request, frame, settings
    except (KairosError, OSError) as error:
        context.window_manager.kairos.trouble = str(error)
        context.window_manager.kairos.about = key


def _follow(context: Any, key: str) -> None:
    run, request, frame, settings = _jobs[key]
    if not run.poll():
        return
    del _jobs[key]

    def finished(outcome: Dict[str, Any]) -> None:
        find_node(context, key)
        show_result(context, key, made_preview(request, frame), settings)

    end(context, run, finished)


def register() -> None:
    """Listens to the playhead."""
    bpy.app.handlers.frame_change_post.append(playhead_moved)


def unregister() -> None:
    """Listens no more."""
    if playhead_moved in bpy.app.handlers.frame_change_post:
        bpy.app.handlers.frame_change_post.remove(playhead_moved)
    if bpy.app.timers.is_registered(_timer):
        bpy.app.timers.unregister(_timer)
    _jobs.clear()
    _moved.clear()
