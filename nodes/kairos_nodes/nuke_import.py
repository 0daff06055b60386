"""A retime that was set up in Nuke (Kronos, OFlow, TimeWarp, Retime), taken over from its script text.

Knob names and meanings follow Foundry's reference guide of the four nodes.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from kairos_nodes.curves import Keyed
from kairos_nodes.errors import BadRequest
from kairos_nodes.nk import ScriptNode, read_script
from kairos_nodes.nuke_knobs import Knobs
from kairos_nodes.parameter import Value
from kairos_nodes.parameters import PARAMETERS
from kairos_nodes.ranges import parse_range
from kairos_nodes.rational import number_text
from kairos_nodes.timing import TimeMap, map_text

_KRONOS_MOTION = (
    "motionEstimation",
    "vectorDetail",
    "vectorDetailLocal",
    "vectorDetailReg",
    "smoothness",
    "smoothnessLocal",
    "strengthReg",
    "weightRed",
    "weightGreen",
    "weightBlue",
    "flickerCompensation",
    "legacyModeNuke9",
    "Tolerances",
    "overrideVectors",
    "vectorSpacing",
    "showVectors",
)
_LONGEST = 30_000
"""Output frames that an animated speed may take to reach the end of its input."""

_NEVER_ENDS, _FASTER = "is so slow that it never reaches input.last", "Raise the speed or shorten the range."

_STEPS = 16
"""Parts of a source frame in which a speed over source frames is summed up."""


@dataclass(frozen=True)
class Imported:
    """What a Nuke node asks for, in Kairos' terms.

    Attributes:
        node_class, name: of the Nuke node.
        timing: ``speed`` or ``frame_map``: what the time map goes into the job as.
        settings: Kairos' parameters by name, checked; ``speed`` among them where the speed is constant, ``range`` where
            the node or the caller gives one. A frame map is a file: write :meth:`map_text` and set ``frame_map``.
        time_map: which source time each output frame shows.
        notes: what was left out or taken differently, a sentence each, for the artist.
    """

    node_class: str
    name: str
    timing: str
    settings: Mapping[str, Value]
    time_map: TimeMap
    notes: Tuple[str, ...] = ()

    def map_text(self) -> str:
        """The time map as a map file."""
        return self.time_map.to_text()


def import_retime(text: str, name: Optional[str] = None, source_range: Optional[str] = None) -> Imported:
    """Reads the settings of one retiming node.

    Args:
        text: a script, or a node copied to the clipboard.
        name: which node; needed where the text has several that retime.
        source_range: source frames, such as ``1001-1048``, for a node that does not say its own; the node's own range
            counts before it.

    Raises:
        BadRequest: no such node, or naming the node and the knob that cannot be taken over and what to do about it.
    """
    nodes = [node for node in read_script(text) if node.cls in _READERS and name in (None, node.name)]
    known = ", ".join(("Kronos", "OFlow", "TimeWarp", "Retime"))
    if not nodes:
        wanted = "node that retimes" if name is None else f"retiming node named {name!r}"
        raise BadRequest(f"The Nuke script has no {wanted}.", f"Kairos reads {known}.")
    if len(nodes) > 1:
        names = ", ".join(node.name for node in nodes)
        raise BadRequest(f"The Nuke script has {len(nodes)} nodes that retime: {names}.", "Say which one, by its name.")
    given = None if source_range is None else parse_range(source_range, "Source range")
    return _READERS[nodes[0].cls](nodes[0], given)


Range = Optional[Tuple[int, int]]


def _kronos(node: ScriptNode, given: Range) -> Imported:
    knobs = Knobs(node)
    first, last = _input_range(knobs, given)
    settings: Dict[str, Value] = {"range": f"{first}-{last}"}
    timing = knobs.word("timing2", "Output Speed")
    if node.cls.startswith("OFX"):
        timing = "Frame" if knobs.word("timing", "Speed") == "Source Frame" else "Output Speed"
    frame, output = (
        ("timingFrame", "timingSpeed") if node.cls.startswith("OFX") else ("timingFrame2", "timingOutputSpeed")
    )
    if timing in ("Output Speed", "0"):
        time_map = _speed(knobs, output, first, last, settings)
    elif timing in ("Input Speed", "1"):
        time_map = _speed(knobs, "timingInputSpeed", first, last, settings, over_input=True)
    elif timing in ("Frame", "2"):
        time_map = _frames(knobs, frame, first, last)
    else:
        raise knobs.refuse("timing2", f"is {timing!r}", "Set it to Output Speed, Input Speed or Frame.")
    _kronos_looks(knobs, settings)
    return _imported(knobs, settings, time_map)


def _kronos_looks(knobs: Knobs, settings: Dict[str, Value]) -> None:
    """Everything but the timing: channels, blur, filter, matte; and notes of what does not apply."""
    channels = knobs.word("retimedChannels", "all").strip()
    if channels != "all":
        settings["channels"] = _channels(knobs, channels)
        knobs.note(f"Only {settings['channels']} is retimed; Kairos leaves other layers out of its files.")
    samples = knobs.number("shutterSamples", Fraction(1))
    if samples > 1 and knobs.word("autoShutterTime", "false") in ("true", "1"):
        knobs.note("autoShutterTime is not taken over; shutterTime is.")
    shutter = knobs.number("shutterTime", Fraction(0))
    if samples > 1 and shutter > 0:
        factor = Fraction(PARAMETERS["shutter"].kronos_factor)
        settings["shutter"] = knobs.check("shutterTime", "shutter", float(shutter * factor))
        settings["shutter_samples"] = knobs.check("shutterSamples", "shutter_samples", number_text(samples))
    resample = knobs.word("resampleType", "")
    if resample:
        settings["filter"] = "lanczos" if resample.lower().startswith("lanczos") else "bilinear"
    if knobs.word("interpolation", "Motion") not in ("Motion", "2"):
        knobs.note(f"interpolation {knobs.word('interpolation', '')} is not taken over: Kairos always follows motion.")
    if knobs.word("matteChannel", "None").lower() not in ("none", "0"):
        knobs.note(f"matteChannel {knobs.word('matteChannel', '')} is not taken over: connect Kairos' own Matte.")
    ignored = [knob for knob in _KRONOS_MOTION if knobs.has(knob)]
    if ignored:
        knobs.note(f"Not taken over, since Kairos' engine finds motion by itself: {', '.join(ignored)}.")


def _channels(knobs: Knobs, text: str) -> Value:
    """A channel set: ``rgb``, a layer, or full channel names whose layers count (a dash leaves one out)."""
    words = [word for word in text.replace("{", " ").replace("}", " ").split() if not word.startswith("-")]
    layers = list(dict.fromkeys(word.partition(".")[0] for word in words if word != "none"))
    if not layers:
        raise knobs.refuse("retimedChannels", f"is {text!r}", "Choose the layers to retime.")
    return knobs.check("retimedChannels", "channels", ",".join(layers))


def _timewarp(node: ScriptNode, given: Range) -> Imported:
    knobs = Knobs(node)
    if not knobs.has("lookup"):
        raise knobs.refuse("lookup", "has no curve", "Key the input frame in Nuke first.")
    settings: Dict[str, Value] = {}
    if given is None:
        first, last = knobs.span("lookup")
        knobs.note(f"The node names no source range; its curve runs over {first}-{last}.")
    else:
        first, last = given
        settings["range"] = f"{first}-{last}"
    if knobs.number("length", Fraction(1)) > 1:
        knobs.note("length is not taken over: use Kairos' shutter for motion blur.")
    if knobs.word("filter", "none") != "none":
        knobs.note("filter is not taken over: Kairos always follows motion.")
    return _imported(knobs, settings, _frames(knobs, "lookup", first, last))


def _retime(node: ScriptNode, given: Range) -> Imported:
    knobs = Knobs(node)
    first, last = _input_range(knobs, given)
    for knob in ("warp", "time"):
        if any(char.isdigit() for char in knobs.word(knob, "")):
            raise knobs.refuse(knob, "warps time", "Use a TimeWarp node in its place, and import that.")
    settings: Dict[str, Value] = {"range": f"{first}-{last}"}
    speed = knobs.number("speed", Fraction(1))
    begin = knobs.whole("output.first", first)
    if knobs.locked("output.first") and knobs.locked("output.last"):
        end = knobs.whole("output.last", last)
        if end <= begin:
            raise knobs.refuse("output.last", f"is {end}", "Give an output range of two frames or more.")
        if not knobs.has("speed"):
            speed = Fraction(last - first, end - begin)
            knobs.note(f"Both output frames are locked, so the speed is {number_text(speed)}.")
    if knobs.word("reverse", "false") in ("true", "1"):
        speed = -speed
    for side in ("before", "after"):
        if knobs.word(side, "hold") != "hold":
            knobs.note(f"{side} is not taken over: Kairos renders no frames outside the range.")
    if knobs.has("shutter") or knobs.word("filter", "none") not in ("none", "nearest"):
        knobs.note("shutter and filter are not taken over: set Kairos' own.")
    settings["speed"] = knobs.check("speed", "speed", number_text(speed))
    if begin != first:
        settings["start"] = begin
    return _imported(knobs, settings, _constant(knobs, "speed", speed, first, last))


def _imported(knobs: Knobs, settings: Dict[str, Value], time_map: TimeMap) -> Imported:
    timing = "speed" if "speed" in settings else "frame_map"
    return Imported(knobs.node.cls, knobs.node.name, timing, settings, time_map, tuple(knobs.notes))


def _input_range(knobs: Knobs, given: Range) -> Tuple[int, int]:
    """The node's own source range; frames that it leaves at their default come from the caller."""
    if given is None:
        for knob in ("input.first", "input.last"):
            if not knobs.has(knob):
                raise knobs.refuse(knob, "is not in the script", "Give the source range, such as 1001-1048, as well.")
    first, last = given or (1, 1)
    first, last = knobs.whole("input.first", first), knobs.whole("input.last", last)
    if last < first:
        raise knobs.refuse("input.last", f"is {last}, before input.first {first}", "Give an input range.")
    return first, last


def _constant(knobs: Knobs, knob: str, speed: Fraction, first: int, last: int) -> TimeMap:
    if speed == 0:
        raise knobs.refuse(knob, "is 0", "Freeze a frame with a curve of Timing Frame.")
    return TimeMap.constant(speed, first, last)


def _speed(
    knobs: Knobs, knob: str, first: int, last: int, settings: Dict[str, Value], over_input: bool = False
) -> TimeMap:
    """A speed, or a curve of it over output frames (or over source frames), which is summed up into source frames."""
    if knobs.is_constant(knob):
        # What Nuke leaves at its default is not in the script: half speed, for Kronos and OFlow alike.
        speed = knobs.number(knob, Fraction(1, 2))
        settings["speed"] = knobs.check(knob, "speed", number_text(speed))
        return _constant(knobs, knob, speed, first, last)
    curve = knobs.curve(knob)
    if over_input:
        return TimeMap.from_text(map_text(_through_input(knobs, knob, curve, first, last)), first, last)
    knobs.note(f"{knob} is animated: its area is the source frame, from input.first on.")
    too_slow = knobs.refuse(knob, _NEVER_ENDS, _FASTER)
    time, frame, end = Fraction(first), first, int(curve.keys[-1].frame)
    samples: List[Tuple[int, Fraction]] = [(frame, time)]
    while time < last and len(samples) < _LONGEST:
        following = curve.value(Fraction(frame + 1))
        if frame >= end and following <= 0:
            break
        if frame >= end and curve.slope_after is None and last - time > _LONGEST * following:
            raise too_slow  # The speed stays as it is from here on.
        # Milne's rule: exact for the cubics of a curve, and never on a key, where a held value jumps.
        quarter, half, rest = (curve.value(frame + Fraction(part, 4)) for part in (1, 2, 3))
        time += (2 * quarter - half + 2 * rest) / 3
        time, frame = Fraction(round(time * 10**9), 10**9), frame + 1
        samples.append((frame, time))
    if samples[-1][1] > last:
        samples.pop()
    if len(samples) >= _LONGEST:
        raise too_slow
    return TimeMap.from_text(map_text(samples), first, last)


def _through_input(knobs: Knobs, knob: str, curve: Keyed, first: int, last: int) -> List[Tuple[int, Fraction]]:
    """(output frame, source frame) of a speed keyed over source frames: a step takes its length / speed to play."""
    reached = [0.0]
    for step in range((last - first) * _STEPS):
        at = first + Fraction(step, _STEPS)
        speeds = [curve.value(at + Fraction(part, 4 * _STEPS)) for part in (1, 2, 3)]
        if min(speeds) <= 0:
            raise knobs.refuse(knob, f"falls to 0 near source frame {float(at):g}", "Keep it above 0.")
        near, middle, far = (1 / float(speed) for speed in speeds)
        reached.append(reached[-1] + (2 * near - middle + 2 * far) / (3 * _STEPS))
    if reached[-1] > _LONGEST:
        raise knobs.refuse(knob, _NEVER_ENDS, _FASTER)
    samples = []
    for frame in range(int(reached[-1] + 1e-9) + 1):
        index = max(0, min(bisect_right(reached, frame + 1e-9) - 1, len(reached) - 2))
        part = (frame - reached[index]) / (reached[index + 1] - reached[index]) if len(reached) > 1 else 0.0
        samples.append((first + frame, first + Fraction(round((index + part) / _STEPS * 10**6), 10**6)))
    return samples


def _frames(knobs: Knobs, knob: str, first: int, last: int) -> TimeMap:
    """A curve of source frames; a knob without one freezes its frame over the source range."""
    if knobs.is_constant(knob):
        frozen = knobs.number(knob, Fraction(1))
        knobs.note(f"{knob} is not animated: source frame {number_text(frozen)} is held.")
        return TimeMap.from_text(map_text((frame, frozen) for frame in sorted({first, last})), first, last)
    knobs.curve(knob)
    return TimeMap.from_nuke_curve(knobs.word(knob, ""), first, last)


_READERS: Mapping[str, Callable[[ScriptNode, Range], Imported]] = {
    "Kronos": _kronos,
    "OFlow2": _kronos,
    "OFXuk.co.thefoundry.time.oflow_v100": _kronos,
    "TimeWarp": _timewarp,
    "Retime": _retime,
}
