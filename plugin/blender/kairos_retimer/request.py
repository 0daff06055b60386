# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Kairos node asks of the runtime: its job, and the folder of its result."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import bpy

from kairos_nodes.cache import fingerprint, pattern
from kairos_nodes.errors import BadRequest
from kairos_nodes.jobs import Job
from kairos_nodes.nodes import Node
from kairos_nodes.rational import exact
from kairos_nodes.timing import map_text

from .inner import Result
from .properties import values_of
from .running import cache_folder
from .source import plate_of

RECORD = "done.json"
"""Lies in a result's folder once all its frames are there."""


@dataclass(frozen=True)
class Request:
    """What one render of a node comes to.

    Attributes:
        job: for the runtime.
        folder: of the result.
    """

    job: Job
    folder: Path

    def finished(self) -> Optional[Result]:
        """The whole result, where it is there already."""
        try:
            record = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
            result = Result(self.folder, int(record["first"]), int(record["last"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return result if result.file.is_file() else None

    def finish(self) -> Result:
        """Notes that all frames are there. Raises BadRequest where there are none."""
        numbers = sorted(int(path.name.split(".")[-2]) for path in self.folder.glob("result.*.exr"))
        if not numbers:
            raise BadRequest(f"There is no result in {self.folder}.", "Render the node again.")
        result = Result(self.folder, numbers[0], numbers[-1])
        record = {"first": result.first, "last": result.last, "job": self.job.to_dict()}
        (self.folder / RECORD).write_text(json.dumps(record), encoding="utf-8")
        return result

    def preview(self, frame: int) -> Optional[Result]:
        """One frame of the result, where it is there."""
        result = Result(self.folder, frame, frame)
        return result if result.file.is_file() else None


def request_of(context: Any, kairos: Node, node: Any) -> Request:
    """The request for a node as its settings and its plate are now.

    Args:
        context: Blender's.
        kairos: which of Kairos' nodes it is.
        node: Blender's node.

    Raises:
        KairosError: there is no plate, a setting cannot be, or the cache cannot be written.
    """
    plate = plate_of(context, node)
    scene = node.scene or context.scene
    values: Dict[str, object] = {**values_of(kairos, node), "range": plate.range}
    if not values.get("fps"):
        values["fps"] = plate.rate
    if not values.get("ocio"):
        values["ocio"] = blender_config()
    if not values.get("start"):
        # A render stays where it was on the timeline; footage begins with the scene.
        values["start"] = plate.first if node.source == "RENDER" else scene.frame_start
    timing = node.timing if kairos.timings else None
    text = ""
    if timing == "frame_map":
        # A map says itself which output frames there are.
        values["start"] = None
        samples = keyed_frames(node)
        if samples:
            text = map_text(samples)
            values["frame_map"] = "map.txt"
        elif not values.get("frame_map"):
            raise BadRequest(
                f"{kairos.title}: Source Frame has no keys.", "Animate Source Frame, or choose a map file under Timing."
            )
    job = kairos.make_job(plate.spec, "result.%04d.exr", values, timing)
    print_of = fingerprint({"job": job.to_json(), "plate": plate.identity(), "map": text, "file_map": _map_of(job)})
    folder = cache_folder(context, "results", print_of)
    job = replace(job, output=pattern(folder, "result"))  # type: ignore[call-arg]
    if text:
        (folder / "map.txt").write_text(text, encoding="utf-8")
        job = replace(job, frame_map=(folder / "map.txt").as_posix())  # type: ignore[call-arg]
    job.validate()
    return Request(job, folder)


def settings_print(kairos: Node, node: Any) -> str:
    """Changes when a setting does: cheap enough for a panel that tells a stale result."""
    facts: Dict[str, object] = dict(values_of(kairos, node))
    for name in ("source", "file", "timing"):
        facts[name] = getattr(node, name, "")
    facts["scene"] = node.scene.name if node.scene else ""
    if facts["timing"] == "frame_map":
        facts["keys"] = [f"{frame} {time}" for frame, time in keyed_frames(node)]
    return fingerprint(facts)


def keyed_frames(node: Any) -> List[Tuple[int, Fraction]]:
    """Source Frame at every scene frame from its first key to its last, empty where it has none."""
    animation = node.id_data.animation_data
    action = animation.action if animation else None
    if action is None:
        return []
    wanted = node.path_from_id("source_frame")
    curve = next((one for one in _curves(action, animation) if one.data_path == wanted), None)
    if curve is None or len(curve.keyframe_points) == 0:
        return []
    keys = [point.co[0] for point in curve.keyframe_points]
    frames = range(round(min(keys)), round(max(keys)) + 1)
    # Five decimals are more than a float32 key holds, and drop what its last bit adds.
    return [(frame, exact(f"{curve.evaluate(frame):.5f}")) for frame in frames]


def blender_config() -> str:
    """Blender's own OCIO configuration: footage comes back in the scene-linear space that Blender works in."""
    if os.environ.get("OCIO"):
        return os.environ["OCIO"]
    place = Path(bpy.utils.resource_path("LOCAL")) / "datafiles" / "colormanagement" / "config.ocio"
    return str(place) if place.is_file() else ""


def _curves(action: Any, animation: Any) -> Any:
    """Curves of an action; from 5.0 on they lie in the slot's channel bag."""
    if hasattr(action, "fcurves"):
        return action.fcurves
    from bpy_extras.anim_utils import action_get_channelbag_for_slot

    bag = action_get_channelbag_for_slot(action, animation.action_slot)
    return bag.fcurves if bag is not None else ()


def _map_of(job: Job) -> str:
    """The text of a map file: what counts is what it says."""
    path = getattr(job, "frame_map", None)
    if not path or path == "map.txt":
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"The frame map {path} cannot be read: {error.strerror}.", "Choose another.") from None
