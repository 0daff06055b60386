"""The yardstick everybody has: ffmpeg's ``minterpolate`` filter, through libavfilter inside PyAV.

Keys go in as full-range 4:4:4 luma and chroma, so that no chroma is subsampled and no range is squeezed before the
filter sees them: the column measures the filter's motion, not its file format.
"""

from __future__ import annotations

from fractions import Fraction
from typing import List, Sequence

import av
import av.filter
import cv2
import numpy as np
import numpy.typing as npt

from kairos.errors import BadRequest, EngineError

Pixels = npt.NDArray[np.uint8]

SETTINGS = "fps=24:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:me=epzs:vsbmc=1:scd=none"
"""The filter's options: motion-compensated, overlapped blocks, bidirectional search, scene detection off."""

KEY_RATE = 12
REPEATS = 2
"""The first and last key are fed this many extra times: the filter looks two frames back and one ahead."""


def minterpolate(keys: Sequence[Pixels]) -> List[Pixels]:
    """The frame half-way between each two neighbouring keys, as ffmpeg makes it.

    Args:
        keys: at least two (H, W, 3) uint8 RGB images of one size.

    Returns:
        ``len(keys) - 1`` images like the keys.

    Raises:
        BadRequest: fewer than two keys, or keys of different sizes.
        EngineError: PyAV was built without the filter, or the filter did not give a key back untouched (then its
            frames are not where they are looked for, and the figures would mean nothing).
    """
    if len(keys) < 2:
        raise BadRequest(f"minterpolate needs two frames, not {len(keys)}.", "Give a longer clip.")
    if len({key.shape for key in keys}) != 1:
        raise BadRequest("The clip's frames differ in size.", "Give frames of one size.")
    planes = [_to_planes(key) for key in keys]
    planes = [planes[0]] * REPEATS + planes + [planes[-1]] * REPEATS
    made = _filtered(planes)
    answers = []
    for index in range(len(keys) - 1):
        key = 2 * (index + REPEATS)
        if key + 1 >= len(made) or not np.array_equal(made[key], planes[index + REPEATS]):
            raise EngineError(
                f"minterpolate did not return key frame {index} untouched.",
                "Use the PyAV version Kairos is tested with.",
            )
        answers.append(_to_rgb(made[key + 1]))
    return answers


def _filtered(planes: Sequence[Pixels]) -> List[Pixels]:
    """What the filter makes of (3, H, W) frames, indexed by time at twice the keys' rate."""
    height, width = planes[0].shape[1:]
    try:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=width, height=height, format=av.VideoFormat("yuv444p"), time_base=Fraction(1, KEY_RATE)
        )
        between = graph.add("minterpolate", SETTINGS)
        sink = graph.add("buffersink")
    except ValueError as error:
        raise EngineError(
            f"This PyAV has no minterpolate filter ({error}).", "Install PyAV from its official wheels."
        ) from error
    source.link_to(between)
    between.link_to(sink)
    graph.configure()
    made: List[Pixels] = []
    for stamp, plane in enumerate(planes):
        frame = av.VideoFrame.from_ndarray(plane, format="yuv444p")
        frame.pts, frame.time_base = stamp, Fraction(1, KEY_RATE)
        graph.push(frame)
        _pull(graph, made)
    graph.push(None)
    _pull(graph, made)
    return made


def _pull(graph: av.filter.Graph, made: List[Pixels]) -> None:
    """Append whatever the graph has ready. Its frames come in order, one per output tick from 0."""
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        if not isinstance(frame, av.VideoFrame):
            raise EngineError("minterpolate answered with something that is no picture.")
        if frame.pts != len(made):
            raise EngineError(f"minterpolate skipped from frame {len(made)} to {frame.pts}.")
        made.append(frame.to_ndarray().astype(np.uint8, copy=False))


def _to_planes(key: Pixels) -> Pixels:
    """(H, W, 3) RGB to (3, H, W) full-range BT.601 Y, Cr, Cb.

    The filter searches on the first plane and treats the two others alike, so their order does not matter to it.
    """
    return np.ascontiguousarray(cv2.cvtColor(key, cv2.COLOR_RGB2YCrCb).transpose(2, 0, 1)).astype(np.uint8, copy=False)


def _to_rgb(planes: Pixels) -> Pixels:
    """The inverse of :func:`_to_planes`."""
    interleaved = np.ascontiguousarray(planes.transpose(1, 2, 0))
    return cv2.cvtColor(interleaved, cv2.COLOR_YCrCb2RGB).astype(np.uint8, copy=False)
