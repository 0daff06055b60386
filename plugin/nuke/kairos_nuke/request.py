"""What one render of a Kairos node comes to, from its knobs and inputs as they are now."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import nuke

from kairos_nodes.cache import fingerprint, folder, pattern
from kairos_nodes.errors import BadRequest
from kairos_nodes.jobs import Job, RetimeJob
from kairos_nodes.nodes import Node
from kairos_nodes.rational import exact
from kairos_nodes.timing import TimeMap, map_text
from kairos_nuke.build import node_of
from kairos_nuke.inner import MATTE, SOURCE
from kairos_nuke.knobs import FRAME, TIMING, knobs_of, timing_of, values_of
from kairos_nuke.plate import by_view, localised, missing_spans, tree_facts

_AROUND = 2
"""Source frames to both sides of a previewed one: engines look at the neighbours of the pair between which it lies."""

_NOT_OF_PICTURES = ("input", "output", "matte", "frame_map", "overwrite", "device")
"""Fields of a job that leave its pictures as they are, or for which others stand in its fingerprint."""


@dataclass(frozen=True)
class Request:
    """One render.

    Attributes:
        title: node and source, for messages.
        job: for the runtime; where the script has several views its paths have ``%V`` in place of the view.
        plate, matte: sequences to write first; the matte's is empty where none is connected.
        source: source frames, both included.
        output: output frames, both included.
        map: text of the job's frame map; empty where it has none.
        times: which source time each output frame shows; None for nodes that do not retime.
    """

    title: str
    job: Job
    plate: str
    matte: str
    source: Tuple[int, int]
    output: Tuple[int, int]
    map: str = ""
    times: Optional[TimeMap] = None

    @property
    def result(self) -> str:
        """The sequence that the job writes."""
        return str(self.job.to_dict()["output"])

    @property
    def place(self) -> Path:
        """The result's folder, named by its fingerprint."""
        return Path(self.result).parent

    def complete(self) -> bool:
        """Whether every output frame is there, in every view."""
        return not missing_spans(self.result, *self.output)

    def jobs(self) -> List[Job]:
        """What the runtime has to do: the job once for each view, with paths as this machine has them.

        In Nuke's main thread, which knows views and file name filters.
        """
        fields = self.job.to_dict()
        paths = {name: by_view(localised(str(fields[name]))) for name in ("input", "output", "matte")}
        count = len(paths["output"])
        maps = {"frame_map": localised(fields["frame_map"])} if fields.get("frame_map") else {}
        return [
            replace(self.job, **maps, **{name: views[index % len(views)] for name, views in paths.items()})
            for index in range(count)
        ]


def request_of(group: nuke.Node) -> Request:
    """The request for all of a node's output frames. Touches no file.

    Raises:
        BadRequest: nothing is connected, or a knob's value cannot be, naming node and knob.
    """
    node = node_of(group)
    source = group.input(SOURCE)
    if source is None:
        raise BadRequest(f"{group.name()} has no Source.", "Connect the plate.")
    read = _read_knobs(group, node)
    first, last = _source_range(group, source, read)
    plate = _sequence("plates", tree_facts(source, group, first, last), "plate")
    matte_node = group.input(MATTE)
    matte = ""
    if matte_node is not None:
        matte = _sequence("mattes", tree_facts(matte_node, group, first, last), "matte")
    timing = timing_of(node, str(read.get(TIMING, "")))
    mapped = map_text(_sampled(group, first, last)) if timing == "frame_map" else ""
    values = values_of(node, read)
    if mapped:
        values["frame_map"] = "map.txt"
    job = _job(group, node, values, timing)
    times = _times(job, mapped, first, last)
    output = (first, last)
    if times is not None:
        begin = first if times.start is None else times.start
        output = (begin, begin + len(times) - 1)
        job = replace(job, start=begin)  # type: ignore[call-arg]
    facts = {name: value for name, value in job.to_dict().items() if name not in _NOT_OF_PICTURES}
    inputs = {"plate": Path(plate).parent.name, "matte": Path(matte).parent.name}
    result = _sequence("results", {"kind": job.kind, "job": facts, "map": mapped, **inputs}, "result")
    job = _with_paths(job, plate, matte, result, mapped)
    title = f"{group.name()} ({source.name()})"
    return Request(title, job, plate, matte, (first, last), output, mapped, times)


def preview_of(group: nuke.Node, frame: int) -> Request:
    """The request for one output frame, which needs but a few source frames.

    The engine settles its exposure on those few frames, to half a stop. As a rule it comes to the render's own, and the
    preview is the render to the bit; where the light changes it may be a step apart, and so may vectors where two ways
    fit about as well.

    Raises:
        BadRequest: as of :func:`request_of`, or the frame is none of the node's.
    """
    whole = request_of(group)
    first, last = whole.output
    if not first <= frame <= last:
        raise BadRequest(
            f"{group.name()} has no output frame {frame}; it has {first}-{last}.", "Move the Viewer, or set the range."
        )
    low, high, mapped, job = frame, frame, "", whole.job
    if whole.times is not None:
        # The frames before and after come along: vectors and shutter reach as far.
        steps = [k for k in (frame - 1, frame, frame + 1) if first <= k <= last]
        shown = whole.times.with_phase(str(whole.job.to_dict()["phase"]))
        around = [shown[k - first] for k in steps]
        low, high = math.floor(min(around)), math.ceil(max(around))
        mapped = map_text((k, whole.times[k - first]) for k in steps)
        job = replace(job, speed=None, to_fps=None, start=steps[0])  # type: ignore[call-arg]
    low, high = max(whole.source[0], low - _AROUND), min(whole.source[1], high + _AROUND)
    job = replace(job, range=f"{low}-{high}", frames=str(frame))  # type: ignore[call-arg]
    result = _sequence("previews", {"whole": whole.place.name, "frame": frame}, "preview")
    job = _with_paths(job, whole.plate, whole.matte, result, mapped)
    return Request(whole.title, job, whole.plate, whole.matte, (low, high), (frame, frame), mapped)


def _job(group: nuke.Node, node: Node, values: Mapping[str, object], timing: Optional[str]) -> Job:
    """The node's job, with file names that :func:`_with_paths` replaces."""
    values = {name: None if name == "to_fps" and not value else value for name, value in values.items()}
    try:
        job = node.make_job("plate.%04d.exr", "result.%04d.exr", values, timing)
    except BadRequest as error:
        raise BadRequest(f"{group.name()}: {error.message}", error.remedy) from None
    if timing == "to_fps":
        job = replace(job, fps=f"{float(nuke.root()['fps'].value()):.6g}")  # type: ignore[call-arg]
    return job


def _with_paths(job: Job, plate: str, matte: str, result: str, mapped: str) -> Job:
    paths: Dict[str, Any] = {"input": plate, "output": result, "matte": matte}
    if isinstance(job, RetimeJob):
        paths["frame_map"] = (Path(result).parent / "map.txt").as_posix() if mapped else None
    return replace(job, **paths)


def _read_knobs(group: nuke.Node, node: Node) -> Dict[str, Any]:
    """Knob values by name. Raises BadRequest for a knob that is animated and must not be."""
    read: Dict[str, Any] = {}
    for one in knobs_of(node):
        if one.kind in ("tab", "button"):
            continue
        knob = group[one.name]
        if one.name != FRAME and knob.isAnimated() and not knob.hasExpression():
            remedy = f"Remove its keys{', or animate Frame' if node.timings else ''}."
            raise BadRequest(f"{group.name()}: {one.label} is animated; it has one value for the whole shot.", remedy)
        read[one.name] = knob.value()
    return read


def _source_range(group: nuke.Node, source: nuke.Node, read: Mapping[str, Any]) -> Tuple[int, int]:
    first, last = int(read["input_first"]), int(read["input_last"])
    if last < first:
        raise BadRequest(f"{group.name()}: Input last {last} lies before Input first {first}.", "Set the input range.")
    begins, ends = int(source.firstFrame()), int(source.lastFrame())
    # A still, or a generator, has one frame or none, and is there at every frame.
    if ends > begins and (first < begins or last > ends):
        raise BadRequest(
            f"{group.name()}: the input range {first}-{last} goes beyond {source.name()}, which has {begins}-{ends}.",
            "Press Reset range, or set Input first and Input last.",
        )
    if not source.channels():
        raise BadRequest(f"{group.name()}: {source.name()} has no channels.", "Connect a picture.")
    return first, last


def _sampled(group: nuke.Node, first: int, last: int) -> List[Tuple[int, Fraction]]:
    """The Frame knob at each output frame: over its keys, or the source range where it has none."""
    knob = group[FRAME]
    keys = [int(frame) for frame in knob.getKeyList()] or [first, last]
    start, end = min(keys), max(keys)
    return [(frame, exact(round(float(knob.getValueAt(frame)), 9))) for frame in range(start, end + 1)]


def _times(job: Job, mapped: str, first: int, last: int) -> Optional[TimeMap]:
    """Source times by output frame, as the runtime counts them."""
    if not isinstance(job, RetimeJob):
        return None
    if mapped:
        return TimeMap.from_text(mapped, first, last)
    if job.to_fps is not None:
        return TimeMap.to_rate(str(job.fps), job.to_fps, first, last)
    return TimeMap.constant(str(job.speed), first, last)


def _sequence(kind: str, facts: Mapping[str, object], name: str) -> str:
    """A sequence in the cache, with a place for the view where the script has several."""
    views = list(nuke.views())
    several = len(views) > 1
    place = folder(kind, fingerprint({**facts, "views": views if several else []}), os.environ.get("NUKE_TEMP_DIR"))
    return pattern(place, f"{name}.%V" if several else name)
