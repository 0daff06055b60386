"""The engine ``inbetween``: what happens between two frames that are seconds apart, made up by a video model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from kairos.engines.base import Engine, EngineCard, EngineSettings, Session, ShotView
from kairos.engines.files import file_hash
from kairos.engines.inbetween.changes import load_changes
from kairos.engines.inbetween.generation import Generator, Way
from kairos.engines.inbetween.motion import Mover
from kairos.engines.inbetween.options import MEANINGS, NONE, Options
from kairos.engines.inbetween.parts import unavailable
from kairos.engines.inbetween.sampling import warning
from kairos.engines.inbetween.session import InbetweenSession
from kairos.engines.siren.fits import digest
from kairos.engines.stored import DTYPES, named
from kairos.errors import BadRequest, EngineError
from kairos.events import Event, Listener
from kairos.weights.pipelines import BY_HAND, CHANGES, LICENCE, SVD
from kairos.weights.store import Record, Store

GENERATE = "generate"
"""The job's parameter that names options of this engine."""

WEIGHTS = "name of a model that kairos weights list shows; the one with more pictures"

_NO_CHANGES = (
    "it has no tuned differences and takes mode=trf, which needs none. kairos weights add takes them as a file of "
    "kairos train inbetween, or as the folder of a tuned U-Net"
)


class InbetweenEngine:
    """Stable Video Diffusion forward from the first frame and backward from the second, fused at every step.

    After "Generative Inbetweening: Adapting Image-to-Video Models for Keyframe Interpolation" (Wang et al.).

    Args:
        find: answers with the engine of a name, for the motion.
    """

    card = EngineCard(
        id="inbetween",
        title="Makes up what happens between two frames that are seconds apart, by Stable Video Diffusion",
        paper="Generative Inbetweening: Adapting Image-to-Video Models for Keyframe Interpolation (Wang et al., 2024)",
        code_licence="Apache-2.0",
        weights_licence=LICENCE,
        paints=True,
        generates=True,
        precisions=tuple(DTYPES),
        on_gpu="fp16",
        commercial=False,
        parameters={GENERATE: "pairs NAME=VALUE of the following", "weights": WEIGHTS, **MEANINGS},
    )

    def __init__(self, find: Callable[[str], Engine]) -> None:
        self._find = find

    def records(self) -> List[Record]:
        """The models that the user has, those of more pictures first."""
        return sorted(Store().of(SVD), key=lambda record: (-int(record.values.get("frames", 0)), record.name))

    def unavailable(self) -> str:
        """What is missing: the libraries, or the model."""
        missing = unavailable()
        if not self.records():
            missing = " ".join(filter(None, (missing, f"it has no weights. {BY_HAND}.")))
        return missing

    def notes(self) -> List[str]:
        """What it could do besides, and what it lacks for it, a line each."""
        return [] if Store().of(CHANGES) else [_NO_CHANGES]

    def weights_hash(self, settings: EngineSettings = EngineSettings()) -> str:  # noqa: B008  immutable
        """SHA-256 of the weights, and of all options that show.

        Raises:
            BadRequest: an option that cannot be, or weights of another name.
            EngineError: there are no weights.
        """
        options = Options.of(settings.options)
        record, changes = self._record(settings), _changes(options)
        settled = _settled(options, record, changes is not None)
        motion = self._moving(options).weights_hash(self._inner(options, settings))
        told = {"weights": record.sha256, "changes": self._tuned(settled), "motion": motion}
        return digest({**settled.facts(), **told})

    def _tuned(self, options: Options) -> str:
        """SHA-256 of the tuned differences that settled options use; empty where they use none."""
        changes = _changes(options) if options.recipe.mode == "rotated" else None
        return "" if changes is None else changes[1]

    def settle(self, shot: ShotView, settings: EngineSettings) -> EngineSettings:
        """The settings with the weights and the motion's scale made certain. Errors as of :meth:`open`."""
        if settings.precision not in DTYPES:
            raise BadRequest(f"inbetween cannot compute in {settings.precision}.", "Use --precision auto.")
        reason = self.unavailable()
        if reason:
            raise EngineError(f"inbetween cannot run: {reason}")
        options = Options.of(settings.options)
        record, changes = self._record(settings), _changes(options)
        settled = _settled(options, record, changes is not None)
        scale = self._moving(options).settle(shot, self._inner(options, settings)).scale
        told = {**settings.options, "weights": record.name, "frames": settled.recipe.frames}
        return replace(settings, scale=scale, options=told)

    def open(self, shot: ShotView, settings: EngineSettings, listener: Listener) -> Session:
        """A session on the shot, which generates a pair's pictures, or finds them generated, when first asked for it.

        The listener may raise Cancelled between two runs of the network: finished steps are gone on with next time.

        Raises:
            BadRequest: an option that cannot be, another precision, or a model that makes another number of pictures.
            EngineError: the libraries or the weights are missing or damaged, or memory is too little.
        """
        settings = self.settle(shot, settings)
        record, found = self._record(settings), _changes(Options.of(settings.options))
        options = _settled(Options.of(settings.options), record, found is not None)
        if options.mode == "auto" and options.recipe.mode == "trf":
            listener(Event("warning", {"message": f"inbetween: {_NO_CHANGES}.", "remedy": ""}))
        _check_kept(record)
        changes = None
        if found is not None and options.recipe.mode == "rotated":
            for each in Store().of(CHANGES):
                if Store().path(each.name) == found[0]:
                    _check_kept(each)
            changes = load_changes(found[0])
        doubt = warning(changes, options.recipe)
        if doubt:
            listener(Event("warning", {"message": doubt, "remedy": "Add tuned weights: kairos weights add FILE."}))
        inner = self._inner(options, settings)
        moving = self._moving(options)
        way = Way(
            options,
            Store().folder(record.name),
            changes,
            settings.precision,
            digest({**options.generated(), "weights": record.sha256, "changes": self._tuned(options)}),
            shot.device,
        )
        mover = Mover(moving, inner)
        generator = Generator(way, mover, listener)
        generator.check(shot.size)
        return InbetweenSession(shot, moving.open(shot, inner, listener), mover, generator.span)

    def _record(self, settings: EngineSettings) -> Record:
        """The model that is meant. Raises BadRequest or EngineError where there is none."""
        name, records = str(settings.options.get("weights") or ""), self.records()
        if not records:
            raise EngineError(f"inbetween cannot run: it has no weights. {BY_HAND}.")
        if not name:
            return records[0]
        return named(self.card.id, name, records, folders=True)

    def _moving(self, options: Options) -> Engine:
        """The engine of the motion. Raises BadRequest where there is none of that name, or it gives none."""
        engine = self._find(options.motion)
        Mover(engine, EngineSettings())
        return engine

    def _inner(self, options: Options, settings: EngineSettings) -> EngineSettings:
        """Settings of the engine of the motion: none of the options are its own."""
        return replace(settings, options={}, precision="fp32")


def _check_kept(record: Record) -> None:
    """Raises EngineError where kept weights are not as they were added."""
    trouble = Store().trouble(record)
    if trouble:
        raise EngineError(
            f"The weights {record.name} {trouble}.", f"Run kairos weights remove {record.name}, and add them again."
        )


def _settled(options: Options, record: Record, tuned: bool) -> Options:
    """Options with the mode made certain, and as many pictures as the model makes."""
    frames = int(record.values.get("frames", 0))
    if not options.frames_asked:
        options = replace(options, recipe=replace(options.recipe, frames=frames))
    elif options.recipe.frames != frames:
        raise BadRequest(
            f"inbetween: {record.name} makes {frames} pictures at once, and not frames={options.recipe.frames}.",
            f"Use frames={frames}, or add the model that makes {options.recipe.frames}.",
        )
    return options.settled(tuned)


def _changes(options: Options) -> Optional[Tuple[Path, str]]:
    """The file of tuned differences and its SHA-256; None where there are none, or none are wanted.

    Raises BadRequest for a name that is none.
    """
    if options.changes == NONE:
        return None
    store = Store()
    records = store.of(CHANGES)
    if not options.changes:
        return (store.path(records[0].name), records[0].sha256) if records else None
    for record in records:
        if record.name == options.changes:
            return store.path(record.name), record.sha256
    path = Path(options.changes).expanduser()
    if path.is_file():
        return path, file_hash(path)
    known = ", ".join(record.name for record in records)
    raise BadRequest(
        f"There are no tuned differences {options.changes!r}.",
        f"There are {known}." if known else "Add some: kairos weights add FILE.",
    )
