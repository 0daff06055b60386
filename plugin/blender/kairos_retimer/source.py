# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's plate: the scene's own rendered frames, or an image sequence or movie on disk."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import bpy

from kairos_nodes.errors import BadRequest, ImageError
from kairos_nodes.ranges import parse_range

from .exr_header import layers_with

MOVIES = (".mov", ".mp4", ".mkv", ".mxf", ".avi", ".m4v", ".webm")

SOURCES = (
    ("RENDER", "Rendered Frames", "The frames that this scene has rendered to its output path"),
    ("FILE", "File", "An image sequence or a movie on disk"),
)


@dataclass(frozen=True)
class Plate:
    """A plate as the runtime finds it.

    Attributes:
        spec: for the job's input.
        first, last: source frames, both included; those that are to be used.
        range: the same for the job, empty where the runtime counts a movie's frames better than Blender.
        files: the frames' files, or the movie.
        rate: frames per second as exact text, where the files do not say it.
    """

    spec: str
    first: int
    last: int
    range: str
    files: Tuple[Path, ...]
    rate: str

    def identity(self) -> List[Tuple[str, int, int]]:
        """What changes when the pictures do: name, size and time of every file."""
        found = []
        for path in self.files:
            status = path.stat()
            found.append((path.name, status.st_size, status.st_mtime_ns))
        return found


def plate_of(context: Any, node: Any) -> Plate:
    """The plate of a Kairos node.

    Raises:
        BadRequest: there is none, or frames of the asked range are not there.
    """
    scene = node.scene or context.scene
    rate = scene_rate(scene)
    asked = parse_range(node.range, "Source range") if node.range.strip() else None
    if node.source == "FILE":
        if not node.file.strip():
            raise BadRequest("No plate is chosen.", "Choose one of its frames, or a movie, under File.")
        return plate_at(Path(bpy.path.abspath(node.file)), asked, rate)
    rendered = Path(bpy.path.abspath(scene.render.frame_path(frame=scene.frame_start)))
    if rendered.suffix.lower() in MOVIES:
        return plate_at(rendered, asked, rate)
    if not _frames_like(rendered):
        raise BadRequest(
            f"The scene {scene.name} has no rendered frames at {rendered}.",
            "Render the animation first, or choose File as the source.",
        )
    return plate_at(rendered, asked or _within(rendered, scene.frame_start, scene.frame_end), rate)


def plate_at(path: Path, asked: Optional[Tuple[int, int]], rate: str) -> Plate:
    """The plate that a file belongs to.

    Args:
        path: a movie, or any frame of a sequence (the last digits of its name count).
        asked: source frames to use; all where None.
        rate: see :class:`Plate`.

    Raises:
        BadRequest: there is no such file, or the sequence has gaps in that range at its ends.
    """
    if path.suffix.lower() in MOVIES:
        if not path.is_file():
            raise BadRequest(f"There is no movie {path}.", "Choose another file.")
        first, last = asked or (0, _movie_frames(path) - 1)
        return Plate(path.as_posix(), first, last, f"{first}-{last}" if asked else "", (path,), rate)
    frames = _frames_like(path)
    if not frames:
        raise BadRequest(f"There are no frames like {path}.", "Choose one of the plate's frames.")
    first, last = asked or (min(frames), max(frames))
    for end in (first, last):
        if end not in frames:
            raise BadRequest(
                f"{path.parent} has no frame {end} of {path.name}.",
                f"It has {min(frames)} to {max(frames)}: set Source range.",
            )
    files = tuple(frames[number] for number in sorted(frames) if first <= number <= last)
    return Plate(_pattern(path), first, last, f"{first}-{last}", files, rate)


def vector_pass(plate: Plate) -> str:
    """The layer that holds Blender's own motion vectors, empty where the plate has none."""
    if plate.files[0].suffix.lower() != ".exr":
        return ""
    try:
        layers = layers_with(plate.files[0], "XYZW")
    except ImageError:
        return ""
    return next((layer for layer in layers if layer.rpartition(".")[2] == "Vector"), "")


def scene_rate(scene: Any) -> str:
    """A scene's frames per second as an exact fraction: Blender says 24 / 1.001 for 24000/1001."""
    rate = Fraction(scene.render.fps) / Fraction(scene.render.fps_base).limit_denominator(1001)
    return str(rate)


def _numbered(path: Path) -> Tuple[str, int, str]:
    """Name before the frame number, digits of the number, name after it."""
    found = re.search(r"(\d+)(\D*)$", path.stem)
    if found is None:
        return path.name, 0, ""
    return path.stem[: found.start()], len(found.group(1)), f"{found.group(2)}{path.suffix}"


def _pattern(path: Path) -> str:
    """A sequence as the job's input wants it; a name without a number is one frame."""
    before, digits, after = _numbered(path)
    if not digits:
        return path.as_posix()
    return f"{path.parent.as_posix()}/{before}%0{digits}d{after}"


def _frames_like(path: Path) -> Dict[int, Path]:
    """Files of a sequence by frame number; a single file without a number is frame 1."""
    before, digits, after = _numbered(path)
    if not digits:
        return {1: path} if path.is_file() else {}
    matching = re.compile(rf"{re.escape(before)}(\d{{{digits},}}){re.escape(after)}")
    found: Dict[int, Path] = {}
    try:
        entries = list(path.parent.iterdir())
    except OSError:
        return {}
    for entry in entries:
        match = matching.fullmatch(entry.name)
        if match is not None:
            found[int(match.group(1))] = entry
    return found


def _within(path: Path, first: int, last: int) -> Optional[Tuple[int, int]]:
    """The part of a scene's range that has been rendered, where it is one piece; the runtime names other gaps."""
    frames = [number for number in _frames_like(path) if first <= number <= last]
    return (min(frames), max(frames)) if frames else None


def _movie_frames(path: Path) -> int:
    """How many frames a movie has, as Blender counts them."""
    clip = bpy.data.movieclips.load(str(path))
    try:
        return max(1, int(clip.frame_duration))
    finally:
        bpy.data.movieclips.remove(clip)
