"""``kairos demo``: make the plate, retime it four times slower, measure it against the scene, draw pictures."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np

from kairos.demo.measure import (
    DemoReport,
    InbetweenScore,
    VectorScore,
    channels_of,
    counted_pixels,
    file_motion,
    same_pixels,
    score_inbetween,
    score_vectors,
)
from kairos.demo.scene import FIRST, DemoScene
from kairos.events import Event, Listener
from kairos.frame import Planes
from kairos.images import Shot, open_shot, write_image
from kairos.pictures import (
    Picture,
    contact_sheet,
    difference_picture,
    flow_wheel,
    mask_picture,
    tonemap,
    write_png,
)
from kairos_nodes.jobs import RetimeJob

BETWEEN = 3
STEP = Fraction(1, BETWEEN + 1)
MOTION_LAYERS = ("forward", "backward")
OCCLUSIONS = (("occlusion.forward", STEP, "next"), ("occlusion.backward", -STEP, "previous"))
"""Masks of what another output frame hides, how far away that is, and which it is."""
OTHER_MASKS = (("confidence.a", "trust"), ("blend.a", "weight of the earlier source"))

Retime = Callable[[RetimeJob, Listener], object]
"""Runs a retime job."""


def run_demo(directory: Path, listener: Listener, retime: Retime, scene: Optional[DemoScene] = None) -> DemoReport:
    """Makes ``plate/``, ``retimed/``, ``contact_sheet.png``, ``vectors.png`` and ``masks.png`` in a folder.

    Args:
        directory: the folder, made if it is missing; an earlier demo's files are written over.
        listener: hears the retime job's events.
        retime: runs the job.
        scene: the clip; the standard one where None.

    Raises:
        KairosError: whatever the job or the disk objects to.
    """
    scene = scene or DemoScene()
    plate, retimed = directory / "plate" / "demo.%04d.exr", directory / "retimed" / "demo.%04d.exr"
    for number in range(FIRST, FIRST + scene.frames):
        write_image(Path(str(plate) % number), scene.frame(number))
    engine = ["auto"]

    def heard(event: Event) -> None:
        if event.kind == "planned":
            engine[0] = str(event.data.get("engine", engine[0]))
        listener(event)

    started = time.perf_counter()
    job = RetimeJob(str(plate), str(retimed), between=BETWEEN, vectors="nuke", masks=True, overwrite=True)
    retime(job, heard)
    seconds = time.perf_counter() - started

    count = (scene.frames - 1) * (BETWEEN + 1) + 1
    whole = (FIRST, FIRST + count - 1)
    with open_shot(str(plate)) as source, open_shot(str(retimed), frame_range=whole) as result:
        gallery = _Gallery(scene, source, result)
        gallery.measure()
    pictures = {
        "contact_sheet.png": gallery.contact_sheet(),
        "vectors.png": gallery.vectors(),
        "masks.png": gallery.masks(),
    }
    for name, picture in pictures.items():
        write_png(directory / name, picture)
    files = (str(retimed), *(str(directory / name) for name in pictures))
    return DemoReport(
        tuple(gallery.inbetweens),
        tuple(gallery.vector_scores),
        gallery.copied,
        gallery.copied_exact,
        files,
        seconds,
        engine[0],
    )


class _Gallery:
    """Goes through the result once, frame by frame, keeping figures and the pictures that are shown."""

    def __init__(self, scene: DemoScene, source: Shot, result: Shot) -> None:
        self._scene, self._source, self._result = scene, source, result
        self.inbetweens: List[InbetweenScore] = []
        self.vector_scores: List[VectorScore] = []
        self.copied = self.copied_exact = 0
        middle = (scene.frames - 1) // 2
        self._shown = [middle + index * STEP for index in range(1, BETWEEN + 1)]
        last = Fraction(scene.frames - 1)
        self._flows_shown = [STEP, last / 2 - STEP, last / 2, last - STEP]
        self._rows: List[Tuple[List[Tuple[str, Picture]], ...]] = []
        self._flow_tiles: List[Tuple[str, Picture]] = []
        self._mask_tiles: List[Tuple[str, Picture]] = []

    def measure(self) -> None:
        """Reads every output frame once."""
        before = after = _rgb(channels_of(self._source.read(0)))
        for position in range(len(self._result)):
            moment = position * STEP
            frame = self._result.read(position)
            planes = channels_of(frame)
            if moment.denominator == 1:
                source = self._source.read(int(moment))
                self.copied += 1
                self.copied_exact += same_pixels(source, frame, MOTION_LAYERS)
                cover = channels_of(source)["foreground.A"]
                if int(moment) + 1 < len(self._source):
                    before, after = _rgb(channels_of(source)), _rgb(channels_of(self._source.read(int(moment) + 1)))
            else:
                truth = self._scene.render(float(moment))
                cover = truth.planes["foreground.A"]
                score, blended = score_inbetween(frame, moment, truth, (before, after))
                self.inbetweens.append(score)
                if moment in self._shown:
                    self._keep_picture(score, tonemap(truth.rgb), tonemap(_rgb(planes)), blended)
                    self._mask_tiles = self._mask_tiles or mask_tiles(self._scene, frame.number, moment, planes)
            if position + 1 < len(self._result):
                self._compare_vectors(frame.number, moment, planes, cover)

    def _compare_vectors(self, number: int, moment: Fraction, planes: Dict[str, Planes], cover: Planes) -> None:
        start, until = float(moment), float(moment + STEP)
        found, true = file_motion(planes), self._scene.motion(start, until)
        score = score_vectors(number, found, true, counted_pixels(self._scene, start, until, cover))
        self.vector_scores.append(score)
        if moment in self._flows_shown:
            self._keep_flow(score, found, true)

    def contact_sheet(self) -> Picture:
        """Rows: Kairos, the scene itself, plain blending, and four times Kairos' error."""
        tiles = [tile for row in zip(*self._rows) for group in row for tile in group]
        mean = np.mean([score.psnr for score in self.inbetweens])
        blend = np.mean([score.psnr_blend for score in self.inbetweens])
        title = f"Kairos: three frames between two. Mean of the clip {mean:.2f} dB, plain blending {blend:.2f} dB"
        return contact_sheet(tiles, columns=len(self._shown), title=title, tile_width=640)

    def vectors(self) -> Picture:
        """Forward vectors as found, beside the truth."""
        return contact_sheet(self._flow_tiles, columns=2, title="Forward vectors: Kairos, truth", tile_width=640)

    def masks(self) -> Picture:
        """The masks of one in-between, what is hidden beside the truth."""
        return contact_sheet(self._mask_tiles, columns=2, title="Masks", tile_width=640)

    def _keep_picture(self, score: InbetweenScore, truth: Picture, ours: Picture, blended: Picture) -> None:
        at = f"source frame {FIRST + float(score.time):.2f}"
        self._rows.append(
            (
                [(f"Kairos, frame {score.number}\n{at}: {score.psnr:.2f} dB", ours)],
                [(f"The scene itself\n{at}", truth)],
                [(f"Plain blending\n{at}: {score.psnr_blend:.2f} dB", blended)],
                [(f"Kairos, error x4\n{at}", difference_picture(truth, ours))],
            )
        )

    def _keep_flow(self, score: VectorScore, found: Planes, true: Planes) -> None:
        maximum = float(np.quantile(np.hypot(*true), 0.995))
        self._flow_tiles += [
            (f"Kairos, frame {score.number}\n{score.error:.2f} px mean end-point error", flow_wheel(found, maximum)),
            (f"Truth\n{score.length:.1f} px mean motion", flow_wheel(true, maximum)),
        ]


def mask_tiles(scene: DemoScene, number: int, moment: Fraction, planes: Dict[str, Planes]) -> List[Tuple[str, Picture]]:
    """Captions and pictures of the masks of one output frame, each occlusion beside the scene's own.

    Args:
        scene: what was retimed.
        number: of the output frame; ``moment``: its time, source frames from 0.
        planes: its channels.
    """
    over = tonemap(_rgb(planes))
    tiles = []
    for name, step, which in OCCLUSIONS:
        truth = scene.occlusion(float(moment), float(moment + step)).astype(np.float32)
        for title, mask in ((f"{name}, frame {number}", planes[name]), ("Truth", truth)):
            caption = f"{title}\nhidden in the {which} frame: {100 * mask.mean():.1f} % of the picture"
            tiles.append((caption, mask_picture(mask, over)))
    return tiles + [(f"{name}, frame {number}\n{meaning}", mask_picture(planes[name])) for name, meaning in OTHER_MASKS]


def _rgb(planes: Dict[str, Planes]) -> Planes:
    """(3, H, W) scene-linear."""
    return np.stack([planes[name] for name in "RGB"])
