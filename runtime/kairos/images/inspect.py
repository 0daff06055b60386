"""What ``kairos info`` tells about a shot: as JSON values, and as text."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Dict, List, Optional

from kairos.color import ColorConfig
from kairos.frame import Window

from .header import Header
from .layers import layers_of, views_of
from .movie_read import movie_facts
from .sequences import listed_frames
from .shot import Shot, open_shot


def inspect(spec: str, *, config: Optional[ColorConfig] = None) -> Dict[str, Any]:
    """A shot's layers with policies, windows, colour space, rate, frames and gaps, compression, time code and views.

    Args:
        spec: as for :func:`kairos.images.open_shot`; gaps are reported, not refused.
        config: colour configuration; None loads the default one.

    Returns:
        JSON values: ``input, kind, format, frames {first, last, count, missing}, rate {exact, fps}, timecode,
        colorspace, scene_linear, display_window, pixel_aspect, views``, a row per part ``{name, view, data_window,
        compression, tile}`` and per layer ``{name, view, part, channels, types, policy, kind, why}``; for movies also
        ``codec, sound``.

    Raises:
        KairosError: as for :func:`kairos.images.open_shot`.
    """
    with open_shot(spec, on_missing="hold", config=config) as shot:
        first = next(position for position in range(len(shot)) if position not in shot.missing)
        header = shot.header(first)
        found = _facts(shot, header)
        if shot.movie:
            facts = movie_facts(shot.path(0))
            found["codec"], found["sound"] = facts.codec, list(facts.sound)
    return found


def _facts(shot: Shot, header: Header) -> Dict[str, Any]:
    missing = sorted(shot.numbers[position] for position in shot.missing)
    return {
        "input": shot.spec,
        "kind": "movie" if shot.movie else "sequence" if len(shot) > 1 else "still",
        "format": header.format,
        "frames": {
            "first": shot.numbers[0],
            "last": shot.numbers[-1],
            "count": len(shot),
            "missing": missing,
        },
        "rate": _rate(shot.rate),
        "timecode": header.timecode or None,
        "colorspace": shot.colorspace or None,
        "scene_linear": shot.scene_linear,
        "display_window": _window(header.display),
        "pixel_aspect": header.pixel_aspect,
        "views": [view for view in views_of(header) if view],
        "parts": [
            {
                "name": part.name or None,
                "view": part.view or None,
                "data_window": _window(part.window),
                "compression": part.compression or None,
                "tile": list(part.tile) if part.tile else None,
            }
            for part in header.parts
        ],
        "layers": [
            {
                "name": layer.name,
                "view": layer.view or None,
                "part": layer.part,
                "channels": [header.parts[layer.part].channels[channel] for channel in layer.channels],
                "types": sorted({header.parts[layer.part].depths[channel] for channel in layer.channels}),
                "policy": layer.policy.value,
                "kind": layer.kind,
                "why": layer.reason,
            }
            for layer in layers_of(header)
        ],
    }


def _rate(rate: Optional[Fraction]) -> Optional[Dict[str, Any]]:
    return None if rate is None else {"exact": str(rate), "fps": round(float(rate), 3)}


def _window(window: Window) -> Dict[str, int]:
    return {"x": window.x, "y": window.y, "width": window.width, "height": window.height}


def describe(found: Dict[str, Any]) -> str:
    """What :func:`inspect` found, as lines for people."""
    frames, rate = found["frames"], found["rate"]
    span = f"{frames['first']}-{frames['last']}" if frames["count"] > 1 else str(frames["first"])
    missing = f", missing {listed_frames(frames['missing'])}" if frames["missing"] else ""
    codec = f" {found['codec']}" if "codec" in found else ""
    sound = f", sound {', '.join(found['sound'])}" if found.get("sound") else ""
    lines = [
        found["input"],
        _row("kind", f"{found['kind']}, {found['format']}{codec}{sound}"),
        _row("frames", f"{span} ({frames['count']}{missing})"),
        _row("rate", f"{rate['fps']:g} fps ({rate['exact']})" if rate else "not said"),
        _row("timecode", found["timecode"] or "none"),
        _row(
            "colour", f"{found['colorspace'] or 'unknown'}, {'scene-linear' if found['scene_linear'] else 'as encoded'}"
        ),
        _row("display", _text(found["display_window"]) + _aspect(found["pixel_aspect"])),
    ]
    if found["views"]:
        lines.append(_row("views", f"{', '.join(found['views'])} (first is the hero)"))
    for index, part in enumerate(found["parts"]):
        named = "".join(f" {part[key]}" for key in ("name", "compression") if part[key])
        tiles = f" tiles {part['tile'][0]}x{part['tile'][1]}" if part["tile"] else ""
        lines.append(_row(f"part {index}", f"{_text(part['data_window'])}{named}{tiles}"))
    return "\n".join(lines + _table(found["layers"]))


def _table(layers: List[Dict[str, Any]]) -> List[str]:
    rows = [["layer", "view", "policy", "channels", "why"]]
    rows += [
        [
            layer["name"],
            layer["view"] or "",
            layer["policy"],
            f"{' '.join(layer['channels'])} ({', '.join(layer['types'])})",
            layer["why"],
        ]
        for layer in layers
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _row(title: str, text: str) -> str:
    return f"  {title:9} {text}"


def _text(window: Dict[str, int]) -> str:
    return str(Window(**window))


def _aspect(aspect: float) -> str:
    return "" if aspect == 1 else f", pixel aspect {aspect:g}"
