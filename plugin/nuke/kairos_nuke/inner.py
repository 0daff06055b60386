"""The nodes inside a Kairos node, once for the Python groups and the ``.gizmo`` text. Needs no Nuke."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Tuple

from kairos_nuke.knobs import RENDERED, RESULT, RESULT_FIRST, RESULT_LAST

SOURCE, MATTE = 0, 1
"""Inputs of a Kairos node."""

WRITERS: Tuple[str, str] = ("PlateWrite", "MatteWrite")
"""Inner nodes that write the inputs, by input."""

READER = "ResultRead"
"""The inner node that shows the result."""


@dataclass(frozen=True)
class Inner:
    """One inner node.

    Attributes:
        cls: its class in Nuke.
        name: its name in the group.
        inputs: names of the nodes that it is connected to, in order.
        knobs: values that are not Nuke's own defaults; numbers and switches as scripts write them.
        expressions: knobs that follow an expression.
        optional: knobs among these that not every version of Nuke has.
    """

    cls: str
    name: str
    inputs: Tuple[str, ...] = ()
    knobs: Mapping[str, object] = field(default_factory=dict)
    expressions: Mapping[str, str] = field(default_factory=dict)
    optional: Tuple[str, ...] = ()


# Raw, float, every layer and every attribute: the file is the picture that the node sees, Cryptomatte's names with it.
# One part for all layers keeps the layers' own names.
_WRITE = {
    "file_type": "exr",
    "channels": "all",
    "datatype": "32 bit float",
    "interleave": "channels, layers and views",
    "metadata": "all metadata",
    "raw": True,
    "create_directories": True,
}

# A frame that is missing shows as an error rather than as its neighbour; and Nuke must not make a local copy of files
# that are local already and change with every render.
_READ = {"file": f"[value parent.{RESULT}]", "raw": True, "on_error": "error", "localizationPolicy": "off"}
_RANGE = {"first": RESULT_FIRST, "last": RESULT_LAST, "origfirst": RESULT_FIRST, "origlast": RESULT_LAST}

INNER: Tuple[Inner, ...] = (
    Inner("Input", "Source", knobs={"number": SOURCE}),
    Inner("Input", "Matte", knobs={"number": MATTE}),
    Inner("Write", WRITERS[SOURCE], ("Source",), _WRITE),
    Inner("Write", WRITERS[MATTE], ("Matte",), _WRITE),
    Inner(
        "Read",
        READER,
        knobs=_READ,
        expressions={knob: f"parent.{origin}" for knob, origin in _RANGE.items()},
        optional=("localizationPolicy",),
    ),
    Inner("Switch", "ShowResult", ("Source", READER), expressions={"which": f"parent.{RENDERED}"}),
    Inner("Output", "Output1", ("ShowResult",)),
)
