"""Where finished frames go: a sequence that can be resumed frame by frame, or a movie."""

from __future__ import annotations

import re
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Callable, Dict, List, Optional, Protocol, Sequence, Set

import fileseq
import numpy as np

from kairos.color import ColorConfig
from kairos.errors import BadRequest, ImageError
from kairos.frame import Frame, Part
from kairos.images import (
    MOVIE_SUFFIXES,
    MovieWriter,
    clean_leftovers,
    from_scene_linear,
    layers_of,
    open_movie,
    read_fingerprint,
    to_scene_linear,
    write_image,
)
from kairos_nodes.layers import Policy

from .footage import Footage

LOSSY = ("dwaa", "dwab", "b44", "b44a", "pxr24")

PENDING = 2
"""Finished frames that may wait to be written: what bounds memory when the disk is slower than the engine."""


@dataclass(frozen=True)
class WriteSettings:
    """How frames are stored.

    Attributes:
        colorspace: what the file holds; empty keeps the frame as it is.
        single: everything stays in one part, so that a lossy compression, which would damage vectors, becomes zip.
    """

    compression: str = "auto"
    bit_depth: str = "same"
    colorspace: str = ""
    scene_linear: bool = True
    single: bool = False


Finished = Callable[[int, Path, Sequence[str]], None]
"""Called on the writing thread when a frame is safely on disk: number, file, warnings."""


class Output(Protocol):
    """Where frames go. ``put`` may wait; errors of earlier writes come out of any later call."""

    def finished(self, number: int, fingerprint: str) -> bool:
        """True where an earlier run left this very frame. Raises BadRequest for somebody else's file."""

    def put(self, frame: Frame, fingerprint: str) -> None:
        """Takes a frame to write."""

    def close(self) -> None:
        """Waits until everything is on disk."""

    def abort(self) -> None:
        """Stops; frames already on disk stay, nothing half-written does."""


def is_movie(spec: str) -> bool:
    """True where an output or input names a movie file."""
    return Path(spec).suffix.lower() in MOVIE_SUFFIXES


class SequencePattern:
    """An output sequence's file names.

    Args:
        spec: ``shot.%04d.exr``, ``shot.####.exr``, ``shot.@@@@.exr``, ``shot.$F4.exr``, or a folder (then the names are
            the input's).
        count: frames to be written; one frame needs no number in its name.
        model: a source file whose name a folder's files take over.

    Raises:
        BadRequest: several frames would land in one file.
    """

    def __init__(self, spec: str, count: int, model: Path) -> None:
        if not Path(spec).suffix:
            stem = re.sub(r"[._]?\d+$", "", model.stem) or "frame"
            suffix = model.suffix if model.suffix.lower() not in MOVIE_SUFFIXES else ".exr"
            spec = str(Path(spec) / f"{stem}.%04d{suffix}")
        hashes = re.search(r"#+", Path(spec).name)
        style = fileseq.PAD_STYLE_HASH1 if hashes and len(hashes.group()) > 1 else fileseq.PAD_STYLE_HASH4
        self._sequence = fileseq.FileSequence(spec, pad_style=style)
        if not self._sequence.padding() and count > 1:
            raise BadRequest(
                f"{count} frames would all be written to {spec}.",
                f"Put a frame number into the name, for example {Path(spec).stem}.%04d{Path(spec).suffix}.",
            )

    def path(self, number: int) -> Path:
        """The file of one frame number."""
        return Path(self._sequence.frame(number) if self._sequence.padding() else str(self._sequence))


class SequenceOutput:
    """A numbered sequence, written by a thread of its own, atomically and frame by frame.

    Args:
        pattern: file names.
        settings: how frames are stored.
        config: colour conversions.
        inputs: files that must never be written over.
        overwrite: render and replace whatever is there.
        finished: told of every frame on disk.
    """

    def __init__(
        self,
        pattern: SequencePattern,
        settings: WriteSettings,
        config: ColorConfig,
        inputs: Set[Path],
        overwrite: bool,
        finished: Finished,
    ) -> None:
        self._pattern, self._settings, self._config = pattern, settings, config
        self._inputs, self._overwrite, self._tell = inputs, overwrite, finished
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="kairos-write")
        self._room = threading.BoundedSemaphore(PENDING)
        self._pending: List[Future[None]] = []
        self._cleaned: Set[Path] = set()

    def finished(self, number: int, fingerprint: str) -> bool:
        """True where the file carries this fingerprint. Raises BadRequest for a file that must not be replaced."""
        path = self._pattern.path(number)
        self._clean(path.parent)
        if path.resolve() in self._inputs:
            raise BadRequest(f"{path} is an input of this job.", "Write the output to another name or folder.")
        if self._overwrite or not path.exists():
            return False
        if read_fingerprint(path) == fingerprint:
            return True
        raise BadRequest(
            f"{path} exists and was made with other settings, from other frames, or by somebody else.",
            "Choose another output, or pass --overwrite to replace it.",
        )

    def _clean(self, folder: Path) -> None:
        if folder in self._cleaned:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageError(
                f"The folder {folder} cannot be made: {error.strerror}.", "Choose another output."
            ) from None
        clean_leftovers(folder)
        self._cleaned.add(folder)

    def put(self, frame: Frame, fingerprint: str) -> None:
        """Hands a frame to the writing thread; waits while ``PENDING`` are under way."""
        self._room.acquire()
        self._raise_failed()
        self._pending.append(self._pool.submit(self._write, frame, fingerprint))

    def _write(self, frame: Frame, fingerprint: str) -> None:
        try:
            path = self._pattern.path(frame.number)
            self._clean(path.parent)
            stored = stored_frame(frame, self._settings, self._config)
            warnings = write_image(
                path,
                stored,
                compression="auto",
                bit_depth=self._settings.bit_depth,
                fingerprint=fingerprint,
                config=self._config,
            )
            self._tell(frame.number, path, warnings)
        finally:
            self._room.release()

    def _raise_failed(self) -> None:
        waiting = []
        for future in self._pending:
            if future.done():
                future.result()
            else:
                waiting.append(future)
        self._pending = waiting

    def close(self) -> None:
        """Waits for the last frame. Raises what writing raised."""
        self._pool.shutdown(wait=True)
        self._raise_failed()

    def abort(self) -> None:
        """Drops frames that wait; the one being written is finished."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def stored_frame(frame: Frame, settings: WriteSettings, config: ColorConfig) -> Frame:
    """The frame as its file holds it: in the file's colour space, every part with its compression settled."""
    if settings.scene_linear and not frame.scene_linear:
        frame = to_scene_linear(frame, config)
    elif frame.scene_linear and not settings.scene_linear:
        frame = from_scene_linear(frame, settings.colorspace, config)
    if settings.compression == "auto":
        return frame
    lossy = settings.compression.partition(":")[0] in LOSSY
    if settings.single or not lossy:
        compression = "zip" if lossy else settings.compression
        return replace(frame, parts=tuple(replace(part, compression=compression) for part in frame.parts))
    return replace(frame, parts=tuple(split_for_lossy(frame, settings.compression)))


def split_for_lossy(frame: Frame, compression: str) -> List[Part]:
    """Parts where only colour is compressed with loss: everything else goes to a part of its own, as zip."""
    colour: Dict[int, Set[int]] = {index: set() for index in range(len(frame.parts))}
    for layer in layers_of(frame):
        if layer.policy is Policy.BLEND:
            colour[layer.part] |= set(layer.channels)
    parts = []
    for index, part in enumerate(frame.parts):
        data = [channel for channel in range(len(part.channels)) if channel not in colour[index]]
        beauty = [channel for channel in range(len(part.channels)) if channel in colour[index]]
        if beauty:
            parts.append(_subset(part, beauty, compression, part.name))
        if data:
            parts.append(_subset(part, data, "zip", f"{part.name or 'rgba'}_data" if beauty else part.name))
    return parts


def _subset(part: Part, channels: List[int], compression: str, name: str) -> Part:
    return replace(
        part,
        channels=tuple(part.channels[channel] for channel in channels),
        depths=tuple(part.depths[channel] for channel in channels),
        planes=np.ascontiguousarray(part.planes[channels]),
        compression=compression,
        name=name,
    )


class MovieOutput:
    """A movie: written whole or not at all.

    Args:
        path: the movie file.
        settings: how frames are stored.
        config: colour conversions.
        rate: frames per second of the output.
        shot: the source, for its size, codec family and sound.
        sound: copy the source's sound (where the duration is kept).
        overwrite: replace whatever is there.
        fingerprint: of the whole movie.
        finished: told of every frame encoded.
    """

    def __init__(
        self,
        path: Path,
        settings: WriteSettings,
        config: ColorConfig,
        rate: Fraction,
        shot: Footage,
        sound: bool,
        overwrite: bool,
        fingerprint: str,
        finished: Finished,
    ) -> None:
        self._path, self._settings, self._config = path, settings, config
        self._rate, self._shot, self._sound = rate, shot, sound
        self._fingerprint, self._tell = fingerprint, finished
        self._writer: Optional[MovieWriter] = None
        self._done = False
        if path.exists() and not overwrite:
            if read_fingerprint(path) != fingerprint:
                raise BadRequest(
                    f"{path} exists and was made with other settings, from other frames, or by somebody else.",
                    "Choose another output, or pass --overwrite to replace it.",
                )
            self._done = True

    def finished(self, number: int, fingerprint: str) -> bool:
        """True for every frame of a movie that an earlier run completed."""
        return self._done

    def put(self, frame: Frame, fingerprint: str) -> None:
        """Encodes the frame; frames must come in order."""
        if self._writer is None:
            self._writer = open_movie(
                self._path,
                rate=self._rate,
                size=(frame.display.width, frame.display.height),
                timecode=frame.timecode,
                colorspace=self._settings.colorspace,
                like=self._shot if self._shot.movie else None,
                audio_from=self._shot.path(0) if self._sound and self._shot.movie else None,
                audio_start=self._shot.numbers[0] / (self._shot.rate or self._rate),
                fingerprint=self._fingerprint,
            )
        self._writer.write(stored_frame(frame, self._settings, self._config))
        self._tell(frame.number, self._path, [])

    def close(self) -> None:
        """Completes the movie and gives it its name."""
        if self._writer is not None:
            self._writer.close()

    def abort(self) -> None:
        """Removes what was encoded so far."""
        if self._writer is not None:
            self._writer.abort()
