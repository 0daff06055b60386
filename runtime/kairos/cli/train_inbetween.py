"""What ``kairos train inbetween`` learns from: the user's own shots, seen and encoded once by the user's own model."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple

from kairos.errors import BadRequest
from kairos.events import Event, Listener

if TYPE_CHECKING:
    import torch

    from kairos.color import ColorConfig
    from kairos.engines.base import ShotView
    from kairos.training.clips import Encoder
    from kairos.training.inbetween import InbetweenTask
    from kairos.training.settings import TrainSettings

TASK = "inbetween"

CLIPS = "clips"
"""Folder of the encoded clips, in that of the training."""

_CANVAS = re.compile(r"(\d{2,5})x(\d{2,5})")


def inbetween_settings(given: Dict[str, Any]) -> Dict[str, Any]:
    """Settings of a training, those of the published one where nobody says. Raises BadRequest for useless ones."""
    from kairos.training.inbetween import DEFAULTS

    if given.get("size") is not None:
        raise BadRequest("--size says nothing about whole frames.", "Give --canvas WIDTHxHEIGHT.")
    # What is kept is added to weights in half precision.
    told = {**given, "half_weights": None}
    return {**DEFAULTS, **{name: value for name, value in told.items() if value is not None}}


def inbetween_task(
    clips: Optional[Sequence[str]],
    out: Path,
    settings: TrainSettings,
    listener: Listener,
    *,
    model: Optional[str] = None,
    batch: Optional[int] = None,
    stride: Optional[int] = None,
    canvas: Optional[str] = None,
    colorspace: str = "",
    ocio: str = "",
) -> InbetweenTask:
    """The task, its clips read and encoded where they are not yet.

    Args:
        clips: movies, sequences, and folders of them.
        out: folder of the training.
        settings: of the training.
        listener: told how many shots are encoded, and which give no clip.
        model: name of weights, or a folder; None takes the one of fewest pictures, as its authors did.
        batch: clips per step.
        stride: of so many frames one is taken.
        canvas: ``WIDTHxHEIGHT``, multiples of 64.
        colorspace, ocio: of the clips, see the other commands.

    Raises:
        BadRequest: there are no clips, no model, or a value cannot be.
        KairosError: a shot cannot be read, or a clip cannot be written.
    """
    from kairos.color import ColorConfig
    from kairos.engines.inbetween.folder import find_parts
    from kairos.engines.inbetween.recipe import Recipe
    from kairos.training.clips import ClipSettings, prepared
    from kairos.training.inbetween import BATCH, InbetweenTask
    from kairos.training.settings import where_and_how

    if not clips:
        raise BadRequest("There is nothing to learn from.", "Give movies, sequences or folders of them with --clips.")
    if batch is not None and batch < 1:
        raise BadRequest(f"--batch {batch} is too small.", "Give 1 or more.")
    folder, name, sha256 = _model(model)
    found = find_parts(folder)
    device, half = where_and_how(settings)
    taken = ClipSettings(found.frames, stride or 2, parse_canvas(canvas))
    config = ColorConfig.load(ocio or None)
    sources = [_Source(spec, colorspace, config) for spec in _shots(clips)]

    def tell(done: int, total: int) -> None:
        data = {"done": done, "total": total, "rate": 0.0, "eta": None, "step": 0, "loss": None, "score": None}
        listener(Event("progress", {**data, "stage": CLIPS}))

    def warn(message: str) -> None:
        listener(Event("warning", {"message": message, "remedy": ""}))

    files = prepared(sources, taken, out / CLIPS, sha256, partial(_encoder, folder, device), tell, warn)
    recipe = Recipe(frames=found.frames)
    ids = (recipe.fps - 1.0, float(recipe.bucket), recipe.noise)
    return InbetweenTask(files, partial(_unet, folder, half), ids, (name, sha256), batch or BATCH)


def parse_canvas(text: Optional[str]) -> Tuple[int, int]:
    """``1024x576`` as height and width; that for None. Raises BadRequest."""
    match = _CANVAS.fullmatch(text or "1024x576")
    if match is None:
        raise BadRequest(f"--canvas {text} is no size.", "Give WIDTHxHEIGHT, such as 1024x576.")
    return int(match[2]), int(match[1])


def _model(name: Optional[str]) -> Tuple[Path, str, str]:
    """Folder, name and SHA-256 of a model. Raises BadRequest where there is no such one."""
    from kairos.engines.siren.fits import digest
    from kairos.weights.pipelines import BY_HAND, SVD, read_pipeline
    from kairos.weights.store import Store

    if name is not None and Path(name).is_dir():
        # All parts: clips are what the autoencoder and the image encoder make of shots.
        return Path(name), Path(name).resolve().name, digest(dict(read_pipeline(Path(name)).files))
    store = Store()
    records = sorted(store.of(SVD), key=lambda record: (int(record.values.get("frames", 0)), record.name))
    for record in records:
        if name in (None, record.name):
            return store.folder(record.name), record.name, record.sha256
    if not records:
        raise BadRequest("There is no model to be tuned.", f"{BY_HAND}.")
    known = ", ".join(record.name for record in records)
    raise BadRequest(f"There is no model {name!r}.", f"There are {known}; or give a folder.")


def _shots(clips: Sequence[str]) -> List[str]:
    """Movies and sequences, one by one. Raises BadRequest where a folder holds none."""
    from kairos.images.sequences import shots_in

    found: List[str] = []
    for spec in clips:
        inside = shots_in(Path(spec)) if Path(spec).is_dir() else [spec]
        if not inside:
            raise BadRequest(f"--clips {spec} holds no movies and no sequences.", "Name another folder.")
        found += inside
    return found


class _Source:
    """A shot on disk; see :class:`kairos.training.clips.Source`."""

    def __init__(self, spec: str, colorspace: str, config: ColorConfig) -> None:
        from kairos.engines.siren.fits import digest
        from kairos.images import open_shot

        self._spec, self._colorspace, self._config = spec, colorspace or None, config
        with open_shot(spec, colorspace=self._colorspace, config=config) as shot:
            self.name = Path(spec).name
            pixels = [shot.identity(position) for position in range(len(shot))]
            self.identity = digest({"pixels": pixels, "colorspace": shot.colorspace})

    @contextmanager
    def opened(self) -> Iterator[ShotView]:
        """The shot as engines see it, on the CPU."""
        import torch

        from kairos.images import open_shot
        from kairos.retime.layout import read_layout
        from kairos.retime.plate import Plate

        with open_shot(self._spec, colorspace=self._colorspace, config=self._config) as shot:
            plate = Plate(shot, read_layout(shot, "", "rgb"), torch.device("cpu"), self._config, linear=False)
            try:
                yield plate.view(plate.layout.views[0])
            finally:
                plate.close()


def _encoder(folder: Path, device: torch.device) -> Encoder:
    """The model's networks that look at pictures, in single precision; those that do not work wait on the host."""
    import torch

    from kairos.engines.inbetween.parts import load_parts
    from kairos.training.clips import encoder_of

    return encoder_of(load_parts(folder, device, torch.float32, offload=device.type == "cuda"))


def _unet(folder: Path, half: bool) -> torch.nn.Module:
    import torch

    from kairos.engines.inbetween.parts import load_parts

    parts = load_parts(folder, torch.device("cpu"), torch.bfloat16 if half else torch.float32)
    unet: torch.nn.Module = parts.unet
    return unet
