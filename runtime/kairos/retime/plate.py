"""A plate as tensors: its layers placed on the canvas, and the proxy that an engine sees of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kairos.color import ColorConfig
from kairos.frame import Frame, Part, Window
from kairos.images import Layer, premultiplied, straight_alpha, to_scene_linear
from kairos.motion.encode import encode, shot_exposure
from kairos.motion.region_choice import RegionRule
from kairos_nodes.layers import Policy

from .footage import Footage
from .layout import Layout
from .readahead import ReadAhead

EXPOSURE_SAMPLES = 5
"""How many frames, evenly spread over the whole shot, the proxy's exposure is measured on."""

KEPT_PROXIES = 8
THUMB_HEIGHT = 96


class Source:
    """One source frame: as read, as worked on, and as tensors on the canvas.

    Attributes:
        raw: the frame as the file has it.
        frame: the working frame (scene-linear, or as encoded where the output keeps the encoding).
        straight: per part, True where colour is not premultiplied by alpha in the file; while it moves, it is.
    """

    def __init__(self, raw: Frame, frame: Frame, layout: Layout, device: torch.device) -> None:
        self.raw, self.frame = raw, frame
        self.straight = [straight_alpha(part.metadata) for part in frame.parts]
        self._layout, self._device = layout, device
        self._moved: Dict[Tuple[str, Policy], Tensor] = {}

    def planes(self, view: str, policy: Policy) -> Tensor:
        """(C, H, W) on the view's canvas: the channels that ``Layout.of(view, policy)`` lists, in that order."""
        key = (view, policy)
        if key not in self._moved:
            wanted = self._layout.of(view, policy)
            parts = [premultiplied(part) for part in self.frame.parts] if any(self.straight) else self.frame.parts
            self._moved[key] = on_canvas(parts, wanted, self._layout.canvases[view]).to(self._device)
        return self._moved[key]


def on_canvas(parts: Sequence[Part], wanted: Sequence[Tuple[int, int]], canvas: Window) -> Tensor:
    """(C, H, W) float32: ``wanted`` (part, channel) planes over ``canvas``, 0 outside each part's data window."""
    if wanted and len({part for part, _ in wanted}) == 1:
        part = parts[wanted[0][0]]
        channels = [channel for _, channel in wanted]
        if part.window == canvas and channels == list(range(len(part.channels))):
            return torch.from_numpy(part.planes)
    planes = np.zeros((len(wanted), canvas.height, canvas.width), np.float32)
    for index, (number, channel) in enumerate(wanted):
        part = parts[number]
        inside = part.window.intersection(canvas)
        if not inside.empty:
            planes[(index, *canvas.slices(inside))] = part.planes[(channel, *part.window.slices(inside))]
    return torch.from_numpy(planes)


def alpha_channels(frame: Frame, layer: Layer) -> List[int]:
    """Which channels of a layer's part are its alpha: one, or none."""
    names = frame.parts[layer.part].channels
    return [channel for channel in layer.channels if names[channel].rpartition(".")[2].lower() in ("a", "alpha")]


def _beauty_planes(frame: Frame, layer: Layer, canvas: Window) -> Tuple[Tensor, Optional[Tensor]]:
    """The beauty's (3, H, W) colour and (1, H, W) alpha, or None without alpha, on the canvas."""
    alpha = alpha_channels(frame, layer)
    colour = [channel for channel in layer.channels if channel not in alpha][:3] or list(layer.channels[:1])
    colour = (colour * 3)[:3] if len(colour) < 3 else colour
    planes = on_canvas(frame.parts, [(layer.part, channel) for channel in [*colour, *alpha[:1]]], canvas)
    return planes[:3], planes[3:] if alpha else None


class PlateView:
    """What an engine sees of one view of the plate (the ShotView of the engine contract)."""

    def __init__(self, plate: Plate, view: str) -> None:
        self._plate, self._view = plate, view
        self._proxies: OrderedDict[int, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width of every proxy, pixels."""
        canvas = self._plate.layout.canvases[self._view]
        return canvas.height, canvas.width

    @property
    def count(self) -> int:
        """How many frames the shot has."""
        return len(self._plate.shot)

    @property
    def device(self) -> torch.device:
        """Where proxies live."""
        return self._plate.device

    def proxy(self, position: int) -> Tensor:
        """(3, H, W) float32, log-encoded or display-referred, finite."""
        with self._lock:
            if position in self._proxies:
                self._proxies.move_to_end(position)
                return self._proxies[position]
        proxy = self._encoded(position)
        with self._lock:
            self._proxies[position] = proxy
            while len(self._proxies) > KEPT_PROXIES:
                self._proxies.popitem(last=False)
        return proxy

    def _encoded(self, position: int) -> Tensor:
        plate = self._plate
        raw = plate.source(position).raw
        colour, alpha = _beauty_planes(raw, plate.layout.beauties[self._view], plate.layout.canvases[self._view])
        colour = colour.to(plate.device)
        if not raw.scene_linear:
            return torch.nan_to_num(colour)
        return encode(colour, plate.exposure, None if alpha is None else alpha.to(plate.device))

    def matte(self, position: int) -> Optional[Tensor]:
        """(1, H, W) foreground matte in 0..1, or None."""
        return self._plate.hints.matte(self._plate, self._view, position)

    def given_motion(self, source: int, target: int) -> Optional[Tensor]:
        """(2, H, W) motion that the plate itself brings, pixels, or None."""
        return self._plate.hints.motion(self._plate, self._view, source, target)

    def regions(self, position: int) -> Optional[Tensor]:
        """(H, W) int16 label map, or None."""
        return self._plate.hints.regions(self._plate, self._view, position)

    def regions_found(self) -> bool:
        """Whether regions were found in the shot itself."""
        return self._plate.hints.regions_found()

    def region_rules(self) -> Mapping[int, RegionRule]:
        """What the artist wants done with objects, by number."""
        return self._plate.hints.region_rules()


class Hints:
    """What the artist knows about the motion; this one knows nothing."""

    def matte(self, plate: Plate, view: str, position: int) -> Optional[Tensor]:
        """(1, H, W) on the view's canvas, 1 = foreground, or None."""
        return None

    def motion(self, plate: Plate, view: str, source: int, target: int) -> Optional[Tensor]:
        """(2, H, W) pixels on the view's canvas from ``source`` to ``target``, or None."""
        return None

    def regions(self, plate: Plate, view: str, position: int) -> Optional[Tensor]:
        """(H, W) int16 label map on the view's canvas, or None."""
        return None

    def regions_found(self) -> bool:
        """Whether regions were found in the shot itself rather than given."""
        return False

    def region_rules(self) -> Mapping[int, RegionRule]:
        """What is done with objects, by number."""
        return {}

    def identity(self, position: int) -> str:
        """What the hints at one position come from, for the fingerprint."""
        return ""

    def close(self) -> None:
        """Lets go of files."""


class Plate:
    """One shot's pixels for a job, a few frames at a time.

    Args:
        shot: where frames come from.
        layout: what they hold.
        device: where tensors go.
        config: colour conversions.
        linear: work in scene-linear even where the shot is display-referred.
        exposure: the proxy's exposure, or None to measure it on the shot.
        hints: the artist's matte, vectors and regions.
    """

    def __init__(
        self,
        shot: Footage,
        layout: Layout,
        device: torch.device,
        config: ColorConfig,
        linear: bool,
        exposure: Optional[float] = None,
        hints: Optional[Hints] = None,
    ) -> None:
        self.shot, self.layout, self.device = shot, layout, device
        self.hints = hints or Hints()
        self._config, self._linear = config, linear
        self._sources: ReadAhead[Source] = ReadAhead(self._load)
        self.exposure = self._measured() if exposure is None else exposure
        self._views = {view: PlateView(self, view) for view in layout.views}
        self._thumbs: OrderedDict[int, Tensor] = OrderedDict()

    def _load(self, position: int) -> Source:
        raw = self.shot.read(position)
        frame = to_scene_linear(raw, self._config) if self._linear and not raw.scene_linear else raw
        return Source(raw, frame, self.layout, self.device)

    def _measured(self) -> float:
        if not self.shot.scene_linear:
            return 1.0
        last = len(self.shot) - 1
        sample = sorted({round(index * last / max(1, EXPOSURE_SAMPLES - 1)) for index in range(EXPOSURE_SAMPLES)})
        view = self.layout.views[0]

        def colour(position: int) -> Tensor:
            return _beauty_planes(self.shot.read(position), self.layout.beauties[view], self.layout.canvases[view])[0]

        return shot_exposure(colour(position) for position in sample)

    def want(self, positions: Sequence[int]) -> None:
        """Says which frames are needed now and next; they load in that order, every other is let go."""
        self._sources.want(positions)

    def source(self, position: int) -> Source:
        """The frame at a position, waiting for it to load. Raises what reading raises."""
        return self._sources.get(position)

    def view(self, view: str) -> PlateView:
        """What an engine sees of one view."""
        return self._views[view]

    def thumb(self, position: int) -> Tensor:
        """(3, h, w): a small proxy of the first view, for cuts and repeats."""
        if position not in self._thumbs:
            proxy = self._views[self.layout.views[0]].proxy(position)
            height = min(THUMB_HEIGHT, proxy.shape[1])
            width = max(1, round(proxy.shape[2] * height / proxy.shape[1]))
            self._thumbs[position] = functional.interpolate(proxy[None], (height, width), mode="area")[0]
            while len(self._thumbs) > 4 * KEPT_PROXIES:
                self._thumbs.popitem(last=False)
        return self._thumbs[position]

    def close(self) -> None:
        """Stops reading and lets go of files."""
        self._sources.close()
        self.hints.close()
