"""Kairos Vectors: motion vectors of the clip at the playhead as EXR, and a Fusion setup that uses them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Dict, Mapping, Tuple

from kairos_nodes.asking import Question, settings
from kairos_nodes.conform import Placed
from kairos_nodes.fusion_text import Clip, blur_tools, composition_text, setting_text
from kairos_nodes.nodes import node
from kairos_nodes.parameter import Parameter, Value
from kairos_resolve.reading import here, is_movie, placed
from kairos_resolve.slow_motion import FIELDS as SLOW_MOTION_FIELDS
from kairos_resolve.slow_motion import LABELS
from kairos_resolve.work import Tell, file_of, render, result_folder, stem_of, write_text

if TYPE_CHECKING:
    from fusionscript import Resolve

NODE = "MotionVectors"
PRESET = "fusion"

FIELDS: Tuple[Parameter, ...] = (
    Parameter(
        "setup",
        "choice",
        "Fusion setup",
        "Give the clip a composition with the vectors and a Vector Motion Blur, or only write the setup as a file.",
        None,
        "clip",
        choices=("clip", "file"),
    ),
    *(one for one in SLOW_MOTION_FIELDS if one.name == "folder"),
)

HIDDEN = ("fps", "range", "frames", "start", "matte", "vectors", "channels", "compression", "bit_depth")
"""Knobs that the clip decides, or Fusion."""


def question(clip: Placed) -> Question:
    """What to ask for about a clip."""
    labels = {"setup": {"clip": "Into the clip", "file": "Only as a file"}, "folder": LABELS["folder"]}
    return Question(NODE, f"{clip.name}: vectors for {clip.source_count} source frames", FIELDS, HIDDEN, labels)


def run(resolve: Resolve, tell: Tell) -> None:
    """The whole script. Raises KairosError for the artist."""
    where = here(resolve)
    clip = placed(where.item, where.rate)
    values = settings(question(clip), tell)
    vectors = render_vectors(clip, values, f"DaVinci Resolve {resolve.GetVersionString()}", tell)
    plate = _plate(clip)
    setting = Path(vectors.file).with_name(f"{stem_of(clip.media)}_vectors.setting")
    write_text(setting, setting_text(blur_tools(vectors, plate)))
    if values["setup"] == "clip" and not _plays_straight(clip):
        tell("The clip does not play frame by frame (its speed or rate), so it gets no composition of its own.")
    elif values["setup"] == "clip":
        composition = write_text(
            setting.with_suffix(".comp"), composition_text(blur_tools(vectors, None), clip.duration)
        )
        if where.item.ImportFusionComp(str(composition)):
            tell(f"{clip.name} has a composition with its vectors; switch it on in the clip's Fusion Compositions.")
            return
        tell("Resolve did not take the composition.")
    tell(f"Drag {setting} into the flow on the Fusion page.")


def render_vectors(clip: Placed, values: Mapping[str, Value], host: str, tell: Tell) -> Clip:
    """Renders vectors for the clip's source frames, numbered from 0 at its in point. Raises KairosError."""
    knobs = {one.name for one in node(NODE).knobs}
    chosen: Dict[str, object] = {name: value for name, value in values.items() if name in knobs}
    media = clip.media
    # One frame more on each side, so that the first and the last have a neighbour to move from and to.
    first = media.first + max(0, clip.source_in - 1)
    count = min(clip.source_count, media.count - clip.source_in)
    last = min(media.last, media.first + clip.source_in + count)
    chosen.update(
        vectors=PRESET,
        channels="none",
        range=f"{first}-{last}",
        start=first - media.first - clip.source_in,
        frames=f"0-{count - 1}",
    )
    folder = result_folder(media, {"vectors": chosen}, values["folder"] == "beside", tell)
    output = folder / f"{stem_of(media)}_vectors.%04d.exr"
    tell(f"{clip.name}: vectors for {count} frames, to {folder}")
    render(node(NODE).make_job(media.path, str(output), chosen), host, f"Vectors: {clip.name}", tell)
    return Clip(Path(str(output) % 0).as_posix(), 0, count)


def _plate(clip: Placed) -> Clip:
    media, count = clip.media, clip.source_count
    if is_movie(media):
        return Clip(Path(media.path).as_posix(), 0, count, 0, clip.source_in)
    first = media.first + clip.source_in
    return Clip(Path(file_of(media, first)).as_posix(), first, count)


def _plays_straight(clip: Placed) -> bool:
    """Whether each timeline frame is the next source frame."""
    return clip.pace == 1 and not clip.retimed
