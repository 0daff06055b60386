"""``kairos bench regions``: every odd frame withheld and rebuilt, judged where objects end and as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import numpy.typing as npt

from kairos.bench.clips import srgb_encode
from kairos.bench.metrics import Image
from kairos.color import ColorConfig
from kairos.engines.hierarchical.masks.layers import Labels
from kairos.errors import BadRequest
from kairos.frame import Frame, Window
from kairos.images import beauty, is_alpha, layers_of, open_shot, views_of
from kairos.retime import retime_shot
from kairos.retime.footage import Footage, Picked
from kairos.retime.layout import read_layout
from kairos.retime.plate import Plate, on_canvas
from kairos.retime.regions import open_regions
from kairos.retime.settle import settle_device
from kairos_nodes.jobs import RetimeJob

PIXELS = 5
"""How far from an object's border the band reaches, pixels."""

Mask = npt.NDArray[np.bool_]
"""(H, W)."""

Way = Tuple[str, str]
"""An engine, and the ``--regions`` it is given; empty for none."""


@dataclass(frozen=True)
class Rebuilt:
    """What one way made.

    Attributes:
        way: engine and ``--regions``.
        images: one per withheld frame.
        band: PSNR within the band, dB, per frame; NaN where a frame shows no border.
        whole: PSNR of the whole frame, dB.
    """

    way: Way
    images: Sequence[Image]
    band: Sequence[float]
    whole: Sequence[float]

    @property
    def title(self) -> str:
        """For tables and pictures."""
        engine, regions = self.way
        return f"{engine} --regions {regions}" if regions else engine


@dataclass(frozen=True)
class Comparison:
    """Several ways on one clip.

    Attributes:
        clip: as it was named.
        regions: whose borders the band follows.
        pixels: how far it reaches to either side.
        numbers: of the withheld frames.
        truths: those frames.
        bands: of each.
        rows: what the ways made; the first is what the others are held against.
    """

    clip: str
    regions: str
    pixels: int
    numbers: Sequence[int]
    truths: Sequence[Image]
    bands: Sequence[Mask]
    rows: Sequence[Rebuilt]

    def gain(self, row: Rebuilt) -> Tuple[float, float]:
        """By how much a way is better than the first in the band and as a whole, mean over frames, dB."""
        first = self.rows[0]
        return mean(row.band) - mean(first.band), mean(row.whole) - mean(first.whole)


def band(labels: Labels, pixels: int = PIXELS) -> Mask:
    """What lies within some pixels of a border between two objects, or between an object and the rest.

    Args:
        labels: (H, W) label map.
        pixels: the furthest pixel on either side of a border, 1 being the one that touches it. The frame's own edge is
            no border.
    """
    touches = np.zeros(labels.shape, np.bool_)
    down, across = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    touches[1:] |= down
    touches[:-1] |= down
    touches[:, 1:] |= across
    touches[:, :-1] |= across
    if not touches.any():
        return touches
    away = cv2.distanceTransform((~touches).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away < pixels, np.bool_)


def psnr_within(truth: Image, image: Image, mask: Mask) -> float:
    """Peak signal-to-noise ratio of the pixels of a mask, dB, on 0..255, as :func:`kairos.bench.metrics.psnr` has it
    of all. NaN for an empty mask.
    """
    if not mask.any():
        return float("nan")
    error = np.square(truth[mask].astype(np.float64) - image[mask]).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def mean(values: Sequence[float]) -> float:
    """Over the frames that have a figure."""
    return float(np.nanmean(values))


def compare(
    frames: str,
    regions: str,
    engines: Sequence[Way],
    *,
    rules: str = "",
    device: str = "auto",
    pixels: int = PIXELS,
    listener: Optional[Callable[[str], None]] = None,
) -> Comparison:
    """Rebuilds every odd frame of a clip from the even ones, by the job itself, in several ways.

    Args:
        frames: a movie or sequence, as for ``kairos retime``; of an even count the last is left out.
        regions: as for ``--regions``, read off the withheld frames, too: the band follows their borders. What is found
            (``auto``, ``tags:``) is found in the whole clip for the band, and in the plate alone by a way.
        engines: each with the ``--regions`` it is given.
        rules: as for ``--region-rules``, to all ways that have regions.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        pixels: see :func:`band`.
        listener: told one line per way, for people.

    Raises:
        BadRequest: fewer than three frames, no border in any withheld frame, or regions that cannot be.
        KairosError: a frame cannot be read, or an engine cannot run.
    """
    config = ColorConfig.load()
    with open_shot(frames, config=config) as shot:
        if len(shot) < 3:
            raise BadRequest(f"{frames} has {len(shot)} frames.", "Give three or more: every odd one is withheld.")
        withheld = range(1, len(shot) - 1, 2)
        window, bands = _bands(shot, regions, withheld, config, device, pixels)
        truths = [picture(shot.read(position), window) for position in withheld]
        if not any(each.any() for each in bands):
            raise BadRequest(f"--regions {regions}: no withheld frame shows an object's border.", "Name other objects.")
        rows = []
        for engine, given in engines:
            job = RetimeJob(
                frames, f"rebuilt.%04d{'.exr' if shot.scene_linear else '.png'}", speed="1/2", engine=engine,
                device=device, regions=given, region_rules=rules if given else "", channels="rgb", cuts="off",
                repeats="keep",
            )  # fmt: skip
            plate = Picked(shot, range(0, withheld[-1] + 2, 2))
            images = _rebuilt(job, plate, window, config)
            pairs = list(zip(truths, images))
            within = [psnr_within(*pair, mask) for pair, mask in zip(pairs, bands)]
            rows.append(
                Rebuilt((engine, given), images, within, [psnr_within(*pair, _every(pair[0])) for pair in pairs])
            )
            if listener is not None:
                row = rows[-1]
                listener(f"{frames}: {row.title} {mean(row.band):.2f} dB in the band, {mean(row.whole):.2f} dB whole")
        numbers = [shot.numbers[position] for position in withheld]
    return Comparison(frames, regions, pixels, numbers, truths, bands, rows)


def picture(frame: Frame, window: Window) -> Image:
    """A frame's beauty in a window as 8-bit RGB: as encoded, or scene-linear clipped to 0..1 and sRGB-encoded."""
    layer = beauty(layers_of(frame), views_of(frame)[0])
    names = frame.parts[layer.part].channels
    colour = [channel for channel in layer.channels if not is_alpha(names[channel])][:3]
    planes = on_canvas(frame.parts, [(layer.part, channel) for channel in (colour * 3)[:3]], window).numpy()
    seen = np.nan_to_num(planes.transpose(1, 2, 0)).clip(0, 1)
    return np.round((srgb_encode(seen) if frame.scene_linear else seen) * 255).astype(np.uint8)


class _Taken:
    """Keeps finished frames; see :class:`kairos.retime.outputs.Output`."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self.images: List[Image] = []

    def finished(self, number: int, fingerprint: str) -> bool:
        """Never: every frame is made."""
        return False

    def put(self, frame: Frame, fingerprint: str) -> None:
        """Takes a frame."""
        self.images.append(picture(frame, self._window))

    def close(self) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing is open."""


def _rebuilt(job: RetimeJob, plate: Footage, window: Window, config: ColorConfig) -> List[Image]:
    taken = _Taken(window)
    retime_shot(job, plate, config, lambda event: None, output=taken)
    return taken.images[1::2]


def _bands(
    shot: Footage, regions: str, withheld: Sequence[int], config: ColorConfig, device: str, pixels: int
) -> Tuple[Window, List[Mask]]:
    """The part of the display window that has pixels, and the withheld frames' bands over it."""
    layout = read_layout(shot, "", "rgb")
    view = layout.views[0]
    canvas = layout.canvases[view]
    window = canvas.intersection(layout.display)
    found = open_regions(regions, "", shot, layout, config)
    if found is None:
        raise BadRequest("The band follows the borders of objects.", "Say with --regions what they are.")
    plate = Plate(shot, layout, settle_device(device), config, linear=shot.scene_linear)
    bands = []
    try:
        for position in withheld:
            plate.want([position])
            labels = found.labels(plate, view, position).cpu().numpy()
            bands.append(band(labels[canvas.slices(window)], pixels))
    finally:
        found.close()
        plate.close()
    return window, bands


def _every(truth: Image) -> Mask:
    return np.ones(truth.shape[:2], np.bool_)
