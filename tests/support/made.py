"""Made clips, each with its exact truth: small EXR sequences (and a movie) that acceptance tests retime.

Every function writes a sequence into a folder and answers with a :class:`Clip` that knows what the plate shows at any
time. Times count source frames from 0; pixels, x right and y down. A clip is 256 by 160, half, RGB where nothing else
is said.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import av
import numpy as np
import numpy.typing as npt

from kairos.bench.texture import Grid, Texture, grid
from support.exr import Planes, rgb_of, write_exr

WIDTH, HEIGHT = 256, 160
FIRST = 1001

Truth = Callable[[float], Dict[str, Planes]]
Motion = Callable[[float, float], Planes]
Path2D = Callable[[float], Tuple[float, float]]


@dataclass(frozen=True)
class Clip:
    """A made sequence.

    Attributes:
        pattern: for the command line, ``.../name.%04d.exr``.
        files: in order; the first is frame FIRST.
        truth: (H, W) planes by channel name at any time, before rounding to the file's sample type.
        motion: (2, H, W) displacement in pixels, y down, of time ``a``'s pixels until time ``b``; None where there is
            no single one.
        centre: x and y of the moving object at any time; None where there is none.
        quiet: (H, W) True where no moving object comes near at any time of the clip; None where nothing was asked.
        names: the objects of its Cryptomatte.
    """

    pattern: str
    files: Tuple[Path, ...]
    truth: Truth
    motion: Optional[Motion] = None
    centre: Optional[Path2D] = None
    quiet: Optional[npt.NDArray[np.bool_]] = None
    names: Tuple[str, ...] = ()

    def rgb(self, time: float) -> Planes:
        """(3, H, W) true colour at a time."""
        return rgb_of(self.truth(time))


def write_clip(directory: Path, name: str, frames: int, truth: Truth, **options: Any) -> Clip:
    """Writes the truth at whole times as ``directory/name.NNNN.exr``; ``options`` go to ``write_exr``."""
    files = tuple(write_exr(directory / f"{name}.{FIRST + i:04d}.exr", truth(i), **options) for i in range(frames))
    return Clip(str(directory / f"{name}.%04d.exr"), files, truth)


def colour(rgb: Planes) -> Dict[str, Planes]:
    """(3, H, W) as channels R, G and B."""
    return {"R": rgb[0], "G": rgb[1], "B": rgb[2]}


def constant(x: float, y: float, height: int, width: int) -> Planes:
    """(2, H, W) of one vector."""
    return np.broadcast_to(np.array([x, y], np.float32)[:, None, None], (2, height, width)).copy()


def disc(x: Grid, y: Grid, centre: Tuple[float, float], radius: float) -> Planes:
    """(H, W) coverage of a disc whose edge is a raised cosine two pixels wide: its centroid is true to 0.005 px."""
    inside = np.clip((radius + 1 - np.hypot(x - centre[0], y - centre[1])) / 2, 0, 1)
    return ((1 - np.cos(np.pi * inside)) / 2).astype(np.float32)


def box(x: Grid, y: Grid, centre: Tuple[float, float], width: float, height: float) -> Planes:
    """(H, W) exact pixel coverage of an upright rectangle."""
    across = np.clip(np.minimum(x + 0.5, centre[0] + width / 2) - np.maximum(x - 0.5, centre[0] - width / 2), 0, 1)
    down = np.clip(np.minimum(y + 0.5, centre[1] + height / 2) - np.maximum(y - 0.5, centre[1] - height / 2), 0, 1)
    return (across * down).astype(np.float32)


def centroid(plane: Planes, floor: float) -> Tuple[float, float]:
    """x and y of what rises above ``floor``, weighted by how far it rises."""
    weight = np.clip(plane.astype(np.float64) - floor, 0, None)
    x, y = grid(*plane.shape)
    return float((weight * x).sum() / weight.sum()), float((weight * y).sum() / weight.sum())


def straight(start: Tuple[float, float], velocity: Tuple[float, float]) -> Path2D:
    """A path of constant velocity, pixels per frame."""
    return lambda time: (start[0] + velocity[0] * time, start[1] + velocity[1] * time)


def pan(
    directory: Path,
    velocity: Tuple[float, float] = (7.5, 3.25),
    frames: int = 5,
    size: Tuple[int, int] = (HEIGHT, WIDTH),
    **options: Any,
) -> Clip:
    """A texture that moves as a whole, ``velocity`` pixels per frame."""
    texture, (x, y) = Texture(1), grid(*size)

    def truth(time: float) -> Dict[str, Planes]:
        return colour(texture.at(x - velocity[0] * time, y - velocity[1] * time))

    clip = write_clip(directory, "pan", frames, truth, **options)
    return replace(clip, motion=lambda a, b: constant(velocity[0] * (b - a), velocity[1] * (b - a), *size))


def moving_disc(
    directory: Path,
    velocity: Tuple[float, float] = (6.0, 2.0),
    frames: int = 9,
    start: Optional[Tuple[float, float]] = None,
    radius: float = 9.0,
    value: float = 8.0,
    ground: str = "texture",
    follow: bool = False,
    size: Tuple[int, int] = (HEIGHT, WIDTH),
    **options: Any,
) -> Clip:
    """A disc far brighter than the ground (which stays under 1): its place is ``centroid(plane, 1.0)``.

    Args:
        start: centre at time 0; chosen so that the path stays inside where None.
        value: of the disc, scene-linear, flat.
        ground: ``texture`` or ``flat`` (0.2).
        follow: the ground moves along, as in a pan.
        size: height and width.
    """
    texture, (x, y) = Texture(2, 0.35, 0.08), grid(*size)
    last = frames - 1
    centre = straight(start or ((size[1] - velocity[0] * last) / 2, (size[0] - velocity[1] * last) / 2), velocity)
    moves = velocity if follow else (0.0, 0.0)

    def truth(time: float) -> Dict[str, Planes]:
        below = np.full((3, *size), 0.2, np.float32)
        if ground == "texture":
            below = texture.at(x - moves[0] * time, y - moves[1] * time)
        cover = disc(x, y, centre(time), radius)
        return colour(below * (1 - cover) + value * cover)

    return replace(write_clip(directory, "disc", frames, truth, **options), centre=centre)


def highlight(
    directory: Path,
    width: float = 7.0,
    value: float = 5000.0,
    frames: int = 5,
    size: Tuple[int, int] = (HEIGHT, WIDTH),
) -> Clip:
    """A flat round highlight ``width`` pixels wide inside its soft edge, moving over a textured ground."""
    return moving_disc(directory, (5.5, 2.25), frames, start=(90.0, 60.0), radius=width / 2 + 1, value=value, size=size)


def wild_plate(seed: int = 3, size: Tuple[int, int] = (HEIGHT, WIDTH)) -> Planes:
    """(3, H, W) texture with patches of hard values from -8 to 65504, all exact in half."""
    rng = np.random.default_rng(seed)
    x, y = grid(*size)
    plate = Texture(seed).at(x, y)
    for value in (-8.0, -0.001, 0.0, 6e-8, 1.0, 40.0, 5000.0, 65504.0):
        for _ in range(3):
            top, left = int(rng.integers(size[0] - 12)), int(rng.integers(size[1] - 12))
            plate[int(rng.integers(3)), top : top + 12, left : left + 12] = value
    plate[:, 0, 0], plate[:, -1, -1] = -8.0, 65504.0
    return plate.astype(np.float16).astype(np.float32)


def still_hdr(directory: Path, frames: int = 3) -> Clip:
    """The same wild plate in every frame."""
    plate = wild_plate()
    clip = write_clip(directory, "still", frames, lambda time: colour(plate))
    return replace(clip, motion=lambda a, b: constant(0, 0, HEIGHT, WIDTH), quiet=np.ones((HEIGHT, WIDTH), np.bool_))


def still_with_mover(directory: Path, frames: int = 4, margin: float = 48.0) -> Clip:
    """A wild plate that stands still behind a textured object; ``quiet`` lies ``margin`` pixels off its whole path."""
    plate, pattern, radius = wild_plate(), Texture(5, 0.6, 0.15), 18.0
    x, y = grid(HEIGHT, WIDTH)
    centre = straight((60.0, 50.0), (8.0, 3.0))

    def truth(time: float) -> Dict[str, Planes]:
        place = centre(time)
        cover = disc(x, y, place, radius)
        return colour(plate * (1 - cover) + pattern.at(x - place[0], y - place[1]) * cover)

    steps = np.linspace(0, frames - 1, 8 * frames)
    nearest = np.min([np.hypot(x - centre(step)[0], y - centre(step)[1]) for step in steps], axis=0)
    quiet = nearest > radius + 1 + margin
    return replace(write_clip(directory, "mover", frames, truth), centre=centre, quiet=quiet)


def hard_edge(directory: Path, velocity: float = 5.5, frames: int = 4) -> Clip:
    """A texture about 0.8 with a hard upright edge against 0 that moves along with it; no value is negative."""
    texture, (x, y) = Texture(6, 0.8, 0.1), grid(HEIGHT, WIDTH)

    def truth(time: float) -> Dict[str, Planes]:
        cover = np.clip(x + 0.5 - (70.25 + velocity * time), 0, 1).astype(np.float32)
        return colour(texture.at(x - velocity * time, y) * cover)

    clip = write_clip(directory, "edge", frames, truth)
    return replace(clip, motion=lambda a, b: constant(velocity * (b - a), 0, HEIGHT, WIDTH))


def nan_plate(directory: Path, value: float = float("nan"), frames: int = 4) -> Clip:
    """A slow pan with a 3 by 3 block and a lone pixel of NaN (or Inf) in the middle frames, at fixed places."""
    texture, (x, y) = Texture(7), grid(HEIGHT, WIDTH)

    def truth(time: float) -> Dict[str, Planes]:
        rgb = texture.at(x - 3.0 * time, y - 1.5 * time)
        if time in (1, 2):
            rgb[:, 60:63, 100:103] = value
            rgb[1, 120, 200] = value
        return colour(rgb)

    clip = write_clip(directory, "nan", frames, truth)
    return replace(clip, motion=lambda a, b: constant(3.0 * (b - a), 1.5 * (b - a), HEIGHT, WIDTH))


def two_scenes(directory: Path, frames: int = 8, cut: int = 4, size: Tuple[int, int] = (HEIGHT, WIDTH)) -> Clip:
    """A cut before position ``cut``. The first scene has no blue and the second no red: a trace of either shows."""
    one, two, (x, y) = Texture(8), Texture(9), grid(*size)

    def truth(time: float) -> Dict[str, Planes]:
        first = time < cut
        rgb = one.at(x - 4.0 * time, y) if first else two.at(x, y + 5.0 * time)
        rgb[2 if first else 0] = 0
        return colour(rgb)

    return write_clip(directory, "cut", frames, truth)


def object_over(
    directory: Path,
    ground: str = "texture",
    object_velocity: Tuple[float, float] = (9.0, 3.0),
    ground_velocity: Tuple[float, float] = (-6.0, -2.0),
    frames: int = 4,
) -> Clip:
    """A faintly textured disc over a ground that moves the other way, with matte and true vectors.

    ``ground='texture'`` is hard at the object's edge, where a matte helps; ``ground='stripes'`` repeats every 12 px and
    moves 7.5 px a frame, so that matching pixels finds the wrong stripe and only given vectors are right.

    Channels: RGB, ``matte.a``, and float ``forward.u/v`` and ``backward.u/v`` (pixels per frame, v up).
    """
    texture, skin, (x, y) = Texture(10, 0.4, 0.14), Texture(11, 0.42, 0.03), grid(HEIGHT, WIDTH)
    if ground == "stripes":
        ground_velocity = (7.5, 0.0)
    centre = straight((90.0, 65.0), object_velocity)
    radius = 32.0

    def truth(time: float) -> Dict[str, Planes]:
        gx, gy = x - ground_velocity[0] * time, y - ground_velocity[1] * time
        below = texture.at(gx, gy)
        if ground == "stripes":
            below = np.repeat((0.4 + 0.25 * np.sin(2 * np.pi * gx / 12.0)).astype(np.float32)[None], 3, axis=0)
        place = centre(time)
        cover = disc(x, y, place, radius)
        rgb = below * (1 - cover) + skin.at(x - place[0], y - place[1]) * cover
        here = motion(time, time + 1)
        return {
            **colour(rgb),
            "matte.a": cover,
            "forward.u": here[0],
            "forward.v": -here[1],
            "backward.u": -here[0],
            "backward.v": here[1],
        }

    def motion(a: float, b: float) -> Planes:
        front = np.hypot(x - centre(a)[0], y - centre(a)[1]) < radius
        return np.where(
            front,
            constant(*(v * (b - a) for v in object_velocity), HEIGHT, WIDTH),
            constant(*(v * (b - a) for v in ground_velocity), HEIGHT, WIDTH),
        ).astype(np.float32)

    names = ("forward.u", "forward.v", "backward.u", "backward.v")
    clip = write_clip(directory, "object", frames, truth, depth=dict.fromkeys(names, "float"))
    return replace(clip, motion=motion, centre=centre)


def bar(directory: Path, velocity: float = 20.0, frames: int = 5, width: float = 60.0) -> Clip:
    """A bar of 1 over a ground of 0.1 (both faintly textured), 20 px per frame to the right, with hard sides.

    Averaged over its middle rows, a side that a shutter blurs over n pixels is a ramp n pixels wide.
    """
    below, skin, (x, y) = Texture(12, 0.1, 0.015), Texture(13, 1.0, 0.05), grid(HEIGHT, WIDTH)
    centre = straight((70.0, HEIGHT / 2), (velocity, 0.0))

    def truth(time: float) -> Dict[str, Planes]:
        cover = box(x, y, centre(time), width, 90.0)
        return colour(below.at(x, y) * (1 - cover) + skin.at(x - centre(time)[0], y) * cover)

    return replace(write_clip(directory, "bar", frames, truth), centre=centre)


def timecoded(
    directory: Path,
    rate: Fraction = Fraction(24000, 1001),
    timecode: Sequence[int] = (1, 0, 0, 22),
    frames: int = 5,
) -> Clip:
    """A small pan with frame rate and a running SMPTE timecode (non-drop; hours, minutes, seconds, frames)."""
    texture, (x, y) = Texture(14), grid(64, 96)
    count = round(float(rate))
    hours, minutes, seconds, start = timecode
    origin = ((hours * 60 + minutes) * 60 + seconds) * count + start

    def truth(time: float) -> Dict[str, Planes]:
        return colour(texture.at(x - 3.0 * time, y))

    files = []
    for index in range(frames):
        rest, frame = divmod(origin + index, count)
        fields = (frame, rest % 60, rest // 60 % 60, rest // 3600)
        # SMPTE 12M packs each field as two decimal digits, four bits each, a byte apart.
        packed = sum(((value // 10) << 4 | value % 10) << 8 * place for place, value in enumerate(fields))
        name = directory / f"timecode.{FIRST + index:04d}.exr"
        files.append(write_exr(name, truth(index), rate=rate, timecode=(packed, 0)))
    motion: Motion = lambda a, b: constant(3.0 * (b - a), 0, 64, 96)  # noqa: E731 - as short as what it says
    return Clip(str(directory / "timecode.%04d.exr"), tuple(files), truth, motion)


def movie(
    path: Path,
    rate: Fraction = Fraction(24000, 1001),
    frames: int = 24,
    codec: str = "prores_ks",
    pixels: str = "yuv422p10le",
    timecode: str = "01:00:00:00",
    size: Tuple[int, int] = (96, 160),
) -> Path:
    """A movie of a bright disc that moves 4 px a frame, with a 440 Hz tone as long as the picture and a timecode."""
    x, y = grid(*size)
    with av.open(str(path), "w") as container:
        if timecode:
            container.metadata["timecode"] = timecode
        picture = container.add_stream(codec, rate=rate)
        picture.width, picture.height, picture.pix_fmt = size[1], size[0], pixels
        sound = container.add_stream("pcm_s16le" if path.suffix == ".mov" else "aac", rate=48000, layout="mono")
        for index in range(frames):
            cover = disc(x, y, (24.0 + 4.0 * index, size[0] / 2), 9.0)[..., None]
            level = (60 + 150 * cover) * np.array([1.0, 0.9, 0.8])
            frame = av.VideoFrame.from_ndarray(np.rint(level).astype(np.uint8), format="rgb24")
            frame.pts = index
            frame.time_base = 1 / rate
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        samples = int(frames / rate * 48000)
        tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(samples) / 48000)).astype(np.int16)
        for start in range(0, samples, 1024):
            piece = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="s16", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = 48000, start, Fraction(1, 48000)
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
    return path
