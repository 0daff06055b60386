"""The retime job from start to end: settle, plan, render what is missing, report."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import torch

from kairos import __version__
from kairos.allocator import give_back, is_out_of_memory
from kairos.color import ColorConfig
from kairos.engines.base import Engine, EngineSettings
from kairos.engines.registry import engine as engine_named
from kairos.errors import Cancelled, EngineError, KairosError
from kairos.events import Event, Listener
from kairos.images import open_shot, output_colorspace
from kairos.motion.cuts import is_cut, is_repeat
from kairos_nodes.jobs import RetimeJob
from kairos_nodes.ranges import parse_frames, parse_range
from kairos_nodes.rational import parse_rate

from .fallback import Fallback
from .fingerprint import frame_fingerprint, settings_digest
from .footage import Footage, Reduced
from .hints import open_hints
from .layout import Layout, read_layout
from .maker import FrameMaker, Look, Request
from .outputs import MovieOutput, Output, SequenceOutput, SequencePattern, WriteSettings, is_movie
from .paths import Paths
from .plate import Plate
from .settle import DEFAULT_RATE, output_rate, settle_device, settle_engine, settle_regions, settle_requests
from .structure import READ_AFTER, READ_BEFORE, Structure

AHEAD = 2
"""Source frames that are read before they are needed."""


@dataclass(frozen=True)
class Outcome:
    """What a job did.

    Attributes:
        rendered: output frame numbers made by this run.
        skipped: output frame numbers that an earlier run had finished.
        missing: source frame numbers that were absent and stood in for.
        seconds: wall time.
        engine: the engine that ran.
        warnings: everything worth telling, once each.
    """

    rendered: Tuple[int, ...]
    skipped: Tuple[int, ...]
    missing: Tuple[int, ...]
    seconds: float
    engine: str
    warnings: Tuple[str, ...]

    @property
    def exit_status(self) -> int:
        """0 done, 3 done with frames missing."""
        return 3 if self.missing else 0


def never() -> bool:
    """The answer of a job that nobody cancels."""
    return False


def run_retime(job: RetimeJob, listener: Listener, cancelled: Callable[[], bool] = never) -> Outcome:
    """Renders what a job asks for and an earlier run has not finished.

    Args:
        job: checked here again.
        listener: told of every event; ``failed`` is told before the error leaves.
        cancelled: asked between frames.

    Raises:
        KairosError: with what was wrong and what to do; finished frames stay on disk.
    """
    job.validate()
    config = ColorConfig.load(job.ocio or None)
    shot = open_shot(
        job.input,
        frame_range=parse_range(job.range) if job.range else None,
        on_missing=job.on_missing,
        fps=parse_rate(job.fps) if job.fps else None,
        colorspace=job.colorspace or None,
        config=config,
    )
    with shot:
        return retime_shot(job, shot, config, listener, cancelled)


def retime_shot(
    job: RetimeJob,
    shot: Footage,
    config: ColorConfig,
    listener: Listener,
    cancelled: Callable[[], bool] = never,
    output: Optional[Output] = None,
) -> Outcome:
    """The job on a shot that is already open. Same errors as :func:`run_retime`.

    ``output`` takes the frames in place of the files that the job names.
    """
    if job.proxy != "1":
        shot = Reduced(shot, int(job.proxy))
    run = _Run(job, shot, config, listener, cancelled, output)
    try:
        return run.run()
    except KairosError as error:
        listener(Event("failed", {"message": error.message, "remedy": error.remedy}))
        raise
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        said = (str(error).splitlines() or ["no more is to be had."])[0]
        trouble = EngineError(
            f"Out of memory on {run.device}: {said}",
            "Use --proxy 2, a smaller --tile, or --device cpu; finished frames are kept.",
        )
        listener(Event("failed", {"message": trouble.message, "remedy": trouble.remedy}))
        raise trouble from error
    finally:
        run.close()
        give_back()


class _Run:
    """One run of one job."""

    def __init__(
        self,
        job: RetimeJob,
        shot: Footage,
        config: ColorConfig,
        listener: Listener,
        cancelled: Callable[[], bool],
        output: Optional[Output],
    ) -> None:
        self._job, self._shot, self._config = job, shot, config
        self._listener, self._cancelled = listener, cancelled
        self._output = output
        self._started = time.monotonic()
        self._warnings: List[str] = []
        self._rendered: List[int] = []
        self._total = 0
        self._lock = threading.Lock()
        self._plate: Optional[Plate] = None
        self.device = settle_device(job.device)

    def run(self) -> Outcome:
        shot, engine = self._shot, engine_named(self._job.engine)
        job = self._job = settle_regions(self._job, engine)
        asked = settle_engine(job, engine)
        layout = read_layout(shot, job.layer_policy, job.channels)
        requests = settle_requests(job, shot)
        write = self._write_settings()
        plate = self._plate = self._open_plate(layout, write)
        settled = {view: engine.settle(plate.view(view), asked) for view in layout.views}
        digest = self._digest(engine, settled, plate, write)
        prints = {request.number: self._fingerprint(digest, request, engine.card.clip) for request in requests}
        output = self._output or self._open_output(requests, write, prints)
        skipped = [request.number for request in requests if output.finished(request.number, prints[request.number])]
        todo = [request for request in requests if request.number not in set(skipped)]
        self._total = len(todo)
        self._tell(
            "planned",
            frames=len(todo),
            skipped=len(skipped),
            engine=engine.card.id,
            device=str(self.device),
            layers=_policies(layout),
        )
        missing = tuple(shot.numbers[position] for position in sorted(shot.missing))
        if missing:
            self._warn(
                f"Source frames {', '.join(map(str, missing))} are missing and were stood in for ({job.on_missing})."
            )
        try:
            if todo:
                self._render(engine, settled, plate, todo, output, prints)
            output.close()
        except BaseException:
            output.abort()
            raise
        seconds = time.monotonic() - self._started
        self._tell("done", frames=len(todo), seconds=round(seconds, 3), missing=list(missing))
        return Outcome(
            tuple(sorted(self._rendered)), tuple(skipped), missing, seconds, engine.card.id, tuple(self._warnings)
        )

    def close(self) -> None:
        if self._plate is not None:
            self._plate.close()

    def _write_settings(self) -> WriteSettings:
        job = self._job
        space = output_colorspace(Path(job.output), self._shot, self._config)
        linear = self._config.is_scene_linear(space)
        return WriteSettings(job.compression, job.bit_depth, space, linear, single=job.vectors == "blender")

    def _open_plate(self, layout: Layout, write: WriteSettings) -> Plate:
        job = self._job
        return Plate(
            self._shot,
            layout,
            self.device,
            self._config,
            linear=write.scene_linear or job.shutter > 0,
            exposure=job.exposure,
            hints=open_hints(job, self._shot, layout, self._config),
        )

    def _digest(self, engine: Engine, settled: Mapping[str, EngineSettings], plate: Plate, write: WriteSettings) -> str:
        passive = {"input", "output", "range", "frames", "start", "device", "overwrite", "engine", "exposure", "json"}
        # Tiles leave no trace; who finds the flow, on which base, or bends the paths, and how a clip is fitted or
        # frames are generated, is in the hashes below.
        passive |= {"tile", "base", "flow", "motion", "field", "fit", "generate"}
        settings = {name: value for name, value in self._job.to_dict().items() if name not in passive}
        # Of the weights what they are counts, not where they lie.
        hashes = {engine.weights_hash(each) for each in settled.values()}
        settings.update(engine=engine.card.id.partition(":")[0], weights=sorted(hashes), exposure=plate.exposure)
        settings.update(scale=[each.scale for each in settled.values()])
        if self._job.precision == "auto" and any(each.precision != "fp32" for each in settled.values()):
            # On a GPU some engines take another arithmetic than elsewhere.
            settings.update(precision=sorted({each.precision for each in settled.values()}))
        settings.update(version=__version__, colorspace=write.colorspace, source_colorspace=self._shot.colorspace)
        return settings_digest(settings)

    def _fingerprint(self, digest: str, request: Request, whole: bool) -> str:
        """Of one frame; ``whole``: the engine looks at the whole clip for each."""
        times = [request.time, request.previous, request.following, request.speed]
        positions = list(range(len(self._shot))) if whole else self._positions(request, around=True)
        identities = [f"{self._shot.identity(p)} {self._plate_hints(p)}" for p in positions]
        return frame_fingerprint(digest, [request.number, *map(str, times), request.timecode], identities)

    def _plate_hints(self, position: int) -> str:
        assert self._plate is not None
        return self._plate.hints.identity(position)

    def _positions(self, request: Request, around: bool = False) -> List[int]:
        """Source positions one request needs: around its own time, or around its neighbours' times too."""
        times = [request.time, *request.samples]
        if around:
            times += [side for side in (request.previous, request.following) if side is not None]
        low = math.floor(min(times)) - READ_BEFORE
        high = math.floor(max(times)) + READ_AFTER
        return list(range(max(low, 0), min(high, len(self._shot) - 1) + 1))

    def _open_output(self, requests: Sequence[Request], write: WriteSettings, prints: Dict[int, str]) -> Output:
        job, shot = self._job, self._shot
        if is_movie(job.output):
            duration_kept = bool(job.to_fps) or (job.speed is not None and Fraction(str(job.speed)) == 1)
            whole = settings_digest({"frames": [prints[request.number] for request in requests]})
            return MovieOutput(
                Path(job.output), write, self._config, output_rate(job, shot) or DEFAULT_RATE, shot, duration_kept,
                bool(job.overwrite), whole, self._finished,
            )  # fmt: skip
        pattern = SequencePattern(job.output, len(requests), shot.path(0))
        inputs: Set[Path] = {shot.path(position).resolve() for position in range(len(shot))}
        return SequenceOutput(pattern, write, self._config, inputs, bool(job.overwrite), self._finished)

    def _render(
        self,
        engine: Engine,
        settled: Mapping[str, EngineSettings],
        plate: Plate,
        todo: Sequence[Request],
        output: Output,
        prints: Dict[int, str],
    ) -> None:
        job = self._job
        structure = Structure(
            len(self._shot), self._cut_finder(plate), self._repeat_finder(plate), frozenset(self._shot.missing)
        )
        needs = [self._positions(request) for request in todo]
        plate.want(self._read_order(needs, 0))
        paths = {}
        fallback = Fallback(engine, self._attended, self._warn, job.tile != "off")
        for view in plate.layout.views:
            canvas = plate.layout.canvases[view]
            settings = settled[view]
            if engine.card.clip:
                settings = replace(settings, scenes=structure.scenes())
            session = fallback.open(plate.view(view), settings)
            paths[view] = Paths(session, structure, (canvas.height, canvas.width), self.device)
        maker = FrameMaker(
            plate, structure, paths, Look(job.filter, job.vectors, bool(job.masks), output_rate(job, self._shot))
        )
        for index, request in enumerate(todo):
            self._heed()
            plate.want(self._read_order(needs, index))
            with torch.inference_mode():
                frame = maker.make(request)
            output.put(frame, prints[request.number])

    def _heed(self) -> None:
        if self._cancelled():
            raise Cancelled("Cancelled.", "Finished frames are kept; the same command goes on from there.")

    def _attended(self, event: Event) -> None:
        """What an engine tells while it opens; one that fits the clip is at it for minutes, and is cancelled here."""
        self._listener(event)
        self._heed()

    @staticmethod
    def _read_order(needs: Sequence[List[int]], index: int) -> List[int]:
        """Positions for the request at ``index``, then up to AHEAD more of those that follow."""
        order = list(needs[index])
        known = set(order)
        for later in needs[index + 1 :]:
            fresh = [position for position in later if position not in known]
            if len(order) + len(fresh) > len(needs[index]) + AHEAD:
                break
            order += fresh
            known.update(fresh)
        return order

    def _cut_finder(self, plate: Plate) -> Callable[[int], bool]:
        cuts = self._job.cuts
        if cuts == "off":
            return lambda position: False
        if cuts != "auto":
            starts = {int(number) for number in parse_frames(cuts)}
            numbers = self._shot.numbers
            return lambda position: numbers[position + 1] in starts

        def found(position: int) -> bool:
            before = plate.thumb(position - 1) if position else None
            after = plate.thumb(position + 2) if position + 2 < len(self._shot) else None
            cut = is_cut(plate.thumb(position), plate.thumb(position + 1), before, after)
            if cut:
                self._warn(
                    f"A cut was found before frame {self._shot.numbers[position + 1]}; nothing morphs across it."
                )
            return cut

        return found

    def _repeat_finder(self, plate: Plate) -> Callable[[int], bool]:
        if self._job.repeats == "keep":
            return lambda position: False
        view = plate.view(plate.layout.views[0])
        return lambda position: is_repeat(view.proxy(position), view.proxy(position + 1))

    def _finished(self, number: int, path: Path, warnings: Sequence[str]) -> None:
        for warning in warnings:
            self._warn(warning)
        with self._lock:
            self._rendered.append(number)
            done = len(self._rendered)
        elapsed = time.monotonic() - self._started
        rate = done / elapsed if elapsed > 0 else 0.0
        self._tell("frame_done", frame=number, file=str(path))
        eta = round((self._total - done) / rate, 1) if rate else None
        self._tell("progress", done=done, total=self._total, rate=round(rate, 3), eta=eta, stage="render")

    def _warn(self, message: str) -> None:
        with self._lock:
            if message in self._warnings:
                return
            self._warnings.append(message)
        self._tell("warning", message=message, remedy="")

    def _tell(self, kind: str, **data: object) -> None:
        self._listener(Event(kind, data))


def _policies(layout: Layout) -> Dict[str, str]:
    """Layer (behind its view, where the plate has several) to the policy it moves by."""
    several = len(layout.views) > 1
    return {f"{layer.view}.{layer.name}" if several else layer.name: layer.policy.value for layer in layout.layers}
