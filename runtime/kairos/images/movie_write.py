"""Movies out: ProRes, H.264 and DNxHR, whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Dict, List, Optional, Protocol, Tuple, Type, cast

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from kairos.errors import BadRequest, Cancelled, FrameError
from kairos.frame import Frame

from . import yuv
from .atomic import write_error, written_whole
from .metadata import as_software, software_fingerprint
from .movie_read import movie_facts
from .movie_sound import SoundCopy
from .picture import picture


@dataclass(frozen=True)
class MovieCodec:
    """How one kind of movie is encoded.

    Attributes:
        encoders: FFmpeg encoders by preference; the first that the build has is used.
        formats: pixel formats by preference.
        options: the encoder's settings.
        suffixes: files that hold it.
        alpha: it has an alpha channel, in the first of its pixel formats; the second is without.
    """

    encoders: Tuple[str, ...]
    formats: Tuple[str, ...]
    suffixes: Tuple[str, ...]
    options: Dict[str, str] = field(default_factory=dict)
    alpha: bool = False


MOVIE_CODECS: Dict[str, MovieCodec] = {
    "prores": MovieCodec(("prores_ks",), ("yuv422p10le",), (".mov", ".mkv"), {"profile": "hq", "vendor": "apl0"}),
    "prores_4444": MovieCodec(
        ("prores_ks",),
        ("yuva444p10le", "yuv444p10le"),
        (".mov", ".mkv"),
        {"profile": "4444", "vendor": "apl0", "alpha_bits": "16"},
        alpha=True,
    ),
    "dnxhr": MovieCodec(("dnxhd",), ("yuv422p10le",), (".mov", ".mxf", ".mkv"), {"profile": "dnxhr_hqx"}),
    "h264": MovieCodec(
        ("libx264", "libopenh264"),
        ("yuv420p10le", "yuv420p"),
        (".mp4", ".m4v", ".mov", ".mkv"),
        {"crf": "10", "preset": "medium"},
    ),
}
"""What can be written, by name."""

_DEFAULTS = {".mov": "prores", ".mp4": "h264", ".m4v": "h264", ".mkv": "h264", ".mxf": "dnxhr"}
_FORMATS = {".mov": "mov", ".mp4": "mp4", ".m4v": "mp4", ".mkv": "matroska", ".mxf": "mxf"}

_COMMENTS = {".mxf": "comment_kairos"}
"""The metadata key that carries the fingerprint where it is not ``comment``."""

WRITABLE_MOVIES = tuple(_DEFAULTS)
"""Endings of movies that can be written."""

_TRANSFERS = (("2100-pq", 16), ("st2084", 16), ("hlg", 18), ("srgb", 13), ("2020", 14))
"""Transfer codes (ITU-T H.273) by what a colour space's name holds; anything else is BT.709's."""


class Named(Protocol):
    """A shot to take after: all that is asked is its file."""

    @property
    def movie(self) -> bool:
        """True for a movie file."""

    def path(self, position: int) -> Path:
        """The file of a position."""


@dataclass(frozen=True)
class _Tags:
    """Colour tags of a stream: H.273 codes."""

    coding: yuv.Coding
    primaries: int
    transfer: int


class MovieWriter:
    """A movie being written. It has its name only after :meth:`close`; made by :func:`open_movie`.

    Attributes:
        warnings: what was left out, one sentence each.
    """

    def __init__(
        self,
        path: Path,
        rate: Fraction,
        size: Tuple[int, int],
        timecode: str,
        tags: _Tags,
        codec: Optional[str],
        audio_from: Optional[Path],
        audio_start: Fraction,
        fingerprint: str,
    ) -> None:
        self.warnings: List[str] = []
        self._path, self._rate, self._size = path, rate, size
        self._timecode, self._tags, self._codec = timecode, tags, codec
        self._audio_from, self._audio_start, self._fingerprint = audio_from, audio_start, fingerprint
        self._count = 0
        self._container: Optional[OutputContainer] = None
        self._stream: Optional[VideoStream] = None
        self._sound: Optional[SoundCopy] = None
        self._pixel_format = ""
        self._file = written_whole(path)
        self._temporary = self._file.__enter__()
        self._open = True

    def __enter__(self) -> MovieWriter:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, frame: Frame) -> None:
        """Encodes the first view's beauty of the next frame, in encoded values (0..1; video levels may go beyond).

        Raises:
            FrameError: another size than the movie's.
            BadRequest: the codec cannot encode this.
            ImageError: the disk is full, the folder cannot be written.
        """
        if (frame.display.width, frame.display.height) != self._size:
            raise FrameError(
                f"Frame {frame.number} is {frame.display.width}x{frame.display.height}, the movie is "
                f"{self._size[0]}x{self._size[1]}.",
                "Reformat the frames to one size.",
            )
        if self._container is None:
            self._start(any(channel in ("A", "alpha") for part in frame.parts for channel in part.channels))
        alpha = yuv.has_alpha(self._pixel_format)
        notes: List[str] = []
        planes = picture(frame, "A movie", alpha, alpha, notes)[0]
        self.warnings += [note for note in notes if note not in self.warnings]
        try:
            self._encode(yuv.encode(planes, self._pixel_format, self._tags.coding))
        except (av.FFmpegError, OSError) as error:
            raise write_error(self._path, error if isinstance(error, OSError) else str(error)) from error

    def _encode(self, frame: av.VideoFrame) -> None:
        if self._container is None or self._stream is None:
            raise ValueError("the movie is not open")
        frame.pts, frame.time_base = self._count, 1 / self._rate
        # Some encoders take their tags from the frame, others from the stream.
        frame.color_primaries, frame.color_trc = self._tags.primaries, self._tags.transfer
        if self._sound:
            self._sound.copy_until(Fraction(self._count) / self._rate)
        self._container.mux(self._stream.encode(frame))
        self._count += 1

    def _start(self, alpha: bool) -> None:
        """Opens the file when the first frame shows whether there is an alpha."""
        suffix = self._path.suffix.lower()
        name = self._codec or _DEFAULTS[suffix]
        if name == "prores" and (self._size[0] % 2 or (alpha and not self._codec)):
            # FFmpeg's encoder spoils the last column's colour where chroma has half of an odd width.
            name = "prores_4444"
        codec = MOVIE_CODECS[name]
        encoder, self._pixel_format = _encoder(name, codec, self._size, alpha)
        try:
            self._container = av.open(str(self._temporary), "w", format=_FORMATS[suffix], options=_muxing(suffix))
            options = dict(codec.options) if encoder != "libopenh264" else {}
            if not alpha:
                options.pop("alpha_bits", None)
            stream = cast(VideoStream, self._container.add_stream(encoder, rate=self._rate, options=options))
            self._stream = stream
            context = stream.codec_context
            context.width, context.height = self._size
            context.pix_fmt = self._pixel_format
            context.thread_type, context.thread_count = "AUTO", 0
            context.time_base = 1 / self._rate
            context.color_range, context.colorspace = self._tags.coding.range, self._tags.coding.matrix
            context.color_primaries, context.color_trc = self._tags.primaries, self._tags.transfer
            stream.time_base = 1 / self._rate
            if self._timecode:
                self._container.metadata["timecode"] = self._timecode
                stream.metadata["timecode"] = self._timecode
            if self._fingerprint:
                self._container.metadata[_COMMENTS.get(suffix, "comment")] = as_software(self._fingerprint)
            if self._audio_from is not None:
                self._sound = SoundCopy.of(self._audio_from, self._container, self._audio_start, self.warnings)
            self._container.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in (28, 13, 30):
                raise write_error(self._path, error) from error
            why = getattr(error, "strerror", None) or str(error)
            raise BadRequest(
                f"{self._path} cannot be encoded as {name} at {self._size[0]}x{self._size[1]}: {why}.",
                "Choose another codec, size or ending.",
            ) from error

    def close(self) -> None:
        """Finishes the file and gives it its name.

        Raises:
            ImageError: the disk is full.
            FrameError: no frame was written.
        """
        if not self._open:
            return
        if self._container is None or self._stream is None:
            self.abort()
            raise FrameError(f"{self._path}: no frame was written.")
        try:
            self._container.mux(self._stream.encode(None))
            if self._sound:
                self._sound.copy_until(Fraction(self._count) / self._rate)
                self._sound.close()
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            self.abort()
            raise write_error(self._path, error if isinstance(error, OSError) else str(error)) from error
        self._open = False
        self._file.__exit__(None, None, None)

    def abort(self) -> None:
        """Removes what was written so far."""
        if not self._open:
            return
        self._open = False
        for closing in (self._sound, self._container):
            if closing is not None:
                try:
                    closing.close()
                except (av.FFmpegError, OSError) as error:
                    self.warnings.append(f"Closing {self._path}: {error}.")
        stop = Cancelled(f"{self._path} was given up.")
        try:
            self._file.__exit__(Cancelled, stop, None)
        except Cancelled as cancelled:
            if cancelled is not stop:
                raise


def _encoder(name: str, codec: MovieCodec, size: Tuple[int, int], alpha: bool) -> Tuple[str, str]:
    """The encoder and pixel format that this build of FFmpeg has."""
    wanted_formats = codec.formats[1:] if codec.alpha and not alpha else codec.formats
    for encoder in codec.encoders:
        if encoder not in av.codecs_available:
            continue
        known = {known.name for known in av.Codec(encoder, "w").video_formats or ()}
        formats = [wanted for wanted in wanted_formats if wanted in known]
        if size[0] % 2 or size[1] % 2:
            # Odd sizes cannot be halved for chroma.
            formats = [wanted.replace("420p", "444p") for wanted in formats if wanted.replace("420p", "444p") in known]
        if formats:
            return encoder, formats[0]
    raise BadRequest(
        f"This build of FFmpeg cannot encode {name}.", f"Use one of {', '.join(sorted(MOVIE_CODECS))}, or EXR."
    )


def _muxing(suffix: str) -> Dict[str, str]:
    return {"movflags": "+faststart+write_colr"} if suffix in (".mov", ".mp4", ".m4v") else {}


def open_movie(
    path: Path,
    *,
    rate: Fraction,
    size: Tuple[int, int],
    timecode: str = "",
    colorspace: str = "",
    like: Optional[Named] = None,
    codec: Optional[str] = None,
    audio_from: Optional[Path] = None,
    audio_start: Fraction = Fraction(0),
    fingerprint: str = "",
) -> MovieWriter:
    """Begins a movie.

    Args:
        path: the file; its ending chooses the container.
        rate: frames per second, exact.
        size: width and height of every frame.
        timecode: of the first frame, or empty.
        colorspace: OCIO name of the pixels' space, for the tags of streams that are like no other.
        like: a movie whose colour tags (matrix, range, primaries, transfer) are taken over.
        codec: of :data:`MOVIE_CODECS`; None takes ProRes for .mov (4444 with alpha), H.264 for .mp4 and .mkv,
            DNxHR for .mxf.
        audio_from: a movie whose sound is copied, packet by packet, as far as the picture goes.
        audio_start: seconds into that sound at the first frame.
        fingerprint: kept in the file's comment, read by :func:`kairos.images.read_fingerprint`.

    Raises:
        BadRequest: a container or codec that cannot be written, or the two together.
    """
    suffix = path.suffix.lower()
    if suffix not in _DEFAULTS:
        raise BadRequest(f"{path}: movies ending in {suffix} cannot be written.", f"Use {', '.join(_DEFAULTS)}.")
    if codec is not None and codec not in MOVIE_CODECS:
        raise BadRequest(f"Codec {codec!r} is unknown.", f"Use one of {', '.join(sorted(MOVIE_CODECS))}.")
    if codec is not None and suffix not in MOVIE_CODECS[codec].suffixes:
        raise BadRequest(f"{path} cannot hold {codec}.", f"Use {', '.join(MOVIE_CODECS[codec].suffixes)}.")
    if rate <= 0:
        raise BadRequest(f"{path}: a movie needs a frame rate.", "Pass --fps.")
    tags = _tags(like, colorspace, size)
    return MovieWriter(path, rate, size, timecode, tags, codec, audio_from, audio_start, fingerprint)


def _tags(like: Optional[Named], colorspace: str, size: Tuple[int, int]) -> _Tags:
    if like is not None and like.movie:
        facts = movie_facts(like.path(0))
        # Encoders here write video levels; a full-range source is brought to them, and tagged so.
        return _Tags(yuv.Coding(facts.coding.matrix, yuv.LIMITED), facts.tags[1], facts.tags[2])
    name = colorspace.lower()
    transfer = next((code for part, code in _TRANSFERS if part in name), 1)
    wide = "2020" in name or "2100" in name
    return _Tags(
        yuv.Coding(yuv.BT2020 if wide else yuv.BT709, yuv.LIMITED), 9 if wide else 12 if "p3" in name else 1, transfer
    )


def movie_fingerprint(path: Path) -> str:
    """The comment's fingerprint of a movie; empty where there is none or the file cannot be read."""
    try:
        with av.open(str(path)) as container:
            comments = (text for key, text in container.metadata.items() if key.lower().startswith("comment"))
            return next((found for text in comments if (found := software_fingerprint(text))), "")
    except (av.FFmpegError, OSError):
        return ""
