"""``kairos bench quality``, ``vectors``, ``speed`` and so on: measured figures, printed as tables."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, List, Optional

import typer


def add_commands(app: typer.Typer) -> None:
    """Adds the benches as sub-commands of one command."""
    bench = typer.Typer(help="Measure quality, vectors and speed.", no_args_is_help=True, rich_markup_mode=None)
    bench.command("quality")(quality)
    bench.command("vectors")(vectors)
    bench.command("speed")(speed)
    bench.command("synthetic")(synthetic)
    bench.command("adapt")(adapt)
    bench.command("motion")(motion)
    bench.command("siren")(siren)
    bench.command("hierarchical")(hierarchical)
    bench.command("regions")(regions)
    bench.command("region-cost")(region_cost)
    app.add_typer(bench, name="bench")


Engines = Annotated[Optional[List[str]], typer.Option("--engine", help="Engine to measure; may be given again.")]


def quality(
    root: Annotated[Path, typer.Argument(metavar="CLIPS", help="Folder of the development clips.")],
    engine: Engines = None,
    weights: Annotated[
        Optional[Path], typer.Option("--weights", help="Weights of swift, in place of those that come with Kairos.")
    ] = None,
) -> None:
    """Drop every odd frame, rebuild it, compare with the truth: PSNR, SSIM, aligned PSNR and detail per clip."""
    from kairos.bench.quality import quality as measure
    from kairos.bench.quality import render

    print(render(measure(root, engine or ["classic"], weights=weights)))


def vectors(
    root: Annotated[Optional[Path], typer.Argument(metavar="[CLIPS]", help="Folder of the development clips.")] = None,
    engine: Engines = None,
) -> None:
    """End-point error against true flow."""
    from kairos.bench.vectors import render
    from kairos.bench.vectors import vectors as measure

    print(render(measure(root, engine or ["classic"])))


def speed(
    size: Annotated[Optional[List[str]], typer.Option("--size", help="WIDTHxHEIGHT; may be given again.")] = None,
    engine: Engines = None,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
    weights: Annotated[str, typer.Option("--weights", help="Of the engine, as kairos weights list shows them.")] = "",
    untrained: Annotated[
        Optional[List[str]],
        typer.Option(
            "--untrained",
            metavar="NETWORK",
            help="Published network with random weights, such as rife-4.6: time does not depend on them. all: every "
            "one that the official code was measured on. May be given again.",
        ),
    ] = None,
    jobs: Annotated[bool, typer.Option("--jobs/--no-jobs", help="Time whole jobs too, files to files.")] = True,
) -> None:
    """Seconds per in-between, memory, and end-to-end speed against files alone and model alone."""
    from kairos.bench.speed import render
    from kairos.bench.speed import speed as measure
    from kairos.retime import run_retime

    engines = engine or ([] if untrained else ["classic"])
    report = measure(
        size or ["1920x1080"],
        engines,
        device,
        run_retime if jobs else None,
        lambda line: typer.echo(line, err=True),
        weights,
        untrained or (),
    )
    print(render(report))


def synthetic(
    engine: Engines = None,
    count: Annotated[int, typer.Option("--count", help="Scenes.")] = 1000,
    size: Annotated[str, typer.Option("--size", help="WIDTHxHEIGHT.")] = "448x256",
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
    workers: Annotated[int, typer.Option("--workers", help="Processes that share the scenes out.")] = 1,
    frames: Annotated[
        int, typer.Option("--frames", help="2, or 4: with the frames before and after, as most pairs of a shot have.")
    ] = 2,
) -> None:
    """Made scenes that nothing was trained on: PSNR, end-point error, occlusion and sharpness."""
    from kairos.bench.engine_speed import parse_size
    from kairos.bench.synthetic import render
    from kairos.bench.synthetic import synthetic as measure

    width, height = parse_size(size)
    told = None if count < 100 else lambda line: typer.echo(line, err=True)
    print(render(measure(engine or ["classic"], count, width, height, device, told, workers, frames)))


def adapt(
    root: Annotated[Path, typer.Argument(metavar="CLIPS", help="Folder of the development clips.")],
    minutes: Annotated[float, typer.Option("--minutes", help="Time spent fitting to each clip.")] = 1.5,
    steps: Annotated[Optional[int], typer.Option("--steps", help="Length in steps instead.")] = None,
    weights: Annotated[Optional[Path], typer.Option("--weights", help="Weights to begin with.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
) -> None:
    """Fit swift to half of what a clip shows of itself, judge it on the rest and on frames that nothing has seen."""
    from kairos.bench.adapt import measure, render
    from kairos.training.adapt import AdaptSettings

    settings = AdaptSettings(minutes=minutes, steps=steps)
    print(render(measure(root, settings, weights, device, lambda line: typer.echo(line, err=True))))


def motion(
    root: Annotated[
        Optional[Path], typer.Argument(metavar="[CLIPS]", help="Folder of the development clips: measure them too.")
    ] = None,
    count: Annotated[int, typer.Option("--count", help="Made scenes; 0, with CLIPS: the clips alone.")] = 500,
    weights: Annotated[
        str, typer.Option("--weights", metavar="FILE|NAME", help="GIMM's, for made scenes; else the first there are.")
    ] = "",
    workers: Annotated[int, typer.Option("--workers", help="Processes that share the scenes out.")] = 1,
    size: Annotated[str, typer.Option("--size", help="WIDTHxHEIGHT of the scenes.")] = "448x256",
    flows: Annotated[
        str, typer.Option("--flows", help="true: the scenes' own are given to all methods; found: those of a search.")
    ] = "true",
    out: Annotated[
        Optional[Path],
        typer.Option("--out", metavar="FOLDER", help="For motion.png, a plot, paths.png, and paths of the clips."),
    ] = None,
    engine: Engines = None,
    cost: Annotated[
        int, typer.Option("--cost", help="So many pairs of every clip are timed at 1280x720, without and with GIMM.")
    ] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
) -> None:
    """Motion at any time between two frames: straight, carried forward, quadratic, and GIMM's, against the truth."""
    from kairos.bench.clip_paths import clip_trajectories
    from kairos.bench.clips import CLIPS
    from kairos.bench.engine_speed import choose_device, parse_size
    from kairos.bench.motion import motion as measure
    from kairos.bench.motion import plain_scenes
    from kairos.bench.motion_clips import ENGINES, NAMES, measure_clips, render_clips
    from kairos.bench.motion_cost import measure_cost, render_cost
    from kairos.bench.motion_methods import gimm_weights
    from kairos.bench.motion_report import draw_plot, render
    from kairos.bench.trajectories import draw, trajectories

    def told(line: str) -> None:
        typer.echo(line, err=True)

    if count or root is None:
        width, height = parse_size(size)
        report = measure(count, weights, width, height, flows, device, workers, told)
        print(render(report))
        if out is not None:
            draw_plot(report, out / "motion.png")
            where = choose_device(device)
            most = max(report.chosen, key=lambda scene: scene[1])[0]
            supply = plain_scenes(width, height, str(where))
            draw(trajectories(supply, most, flows, gimm_weights(weights, where)), out / "paths.png")
    if root is not None and cost:
        print(render_cost(measure_cost(root, NAMES, 1280, 720, cost, listener=told)))
    elif root is not None:
        print(render_clips(measure_clips(root, engine or ENGINES, listener=told)))
        for clip in (clip for clip in CLIPS if out is not None and clip.name in NAMES):
            found = clip_trajectories(clip.load(root))
            if out is not None and found is not None:
                draw(found, out / f"paths-{clip.name.replace(' ', '-')}.png")


def siren(
    root: Annotated[Path, typer.Argument(metavar="CLIPS", help="Folder of the development clips.")],
    clip: Annotated[Optional[List[str]], typer.Option("--clip", help="Clip to measure; may be given again.")] = None,
    size: Annotated[str, typer.Option("--size", help="WIDTHxHEIGHT to which clips are cropped.")] = "96x64",
    steps: Annotated[int, typer.Option("--steps", help="Length of every fit.")] = 600,
    width: Annotated[int, typer.Option("--width", help="Of the sine networks.")] = 128,
    race: Annotated[
        int, typer.Option("--race", help="Most steps of a race to equal observed frames on the first clip; 0: none.")
    ] = 0,
    out: Annotated[
        Optional[Path],
        typer.Option("--out", metavar="FOLDER", help="For siren.png: the first clip, and a row in time."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
) -> None:
    """Fields fitted to short clips, without and with the constraint along the motion, against withheld frames."""
    from kairos.bench.engine_speed import parse_size
    from kairos.bench.siren import siren as measure
    from kairos.bench.siren_report import draw, render

    def told(line: str) -> None:
        typer.echo(line, err=True)

    report = measure(root, parse_size(size), steps, width, clip or (), race, device, told)
    print(render(report))
    if out is not None:
        draw(report.subjects[0], out / "siren.png")


def hierarchical(
    rows: Annotated[Path, typer.Option("--rows", metavar="FOLDER", help="Of the trained rows, and for the plot.")],
    steps: Annotated[
        int, typer.Option("--steps", help="Train every row of the ablation so long first; 0: as they are.")
    ] = 0,
    count: Annotated[int, typer.Option("--count", help="Made scenes with large motion.")] = 500,
    size: Annotated[str, typer.Option("--size", help="WIDTHxHEIGHT of the scenes.")] = "448x256",
    crop: Annotated[int, typer.Option("--crop", help="Side of the scenes that rows are trained on, pixels.")] = 256,
    workers: Annotated[int, typer.Option("--workers", help="Processes that share rows and scenes out.")] = 1,
) -> None:
    """What each part of hierarchical motion is worth: trained alike, judged with true, harmed and no masks."""
    from kairos.bench.engine_speed import parse_size
    from kairos.bench.hierarchical import judge
    from kairos.bench.hierarchical_report import draw_plot, render
    from kairos.training.rows import load_curves, save_rows, train_rows

    told = partial(typer.echo, err=True)
    if steps:
        plugins, curves = train_rows(steps, crop, listener=told, workers=workers)
        save_rows(rows, plugins, curves, steps)
    width, height = parse_size(size)
    report = judge(rows, count, width, height, workers, told)
    print(render(report))
    draw_plot(report, load_curves(rows), rows / "hierarchical.png")


def regions(
    clip: Annotated[str, typer.Argument(metavar="CLIP", help="A movie or sequence: every odd frame is withheld.")],
    regions: Annotated[
        str, typer.Option("--regions", help="What the objects are, whose borders are judged; as for kairos retime.")
    ] = "auto",
    rules: Annotated[str, typer.Option("--region-rules", help="As for kairos retime.")] = "",
    engine: Engines = None,
    against: Annotated[
        str, typer.Option("--against", metavar="ENGINE", help="Without regions, to hold the others against.")
    ] = "swift",
    pixels: Annotated[int, typer.Option("--band", help="How far the band reaches from a border, pixels.")] = 5,
    out: Annotated[
        Optional[Path], typer.Option("--out", metavar="PNG", help="Crops of the truth and of what was rebuilt.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
) -> None:
    """Drop every odd frame, rebuild it without and with regions, compare: PSNR round the objects and of the whole."""
    from kairos.bench.region_band import compare
    from kairos.bench.region_band_report import draw, render

    ways = [(against, ""), *((each, regions) for each in engine or ["swift"])]
    found = compare(
        clip, regions, ways, rules=rules, device=device, pixels=pixels, listener=lambda line: typer.echo(line, err=True)
    )
    print(render(found))
    if out is not None:
        draw(found, out)


def region_cost(
    size: Annotated[str, typer.Option("--size", help="WIDTHxHEIGHT of the made pairs.")] = "1280x720",
    pairs: Annotated[int, typer.Option("--pairs", help="Made pairs with a few objects each.")] = 6,
    untrained: Annotated[
        Optional[List[str]],
        typer.Option("--untrained", metavar="VARIANT", help="A published network, too, with random weights."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
) -> None:
    """How many times as long in-betweens take with regions: swift, and hierarchical on swift and other networks."""
    from kairos.bench.engine_speed import parse_size
    from kairos.bench.region_cost import region_cost as measure
    from kairos.bench.region_cost import render

    width, height = parse_size(size)
    print(render(measure(width, height, pairs, untrained or (), device, partial(typer.echo, err=True))))
