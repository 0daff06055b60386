"""From two encoded key frames to what the network sees of them, and from what it generates back to the plate.

Everything here is torch and numpy: no network, no files. The order of work::

    plate = Plate(first, second, PlateSettings(canvas=(576, 1024)))
    shown = plate.shown()                       # two pictures for the network
    placed = plate.place(generated, estimate)   # generated: N pictures of the network's, at times k / (N - 1)
    for answer in placed: ...                   # one Inbetween per picture, made when it is asked for
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable, Iterator, Tuple

from torch import Tensor

from kairos.engines.classic.motion import Estimator
from kairos.motion.inbetween import Inbetween

Tell = Callable[[int, int], None]
"""Told how many parts of a work are done and how many there are; may raise Cancelled."""


@dataclass(frozen=True)
class PlateSettings:
    """How key frames become the network's pictures, and its pictures the plate's.

    Attributes:
        canvas: height and width of the network's pictures, pixels, multiples of 64.
        fit: ``pad`` (the whole picture, its borders mirrored), ``crop`` (as large as fits, the rest from the keys) or
            ``stretch`` (the aspect is not kept).
        curve: how the encoded keys are shown: ``log`` (the log encoding of scene-linear plates), ``display`` (keys that
            are display-referred) or ``auto`` (told from the keys).
        colours: match the colours of generated pictures to the keys'.
        detail: fetch detail and highlights from the keys where they correspond; False leaves the generated pictures
            as they are, enlarged.
        grain: keep grain apart: taken off the keys, and put on every picture anew.
        seed: of that grain.
    """

    canvas: Tuple[int, int] = (576, 1024)
    fit: str = "pad"
    curve: str = "auto"
    colours: bool = True
    detail: bool = True
    grain: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises BadRequest for what cannot be."""
        raise NotImplementedError


class Plate:
    """Two keys of one plate.

    Args:
        first, second: (3, H, W) float32 encoded proxies, finite, not clamped, of one size and on one device.
        settings: see there.

    Raises:
        ValueError: the keys differ in size or are no pictures.
    """

    def __init__(self, first: Tensor, second: Tensor, settings: PlateSettings = PlateSettings()) -> None:  # noqa: B008
        raise NotImplementedError

    def shown(self) -> Tuple[Tensor, Tensor]:
        """Both keys for the network: (3, h, w) float32 each, display-like, in 0..1, of the canvas' size."""
        raise NotImplementedError

    def shown_back(self, picture: Tensor) -> Tensor:
        """A picture of the network's (3, h, w), on the plate: (3, H, W) encoded, enlarged, and nothing else done to it.

        For previews. Outside a crop its border is repeated.
        """
        raise NotImplementedError

    def place(self, generated: Iterable[Tensor], estimate: Estimator, tell: Tell = lambda done, all: None) -> Placed:
        """Finds how generated pictures correspond with both keys.

        Args:
            generated: N pictures in order, as (3, h, w) tensors or stacks (k, 3, h, w) of them, about 0..1 and not
                clamped, of the canvas' size, on any device; the first shows the first key, the last the second. They
                are kept at half precision, on the device of the keys.
            estimate: finds motion between two pictures of the canvas' size; called about five times for every picture.
            tell: after every estimate.

        Raises:
            ValueError: fewer than two pictures, or of another size than the canvas.
        """
        raise NotImplementedError


class Placed:
    """Generated pictures on the plate. Pictures are made when asked for, one at a time; what is kept is of the
    network's size. Answers depend on the keys and the generated pictures alone, never on what was asked before.
    """

    def __len__(self) -> int:
        """How many there are, both ends included."""
        raise NotImplementedError

    def at(self, index: int) -> Inbetween:
        """One generated picture at full size, on the device of the keys: its time is ``index / (N - 1)``, its ``image``
        (3, H, W) is encoded like the keys. At both ends the image is the key itself, bit for bit.

        Flows, occlusion, blend and confidence are of the correspondences with both keys: where something is in neither
        of them, both occlusions are 1 and the confidence is 0, and the flows are those of the surroundings.

        Raises:
            IndexError: no such picture.
        """
        raise NotImplementedError

    def __iter__(self) -> Iterator[Inbetween]:
        """All of them in order."""
        return (self.at(index) for index in range(len(self)))
