"""Movies in: frames by exact index, decoded in sequence and sought where asked for out of order."""

from __future__ import annotations

import bisect
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from kairos.errors import BadRequest, ImageError
from kairos.frame import Attribute, Frame, Part, Window
from kairos_nodes.timecode import Timecode

from . import yuv
from .header import UNASSOCIATED, Header, PartHeader
from .rates import exact_rate

_KEPT = 6
"""Decoded frames kept: a pair with its neighbours may be asked for in any order."""


class MovieReader:
    """One movie file. Thread-safe; frames count from 0. Memory does not grow with the movie's length.

    Attributes:
        count: number of frames, counted from the file's packets.
        rate: frames per second, exact, or None where the file does not say.
        coding: matrix and range of its samples.

    Raises:
        ImageError: missing, damaged, without video.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._container, self._stream = _open(path)
        try:
            self._index()
            self._describe()
        except ImageError:
            self._container.close()
            raise
        except av.FFmpegError as error:
            self._container.close()
            raise _damaged(path, error) from error

    def _index(self) -> None:
        """Counts frames and learns their times by going through the packets, without decoding."""
        times: List[Optional[int]] = []
        keys: List[int] = []
        for packet in self._container.demux(self._stream):
            if packet.size and not packet.is_discard:
                times.append(packet.pts)
                if packet.is_keyframe and packet.pts is not None:
                    keys.append(packet.pts)
        if not times:
            raise ImageError(f"{self._path} holds no video frames.", "Export it again.")
        known = sorted({time for time in times if time is not None})
        # Some old formats give no time, or one for several frames: then frames are counted from the start.
        self._times = known if len(known) == len(times) else []
        self._keys = sorted({bisect.bisect_left(self._times, key) for key in keys}) if self._times else [0]
        self.count = len(times)
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._next = self.count
        self._recent: OrderedDict[int, av.VideoFrame] = OrderedDict()

    def _describe(self) -> None:
        stream, context = self._stream, self._stream.codec_context
        self.rate = exact_rate(stream.guessed_rate or stream.average_rate or Fraction(0))
        name = str(context.pix_fmt)
        self.coding = _coding(stream)
        bits = yuv.bits_of(name)
        alpha = yuv.has_alpha(name)
        channels = ("R", "G", "B", "A") if alpha else ("R", "G", "B")
        window = Window(0, 0, context.width, context.height)
        metadata = {UNASSOCIATED: Attribute("int", 1)} if alpha else {}
        part = PartHeader(
            channels, window, (f"uint{bits}",) * len(channels), metadata=metadata, compression=context.name
        )
        aspect = stream.sample_aspect_ratio
        self._header = Header(
            number=0,
            display=window,
            parts=(part,),
            pixel_aspect=float(aspect) if aspect else 1.0,
            rate=self.rate,
            timecode=self._start_timecode(),
            scene_linear=False,
            format="movie",
        )

    def _start_timecode(self) -> str:
        holders = (
            self._stream.metadata,
            self._container.metadata,
            *(other.metadata for other in self._container.streams),
        )
        found = (text for holder in holders for key, text in holder.items() if key.lower() == "timecode" and text)
        return next(found, "")

    def path(self, number: int) -> Path:
        """The movie, whatever the frame."""
        return self._path

    def identity(self, number: int) -> str:
        """Name, size and time of change, and the frame's index. Raises ImageError where the file is gone."""
        try:
            status = self._path.stat()
        except OSError as error:
            raise ImageError(f"{self._path} is gone.") from error
        return f"{self._path.name}|{status.st_size}|{status.st_mtime_ns}#{number}"

    def header(self, number: int) -> Header:
        """Everything but pixels."""
        return replace(self._header, number=number, timecode=self._timecode(number))

    def _timecode(self, number: int) -> str:
        if not self._header.timecode or self.rate is None:
            return ""
        with suppress(BadRequest):
            return str(Timecode.parse(self._header.timecode, self.rate) + number)
        return ""

    def read(self, number: int) -> Frame:
        """The frame with the given index, as encoded RGB.

        Raises:
            ImageError: it cannot be decoded.
        """
        try:
            decoded = self._decoded(number)
            planes = yuv.decode(decoded, self.coding)
        except av.FFmpegError as error:
            raise _damaged(self._path, error, number) from error
        header = self.header(number)
        part = header.parts[0]
        if planes.shape != (len(part.channels), part.window.height, part.window.width):
            raise ImageError(f"{self._path}: frame {number} has another size than the first.", "Export it in one size.")
        whole = Part(part.channels, np.ascontiguousarray(planes), part.window, part.depths, metadata=part.metadata)
        return Frame(
            number, header.display, (whole,), header.pixel_aspect, header.rate, header.timecode, scene_linear=False
        )

    def _decoded(self, number: int) -> av.VideoFrame:
        with self._lock:
            if number not in self._recent:
                self._decode_to(number)
            self._recent.move_to_end(number)
            return self._recent[number]

    def _decode_to(self, number: int) -> None:
        key = self._keys[max(0, bisect.bisect_right(self._keys, number) - 1)] if self._keys else 0
        if not (self._next <= number and self._next >= key):
            self._seek(key)
        while number not in self._recent:
            if not self._step():
                break
        if number not in self._recent:
            # The container's own search may land too late; the start never does.
            self._seek(0)
            while number not in self._recent:
                if not self._step():
                    raise ImageError(f"{self._path}: frame {number} cannot be decoded.", "Export the movie again.")

    def _seek(self, index: int) -> None:
        """Starts decoding at a key frame, or at the very start."""
        if index and self._times:
            self._container.seek(self._times[index], stream=self._stream, backward=True)
        else:
            self._container.close()
            self._container, self._stream = _open(self._path)
        self._frames = self._container.decode(self._stream)
        self._next = index

    def _step(self) -> bool:
        """Decodes one frame into the recent ones; False at the end."""
        frame = next(self._frames, None)
        if frame is None:
            self._next = self.count
            return False
        index = self._next
        if self._times:
            index = bisect.bisect_left(self._times, frame.pts) if frame.pts is not None else self.count
            if index >= self.count or self._times[index] != frame.pts:
                return True
        self._next = index + 1
        if not frame.is_corrupt:
            self._recent[index] = frame
        while len(self._recent) > _KEPT:
            self._recent.popitem(last=False)
        return True

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._frames = iter(())
            self._recent.clear()
            self._container.close()


@dataclass(frozen=True)
class MovieFacts:
    """What a movie's headers say.

    Attributes:
        codec: the video codec, with its profile where it has one.
        sound: codecs of the sound tracks.
        tags: range, primaries, transfer and matrix as tagged (ITU-T H.273 codes; 2 and range 0: not said).
        coding: matrix and range as read, tagged or not.
    """

    codec: str
    sound: Tuple[str, ...]
    tags: Tuple[int, int, int, int]
    coding: yuv.Coding


def movie_facts(path: Path) -> MovieFacts:
    """Reads a movie's headers, none of its frames. Raises ImageError."""
    container, stream = _open(path)
    with container:
        context = stream.codec_context
        return MovieFacts(
            codec=f"{context.name} {context.profile}" if context.profile else str(context.name),
            sound=tuple(str(track.codec_context.name) for track in container.streams.audio),
            tags=(
                int(context.color_range),
                int(context.color_primaries),
                int(context.color_trc),
                int(context.colorspace),
            ),
            coding=_coding(stream),
        )


def _coding(stream: VideoStream) -> yuv.Coding:
    context = stream.codec_context
    name, size = str(context.pix_fmt), (context.width, context.height)
    return yuv.coding_of(int(context.colorspace), int(context.color_range), name, *size)


def _open(path: Path) -> Tuple[InputContainer, VideoStream]:
    if not path.exists():
        raise ImageError(f"{path} does not exist.")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise _damaged(path, error) from error
    if not container.streams.video:
        container.close()
        raise ImageError(f"{path} holds no video.", "Export it again.")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    if stream.codec_context.pix_fmt is None:
        container.close()
        raise ImageError(f"{path}: its video cannot be decoded here.", "Export it as ProRes, DNxHR or H.264.")
    return container, stream


def _damaged(path: Path, error: Exception, number: Optional[int] = None) -> ImageError:
    where = f"{path}: frame {number}" if number is not None else str(path)
    why = getattr(error, "strerror", None) or str(error)
    return ImageError(f"{where} cannot be read: {why}.", "Export the movie again.")
