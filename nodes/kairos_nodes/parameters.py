"""The one table of parameters: every flag, knob, property, widget and documentation row comes from here."""

from __future__ import annotations

from typing import Dict, Mapping, Tuple

from kairos_nodes.channels import PRESETS, parse_vectors_in
from kairos_nodes.errors import BadRequest
from kairos_nodes.layers import Policy
from kairos_nodes.parameter import Parameter, Value
from kairos_nodes.ranges import parse_frames
from kairos_nodes.regions import parse_region_rules, parse_regions

__all__ = [
    "JOBS",
    "PARAMETERS",
    "Parameter",
    "Value",
    "parameters_of",
    "parse_fit",
    "parse_generate",
    "parse_layer_policy",
]

JOBS = ("retime", "vectors", "inbetween")
_SEQUENCES = ("retime", "vectors")
_EXR_COMPRESSIONS = ("zip", "zips", "piz", "rle", "pxr24", "b44", "b44a", "dwaa", "dwab", "none")


def parse_layer_policy(text: str) -> Dict[str, Policy]:
    """Policies by layer from ``LAYER=POLICY,LAYER=POLICY``.

    Raises:
        BadRequest: a piece that is no pair, an unknown policy, or a layer named twice.
    """
    policies: Dict[str, Policy] = {}
    known = ", ".join(policy.value for policy in Policy)
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        layer, equals, policy = (word.strip() for word in piece.partition("="))
        if not layer or not equals:
            raise BadRequest(f"--layer-policy: {piece!r} is not LAYER=POLICY.", f"POLICY is one of {known}.")
        if policy not in {one.value for one in Policy}:
            raise BadRequest(f"--layer-policy: there is no policy {policy!r}.", f"Use one of {known}.")
        if layer in policies:
            raise BadRequest(f"--layer-policy: layer {layer!r} is named twice.", "Name each layer once.")
        policies[layer] = Policy(policy)
    return policies


def parse_fit(text: str) -> Dict[str, str]:
    """Options by name from ``--fit NAME=VALUE,NAME=VALUE``.

    Raises:
        BadRequest: a piece that is no pair, or an option named twice.
    """
    return _pairs(text, "--fit", "steps=500,omega=20")


def parse_generate(text: str) -> Dict[str, str]:
    """Options by name from ``--generate NAME=VALUE,NAME=VALUE``. Raises BadRequest as :func:`parse_fit` does."""
    return _pairs(text, "--generate", "steps=25,seed=3")


def _pairs(text: str, flag: str, example: str) -> Dict[str, str]:
    options: Dict[str, str] = {}
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = (word.strip() for word in piece.partition("="))
        if not name or not value:
            raise BadRequest(f"{flag}: {piece!r} is not NAME=VALUE.", f"Write it like {example}.")
        if name in options:
            raise BadRequest(f"{flag}: {name!r} is named twice.", "Name each option once.")
        options[name] = value
    return options


def _parse_cuts(text: str) -> object:
    return parse_frames(text, "--cuts")


_TABLE = (
    Parameter(
        "input",
        "path",
        "Input",
        "The plate: a movie or a sequence such as shot.%04d.exr, shot.####.exr or a folder with one sequence.",
        None,
        jobs=_SEQUENCES,
        required=True,
    ),
    Parameter("frame_a", "path", "Frame A", "The first key frame.", None, jobs=("inbetween",), required=True),
    Parameter("frame_b", "path", "Frame B", "The second key frame.", None, jobs=("inbetween",), required=True),
    Parameter(
        "output",
        "path",
        "Output",
        "Where to write: a sequence such as out/shot.%04d.exr, or a movie.",
        None,
        jobs=JOBS,
        required=True,
    ),
    Parameter(
        "speed",
        "fraction",
        "Speed",
        "Playback speed: 0.5 is half speed, 2 is double, -1 plays backwards from the out point.",
        "--speed",
        minimum=-1000,
        maximum=1000,
        unit="source frames per output frame",
        kronos="timingOutputSpeed",
        jobs=("retime",),
    ),
    Parameter(
        "frame_map",
        "path",
        "Frame map",
        "A text file with lines 'output-frame source-time', linear between them.",
        "--frame-map",
        kronos="timingFrame2",
        jobs=("retime",),
    ),
    Parameter(
        "to_fps",
        "fraction",
        "To frame rate",
        "Convert to this frame rate and keep the duration.",
        "--to-fps",
        minimum=0,
        above=True,
        maximum=1000,
        unit="frames per second",
        jobs=("retime",),
    ),
    Parameter(
        "between",
        "int",
        "Between",
        "Put this many new frames between each two source frames.",
        "--between",
        minimum=1,
        maximum=10_000,
        unit="frames",
        jobs=("retime",),
    ),
    Parameter(
        "count",
        "int",
        "Count",
        "How many frames to make between the two key frames.",
        "--count",
        minimum=1,
        maximum=10_000,
        unit="frames",
        jobs=("inbetween",),
        required=True,
    ),
    Parameter(
        "fps",
        "fraction",
        "Source frame rate",
        "The input's frame rate where its files do not say it.",
        "--fps",
        minimum=0,
        above=True,
        maximum=1000,
        unit="frames per second",
        jobs=JOBS,
    ),
    Parameter(
        "range",
        "range",
        "Source range",
        "Which source frames to use, such as 1001-1048.",
        "--range",
        unit="source frames",
        kronos="input.first input.last",
        jobs=_SEQUENCES,
    ),
    Parameter(
        "frames",
        "frames",
        "Frames",
        "Which output frames to render, such as 1-40,55; the frames themselves do not change.",
        "--frames",
        unit="output frames",
        jobs=_SEQUENCES,
    ),
    Parameter(
        "start",
        "int",
        "Start",
        "Number of the first output file; the input's first frame where not given.",
        "--start",
        minimum=-999_999,
        maximum=99_999_999,
        jobs=JOBS,
    ),
    Parameter(
        "engine",
        "choice",
        "Engine",
        "What finds the motion; auto takes the best that can run here.",
        "--engine",
        "auto",
        choices=("auto", "classic", "swift"),
        accepts=r"[a-z][a-z0-9_-]*|onnx:.+",
        form="ENGINE",
        jobs=JOBS,
    ),
    Parameter(
        "device",
        "choice",
        "Device",
        "Where to compute.",
        "--device",
        "auto",
        choices=("auto", "cuda", "mps", "cpu"),
        accepts=r"cuda:\d{1,2}",
        form="cuda:N",
        jobs=JOBS,
    ),
    Parameter(
        "precision",
        "choice",
        "Precision",
        "Arithmetic inside the engine; final pixels are always moved in full precision.",
        "--precision",
        "auto",
        choices=("auto", "fp32", "fp16", "bf16"),
        jobs=JOBS,
    ),
    Parameter(
        "scale",
        "choice",
        "Motion scale",
        "Size at which motion is found: smaller is faster and catches larger motion, larger catches finer detail.",
        "--scale",
        "auto",
        choices=("auto", "1", "0.5"),
        accepts=r"0?\.(?=\d*[1-9])\d{1,6}|1\.0+",
        form="0.01 to 1",
        kronos="vectorDetail",
        jobs=JOBS,
    ),
    Parameter(
        "weights",
        "path",
        "Weights",
        "Weights of the engine: a name that kairos weights list shows, or for swift and hierarchical a file, such as "
        "the one that kairos adapt made of swift for this shot.",
        "--weights",
        "",
        jobs=JOBS,
    ),
    Parameter(
        "base",
        "choice",
        "Base",
        "What the engine hierarchical guides by regions: Kairos' own network, or a published one with weights that you "
        "have added, by its kind or by their name.",
        "--base",
        "swift",
        choices=("swift", "ifrnet", "rife", "amt", "ema"),
        accepts=r"[a-z0-9][a-z0-9._-]{0,63}",
        form="NAME",
        jobs=JOBS,
    ),
    Parameter(
        "flow",
        "choice",
        "Flow",
        "What finds the motion for classic, and what swift begins from: the engine's own search, or RAFT with weights "
        "that you have added.",
        "--flow",
        "own",
        choices=("own", "raft"),
        accepts=r"raft:[a-z0-9][a-z0-9._-]{0,63}",
        form="raft:NAME",
        jobs=JOBS,
    ),
    Parameter(
        "motion",
        "choice",
        "Motion",
        "What tells the paths between two frames: the engine itself, or GIMM from the engine's motion, with weights "
        "that come with Kairos or that you have added.",
        "--motion",
        "own",
        choices=("own", "gimm"),
        accepts=r"gimm:[a-z0-9][a-z0-9._-]{0,63}",
        form="gimm:NAME",
        jobs=("retime", "inbetween"),
    ),
    Parameter(
        "field",
        "choice",
        "Field",
        "What the engine siren fits to the shot: features on grids, the quicker, or the published sine network.",
        "--field",
        "grid",
        choices=("grid", "siren"),
        jobs=("retime", "inbetween"),
    ),
    Parameter(
        "fit",
        "text",
        "Fit",
        "How the engine siren fits, such as form=published,lambda=0.9,omega=30; kairos engines siren lists the names.",
        "--fit",
        "",
        jobs=("retime", "inbetween"),
        parse=parse_fit,
    ),
    Parameter(
        "generate",
        "text",
        "Generate",
        "How the engine inbetween generates, such as steps=25,seed=3,aspect=crop; kairos engines inbetween lists the "
        "names.",
        "--generate",
        "",
        jobs=("retime", "inbetween"),
        parse=parse_generate,
    ),
    Parameter(
        "tta",
        "bool",
        "Average flipped",
        "Average over the flipped picture too: slower, steadier.",
        "--tta/--no-tta",
        False,
        jobs=JOBS,
    ),
    Parameter(
        "tile",
        "choice",
        "Tile",
        "Tile size for frames that do not fit in memory.",
        "--tile",
        "auto",
        choices=("auto", "off"),
        accepts=r"(?!0)\d{2,5}",
        form="N pixels",
        unit="pixels",
        jobs=JOBS,
    ),
    Parameter(
        "proxy",
        "choice",
        "Proxy",
        "Render at full, half or quarter size for a quick look.",
        "--proxy",
        "1",
        choices=("1", "2", "4"),
        jobs=JOBS,
    ),
    Parameter(
        "vectors",
        "choice",
        "Vectors",
        "Write motion vectors named and signed as this host expects them.",
        "--vectors",
        "none",
        choices=("none", *PRESETS),
        jobs=JOBS,
        job_defaults={"vectors": "nuke"},
    ),
    Parameter(
        "masks",
        "bool",
        "Masks",
        "Write occlusion, confidence and blend masks.",
        "--masks/--no-masks",
        False,
        jobs=JOBS,
        job_defaults={"vectors": True},
    ),
    Parameter(
        "channels",
        "choice",
        "Channels",
        "Which layers to process; others are left out.",
        "--channels",
        "all",
        choices=("all", "rgb", "rgba"),
        accepts=r"[^,\s][^,]*(,[^,\s][^,]*)*",
        form="LAYER,LAYER",
        kronos="retimedChannels",
        jobs=JOBS,
    ),
    Parameter(
        "layer_policy",
        "text",
        "Layer policy",
        "How single layers move where the automatic choice is wrong, such as P=depth,uv=nearest.",
        "--layer-policy",
        "",
        jobs=JOBS,
        parse=parse_layer_policy,
    ),
    Parameter(
        "shutter",
        "float",
        "Shutter",
        "Motion blur by this shutter angle of one output frame; 0 adds none.",
        "--shutter",
        0.0,
        minimum=0,
        maximum=720,
        unit="degrees",
        kronos="shutterTime",
        kronos_factor=360.0,
        jobs=("retime",),
    ),
    Parameter(
        "shutter_samples",
        "int",
        "Shutter samples",
        "How many moments are averaged into one blurred frame.",
        "--shutter-samples",
        16,
        minimum=1,
        maximum=256,
        kronos="shutterSamples",
        jobs=("retime",),
    ),
    Parameter(
        "phase",
        "fraction",
        "Phase",
        "Shift all source times by this part of an output interval; 0.5 at half speed avoids pulsing.",
        "--phase",
        "0",
        minimum=-1,
        maximum=1,
        unit="output frames",
        jobs=("retime",),
    ),
    Parameter(
        "matte",
        "text",
        "Matte",
        "A foreground matte that motion is kept apart by: a sequence, or a layer or channel of the plate.",
        "--matte",
        "",
        kronos="matteChannel",
        jobs=JOBS,
    ),
    Parameter(
        "vectors_in",
        "text",
        "Vectors in",
        "Use the plate's own motion vectors: LAYER or LAYER:CONVENTION.",
        "--vectors-in",
        "",
        jobs=JOBS,
        parse=parse_vectors_in,
    ),
    Parameter(
        "regions",
        "text",
        "Regions",
        "Objects that motion keeps whole: an ID layer or mattes of the plate or of a sequence, crypto:LAYER=names, "
        'auto, tags:"dog. person.", or none. The engine hierarchical takes auto by itself.',
        "--regions",
        "",
        jobs=JOBS,
        parse=parse_regions,
    ),
    Parameter(
        "region_rules",
        "text",
        "Region rules",
        "What is done with single objects, such as hero=front,sign=hold: retime, hold, front, back or a number in the "
        "layer order.",
        "--region-rules",
        "",
        jobs=("retime", "inbetween"),
        parse=parse_region_rules,
    ),
    Parameter(
        "cuts",
        "choice",
        "Cuts",
        "Scene cuts are never blended across: found by themselves, off, or the first source frame of each new scene.",
        "--cuts",
        "auto",
        choices=("auto", "off"),
        accepts=r"-?\d[-\dx, ]*",
        form="FRAMES",
        jobs=_SEQUENCES,
        parse=_parse_cuts,
    ),
    Parameter(
        "repeats",
        "choice",
        "Repeated frames",
        "Repeated source frames are passed over, or kept as they are.",
        "--repeats",
        "auto",
        choices=("auto", "keep"),
        jobs=_SEQUENCES,
    ),
    Parameter(
        "filter",
        "choice",
        "Filter",
        "How final pixels are resampled; cubic never rings beyond the pixels around it.",
        "--filter",
        "cubic",
        choices=("cubic", "bilinear", "lanczos"),
        kronos="resampleType",
        jobs=("retime", "inbetween"),
    ),
    Parameter(
        "colorspace",
        "text",
        "Colour space",
        "Colour space of the input where the file rules of the OCIO config are wrong.",
        "--colorspace",
        "",
        jobs=JOBS,
    ),
    Parameter(
        "ocio",
        "path",
        "OCIO config",
        "OCIO config to use where $OCIO is not set.",
        "--ocio",
        "",
        jobs=JOBS,
    ),
    Parameter(
        "compression",
        "choice",
        "Compression",
        "EXR compression; auto keeps the input's where it is lossless and takes zip where it is not.",
        "--compression",
        "auto",
        choices=("auto", *_EXR_COMPRESSIONS),
        accepts=r"(dwaa|dwab|zip|zips):\d{1,4}(\.\d+)?",
        form="dwaa:45",
        jobs=JOBS,
    ),
    Parameter(
        "bit_depth",
        "choice",
        "Bit depth",
        "Sample type of the output's colour channels; vectors and masks are always float.",
        "--bit-depth",
        "same",
        choices=("same", "half", "float"),
        jobs=JOBS,
    ),
    Parameter(
        "overwrite",
        "bool",
        "Overwrite",
        "Write over existing files of another origin; without it an interrupted render continues.",
        "--overwrite/--resume",
        False,
        jobs=JOBS,
    ),
    Parameter(
        "on_missing",
        "choice",
        "Missing frames",
        "Stop at a missing source frame, hold the one before it, or blend its neighbours.",
        "--on-missing",
        "error",
        choices=("error", "hold", "blend"),
        jobs=_SEQUENCES,
    ),
    Parameter("json", "bool", "JSON", "Report progress as JSON lines.", "--json", False, jobs=JOBS, in_job=False),
)

PARAMETERS: Mapping[str, Parameter] = {parameter.name: parameter for parameter in _TABLE}
"""Every parameter by name, in the order in which people meet them."""


def parameters_of(job: str) -> Tuple[Parameter, ...]:
    """The parameters of one job, in order, with that job's own defaults. Raises KeyError for an unknown job."""
    if job not in JOBS:
        raise KeyError(job)
    return tuple(parameter.for_job(job) for parameter in PARAMETERS.values() if job in parameter.jobs)
