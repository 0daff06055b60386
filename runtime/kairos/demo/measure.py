"""The demo's figures: a retimed plate against the scene's truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Dict, FrozenSet, List, Mapping, Sequence, Set, Tuple

import numpy as np
import numpy.typing as npt

from kairos.demo.scene import DemoScene, RenderedTruth
from kairos.frame import Frame, Planes
from kairos.pictures import Picture, tonemap

BRIGHT = 100.0
"""Scene-linear value above which light counts as the highlight's: between the lamp and everything it lights."""

ID_CHANNELS = ("CryptoObject00.R", "CryptoObject00.B", "CryptoObject01.R", "CryptoObject01.B")


@dataclass(frozen=True)
class InbetweenScore:
    """One in-between against the truth.

    Attributes:
        number: output frame.
        time: source frames from 0.
        psnr, psnr_blend: of the tone-mapped picture, dB; of plain blending, dB.
        energy: light of the highlight, as a share of the true one's; peak likewise.
        ids_known: share of identifiers that the manifest lists.
        ids_right: share of pixels whose first identifier is the true one.
    """

    number: int
    time: Fraction
    psnr: float
    psnr_blend: float
    energy: float
    peak: float
    ids_known: float
    ids_right: float


@dataclass(frozen=True)
class VectorScore:
    """Forward vectors of one output frame against the truth: end-point error and true length, pixels, means."""

    number: int
    error: float
    median: float
    length: float


@dataclass(frozen=True)
class DemoReport:
    """What the demo made and how far from the truth it is.

    Attributes:
        inbetweens: one score per in-between frame.
        vectors: one score per output frame that has a next one.
        copied, copied_exact: frames at whole source times, and how many of them equal their source bit for bit.
        files: what to look at.
        seconds: of the retime job.
        engine: that made it.
    """

    inbetweens: Tuple[InbetweenScore, ...]
    vectors: Tuple[VectorScore, ...]
    copied: int
    copied_exact: int
    files: Tuple[str, ...]
    seconds: float
    engine: str

    def mean(self, field: str) -> float:
        """Mean of one figure of the in-betweens."""
        return float(np.mean([getattr(score, field) for score in self.inbetweens]))

    def text(self) -> str:
        """A few lines for people."""
        lines = [f"{'frame':>6} {'time':>6} {'Kairos':>8} {'blend':>8} {'light':>7} {'peak':>7} {'IDs':>7}"]
        lines += [
            f"{score.number:>6} {float(score.time):>6.2f} {score.psnr:>8.2f} {score.psnr_blend:>8.2f} "
            f"{100 * score.energy:>6.1f}% {100 * score.peak:>6.1f}% {100 * score.ids_right:>6.1f}%"
            for score in self.inbetweens
        ]
        error, median, length = (
            float(np.mean([getattr(score, field) for score in self.vectors])) for field in ("error", "median", "length")
        )
        mean = {field: self.mean(field) for field in ("psnr", "psnr_blend")}
        share = {field: 100 * self.mean(field) for field in ("energy", "peak", "ids_known", "ids_right")}
        lines += [
            "",
            f"{len(self.inbetweens)} in-betweens by {self.engine} in {self.seconds:.1f} s, against the scene itself:",
            f"  picture      {mean['psnr']:.2f} dB (tone-mapped PSNR); plain blending {mean['psnr_blend']:.2f} dB",
            f"  vectors      {error:.2f} px mean error, {median:.2f} px median, of {length:.1f} px mean motion",
            f"  highlight    {share['energy']:.1f} % of the lamp's light, {share['peak']:.1f} % of its peak",
            f"  identifiers  {share['ids_known']:.1f} % in the manifest, {share['ids_right']:.1f} % of pixels right",
            f"  copies       {self.copied_exact} of {self.copied} frames at whole source times are bit-identical",
            "",
            *(f"  {file}" for file in self.files),
        ]
        return "\n".join(lines)


def channels_of(frame: Frame) -> Dict[str, Planes]:
    """(H, W) planes by channel name, all parts together."""
    return {name: plane for part in frame.parts for name, plane in zip(part.channels, part.planes)}


def psnr(truth: Picture, picture: Picture) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures, dB; 99 where they are equal."""
    error = float(np.mean((truth.astype(np.float64) - picture.astype(np.float64)) ** 2))
    return 99.0 if error == 0 else float(10 * np.log10(255.0**2 / error))


def known_ids(frame: Frame) -> FrozenSet[int]:
    """The identifiers' bits that a frame's Cryptomatte manifests list."""
    found: Set[int] = set()
    for part in frame.parts:
        for key, attribute in part.metadata.items():
            if key.startswith("cryptomatte/") and key.endswith("/manifest"):
                found.update(int(value, 16) for value in json.loads(str(attribute.value)).values())
    return frozenset(found)


def score_inbetween(
    frame: Frame, time: Fraction, truth: RenderedTruth, sources: Tuple[Planes, Planes]
) -> Tuple[InbetweenScore, Picture]:
    """An in-between's figures, and plain blending's picture.

    Args:
        frame: as retimed.
        time: source frames from 0.
        truth: the scene at that time.
        sources: (3, H, W) scene-linear source frames before and after.
    """
    planes = channels_of(frame)
    rgb = np.stack([planes[name] for name in "RGB"])
    part = np.float32(time % 1)
    blended = tonemap(sources[0] * (1 - part) + sources[1] * part)
    shown = tonemap(truth.rgb)
    score = InbetweenScore(
        number=frame.number,
        time=time,
        psnr=psnr(shown, tonemap(rgb)),
        psnr_blend=psnr(shown, blended),
        energy=_highlight(rgb) / _highlight(truth.rgb),
        peak=float(rgb.max() / truth.rgb.max()),
        ids_known=_known_share(planes, known_ids(frame)),
        ids_right=float((planes[ID_CHANNELS[0]] == truth.planes[ID_CHANNELS[0]]).mean()),
    )
    return score, blended


def _highlight(rgb: Planes) -> float:
    """Light above BRIGHT, summed."""
    return float(rgb[rgb > BRIGHT].sum(dtype=np.float64))


def _known_share(planes: Mapping[str, Planes], known: FrozenSet[int]) -> float:
    ids = np.concatenate([planes[name].ravel() for name in ID_CHANNELS]).astype(np.float32)
    bits = ids.view(np.uint32)
    used = bits[bits != 0]
    return float(np.isin(used, np.array(sorted(known), np.uint32)).mean()) if len(used) else 0.0


def file_motion(planes: Mapping[str, Planes]) -> Planes:
    """(2, H, W) x right, y down, of the ``nuke`` preset's forward vectors."""
    return np.stack([planes["forward.u"], -planes["forward.v"]])


def score_vectors(number: int, found: Planes, true: Planes, counted: npt.NDArray[np.bool_]) -> VectorScore:
    """End-point error of forward vectors over the pixels that count."""
    error = np.hypot(*(found - true))[counted]
    return VectorScore(number, float(error.mean()), float(np.median(error)), float(np.hypot(*true)[counted].mean()))


def counted_pixels(scene: DemoScene, start: float, until: float, cover: Planes) -> npt.NDArray[np.bool_]:
    """(H, W) True where one vector is the truth: seen at both times, and not through the card's glass.

    ``cover`` is the foreground's alpha at the start.
    """
    return ~scene.occlusion(start, until) & ((cover < 0.05) | (cover > 0.95))


def same_pixels(one: Frame, two: Frame, leave_out: Sequence[str]) -> bool:
    """True where every channel of ``one`` is in ``two`` with the same bits, but for the layers left out."""
    first, second = channels_of(one), channels_of(two)
    names: List[str] = [name for name in first if name.split(".")[0] not in leave_out]
    return all(
        name in second and np.array_equal(first[name].view(np.uint32), second[name].view(np.uint32)) for name in names
    )
