"""A stand-in for DaVinci Resolve, generated from the published stubs: it records calls, and has nothing they lack.

Every class of the package ``fusionscript-stubs`` becomes one whose methods check the number of arguments, write the
call into a list and hand it to a small model of a project. What the model does not do fails the test.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import sys
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import av
import pytest

from support import service
from support.process import environment
from support.shared import ROOT

OPTIONAL = {("Timeline", "AddTrack"): (1, 2)}
"""Arguments that the stubs require and whose own text calls optional: least and most."""

Arity = Tuple[int, Optional[int]]


def stubs() -> Path:
    """The stubs' file. Skips where the package is not installed; fails with KAIROS_REQUIRE_HOSTS=1."""
    try:
        files = importlib.metadata.files("fusionscript-stubs") or []
    except importlib.metadata.PackageNotFoundError:
        reason = "fusionscript-stubs is not installed: pip install fusionscript-stubs==21.0.0"
        if os.environ.get("KAIROS_REQUIRE_HOSTS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(str(next(one for one in files if one.name == "fusionscript.pyi").locate()))


@contextmanager
def own_kairos(folder: Path) -> Iterator[Path]:
    """A launcher, a service and a cache in ``folder`` for the scripts, and nothing of the user's; ended afterwards."""
    folder.chmod(0o700)
    service_folder = folder / "service"
    service_folder.mkdir(mode=0o700)
    launcher = folder / "kairos"
    path = environment()["PYTHONPATH"]
    launcher.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="{path}" OMP_NUM_THREADS=1\nexec "{sys.executable}" -m kairos "$@"\n'
    )
    launcher.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAIROS_LAUNCHER", str(launcher))
        patch.setenv("KAIROS_SERVICE", str(service_folder))
        patch.setenv("KAIROS_CACHE", str(folder / "cache"))
        patch.setenv("KAIROS_HOME_FILE", str(folder / "home.json"))
        patch.setenv("KAIROS_LAST_SETTINGS", str(folder / "settings.json"))
        patch.delenv("OCIO", raising=False)
        patch.syspath_prepend(str(ROOT / "plugin" / "resolve"))
        yield folder
    service.end(service_folder)


def interface(file: Path) -> Dict[str, Dict[str, List[Arity]]]:
    """Least and most arguments (None: any number) of every form of every method, by class; constants have none."""
    found: Dict[str, Dict[str, List[Arity]]] = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            members = found.setdefault(node.name, {})
            for one in node.body:
                if isinstance(one, ast.FunctionDef):
                    most = len(one.args.args) - 1
                    arity = (most - len(one.args.defaults), None if one.args.vararg else most)
                    members.setdefault(one.name, []).append(OPTIONAL.get((node.name, one.name), arity))
                elif isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
                    members[one.target.id] = []
                elif isinstance(one, ast.Assign):
                    members.update({str(target.id): [] for target in one.targets if isinstance(target, ast.Name)})
    return found


class Recorded:
    """An object of one of Resolve's classes; what it does is its model's."""

    def __init__(self, kind: str, model: Any, world: World) -> None:
        self._kind, self._model, self._world = kind, model, world

    def __repr__(self) -> str:
        return f"<{self._kind}>"

    def __getattr__(self, name: str) -> Any:
        known = self._world.known[self._kind].get(name)
        if known is None:
            raise AttributeError(f"{self._kind} has no {name}")
        if not known:
            return f"<{name}>"

        def call(*arguments: Any) -> Any:
            fits = any(least <= len(arguments) and (most is None or len(arguments) <= most) for least, most in known)
            assert fits, f"{self._kind}.{name} takes {known}, not {len(arguments)} arguments"
            self._world.calls.append((f"{self._kind}.{name}", arguments))
            return getattr(self._model, name)(*arguments)

        return call


class World:
    """The stubs' interface, every call so far, and the objects made."""

    def __init__(self) -> None:
        self.known = interface(stubs())
        self.calls: List[Tuple[str, Tuple[Any, ...]]] = []

    def make(self, kind: str, model: Any) -> Any:
        """An object of a class of Resolve's."""
        model.me = Recorded(kind, model, self)
        model.world = self
        return model.me

    def asked(self, name: str) -> List[Any]:
        """Arguments of every call of a method, such as ``MediaPool.AppendToTimeline``."""
        return [arguments for called, arguments in self.calls if called == name]


class PoolItem:
    """A clip of the media pool. A file's facts are read off the file, as Resolve does."""

    def __init__(self, path: str, rate: str, frames: int, start: int = 0) -> None:
        self.properties = {
            "File Path": path,
            "FPS": rate,
            "Frames": str(frames),
            "Start": str(start),
            "End": str(start + frames - 1),
        }
        self.takes: List[Any] = []

    def GetName(self) -> str:  # noqa: N802
        return Path(self.properties["File Path"]).name

    def GetClipProperty(self, name: str) -> str:  # noqa: N802
        return self.properties.get(name, "")

    def SetClipProperty(self, name: str, value: str) -> bool:  # noqa: N802
        self.properties[name] = value
        return True


class Item:
    """A clip of a timeline. ``source_end`` is as the version of Resolve has it: with the last frame or without."""

    def __init__(self, name: str, source: Any, record: int, duration: int, source_start: int, source_end: int) -> None:
        self.name, self.source, self.record, self.duration = name, source, record, duration
        self.source_start, self.source_end = source_start, source_end
        self.left = source_start
        self.takes: List[Tuple[Any, int, int]] = []
        self.chosen = 0
        self.compositions: List[str] = []

    def GetName(self) -> str:  # noqa: N802
        return self.name

    def GetUniqueId(self) -> str:  # noqa: N802
        return str(id(self))

    def GetMediaPoolItem(self) -> Any:  # noqa: N802
        return self.source

    def GetDuration(self, precise: bool) -> int:  # noqa: N802
        return self.duration

    def GetStart(self, precise: bool) -> int:  # noqa: N802
        return self.record

    def GetLeftOffset(self, precise: bool) -> int:  # noqa: N802
        return self.left

    def GetSourceStartFrame(self) -> int:  # noqa: N802
        return self.source_start

    def GetSourceEndFrame(self) -> int:  # noqa: N802
        return self.source_end

    def AddTake(self, media: Any, first: int, end: int) -> bool:  # noqa: N802
        self.takes.append((media, first, end))
        return True

    def GetTakesCount(self) -> int:  # noqa: N802
        return len(self.takes) + 1

    def SelectTakeByIndex(self, index: int) -> bool:  # noqa: N802
        self.chosen = index
        return True

    def ImportFusionComp(self, path: str) -> Any:  # noqa: N802
        self.compositions.append(Path(path).read_text(encoding="utf-8"))
        return object()


class FolderModel:
    """A folder of the media pool."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folders: List[Any] = []
        self.clips: List[Any] = []

    def GetName(self) -> str:  # noqa: N802
        return self.name

    def GetSubFolderList(self) -> List[Any]:  # noqa: N802
        return self.folders

    def GetClipList(self) -> List[Any]:  # noqa: N802
        return self.clips


class Pool:
    """The media pool. Sequences are imported at 24 fps, as Resolve does in a project of that rate."""

    def __init__(self, world: World, timeline: Line) -> None:
        self.root = world.make("Folder", FolderModel("Master"))
        self.current = self.root
        self.timeline = timeline

    def GetRootFolder(self) -> Any:  # noqa: N802
        return self.root

    def GetCurrentFolder(self) -> Any:  # noqa: N802
        return self.current

    def SetCurrentFolder(self, folder: Any) -> bool:  # noqa: N802
        self.current = folder
        return True

    def AddSubFolder(self, folder: Any, name: str) -> Any:  # noqa: N802
        made = self.world.make("Folder", FolderModel(name))
        folder._model.folders.append(made)
        return made

    def ImportMedia(self, items: List[Any]) -> List[Any]:  # noqa: N802
        made = [self.world.make("MediaPoolItem", _imported(one)) for one in items]
        self.current._model.clips += made
        return made

    def AppendToTimeline(self, clips: List[Any]) -> List[Any]:  # noqa: N802
        """Appends; whether the end frame counts is the timeline's ``end_counts``."""
        made = []
        for one in clips:
            length = one["endFrame"] - one["startFrame"] + (1 if self.timeline.end_counts else 0)
            frames = int(one["mediaPoolItem"]._model.properties["Frames"])
            assert 0 <= one["startFrame"] < one["endFrame"] <= frames
            item = Item("result", one["mediaPoolItem"], one["recordFrame"], length, one["startFrame"], one["endFrame"])
            found = self.world.make("TimelineItem", item)
            self.timeline.tracks[one["trackIndex"] - 1].append(found)
            made.append(found)
        return made


class Line:
    """A timeline."""

    def __init__(self, rate: str, start: int, tracks: int = 1) -> None:
        self.rate, self.start = rate, start
        self.tracks: List[List[Any]] = [[] for _ in range(tracks)]
        self.locked: List[int] = []
        self.current: Any = None
        self.otio: Optional[Dict[str, Any]] = None
        self.fcpxml = ""
        self.end_counts = False

    def GetSetting(self, name: str) -> str:  # noqa: N802
        return {"timelineFrameRate": self.rate}[name]

    def GetStartFrame(self) -> int:  # noqa: N802
        return self.start

    def GetCurrentVideoItem(self) -> Any:  # noqa: N802
        return self.current

    def GetTrackCount(self, kind: str) -> int:  # noqa: N802
        return len(self.tracks) if kind == "video" else 0

    def GetItemListInTrack(self, kind: str, track: int) -> List[Any]:  # noqa: N802
        return self.tracks[track - 1]

    def GetIsTrackLocked(self, kind: str, track: int) -> bool:  # noqa: N802
        return track in self.locked

    def AddTrack(self, kind: str, *_: Any) -> bool:  # noqa: N802
        self.tracks.append([])
        return True

    def DeleteClips(self, items: List[Any], ripple: bool) -> bool:  # noqa: N802
        for track in self.tracks:
            track[:] = [one for one in track if one not in items]
        return True

    def Export(self, path: str, kind: Any, variant: Any) -> bool:  # noqa: N802
        assert variant == "<EXPORT_NONE>"
        text = {"<EXPORT_OTIO>": self.otio and json.dumps(self.otio), "<EXPORT_FCPXML_1_10>": self.fcpxml}[kind]
        if not text:
            return False
        Path(path).write_text(text, encoding="utf-8")
        return True


class Answers:
    """Answers every call of an object with what it was made with."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments: self._answers[name]


class Studio:
    """A Resolve with one timeline and one clip on V1.

    Attributes:
        resolve: what a script gets.
        world: everything that was asked of it.
        line, item, source: models of the timeline, of the clip and of its media.
    """

    def __init__(self, source: PoolItem, timeline_rate: str, record: int, duration: int, source_start: int) -> None:
        world = self.world = World()
        pace = Fraction(source.properties["FPS"]) / Fraction(timeline_rate.replace(" DF", ""))
        self.source = source
        self.line = Line(timeline_rate, record - 24)
        media = world.make("MediaPoolItem", source)
        name = str(world.known and source.GetName())
        end = source_start + round(duration * pace)
        self.item = Item(name, media, record, duration, source_start, end)
        self.line.current = world.make("TimelineItem", self.item)
        self.line.tracks[0].append(self.line.current)
        self.pool = Pool(world, self.line)
        timeline, pool = world.make("Timeline", self.line), world.make("MediaPool", self.pool)
        project = world.make("Project", Answers(GetCurrentTimeline=timeline, GetMediaPool=pool))
        manager = world.make("ProjectManager", Answers(GetCurrentProject=project))
        self.resolve = world.make("Resolve", Answers(GetProjectManager=manager, GetVersionString="20.3.1"))

    def put(self, track: int, record: int, duration: int) -> None:
        """Puts another clip onto a track."""
        while len(self.line.tracks) < track:
            self.line.tracks.append([])
        item = Item("other", None, record, duration, 0, duration)
        self.line.tracks[track - 1].append(self.world.make("TimelineItem", item))


def movie_item(path: Path) -> PoolItem:
    """A movie in the media pool: rate as Resolve writes it, frames counted."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate
        frames = sum(1 for _ in container.decode(stream))
    assert rate is not None
    return PoolItem(str(path), f"{float(rate):.3f}".rstrip("0").rstrip("."), frames)


def _imported(item: Any) -> PoolItem:
    if isinstance(item, str):
        return movie_item(Path(item))
    first, last = item["StartIndex"], item["EndIndex"]
    for frame in range(first, last + 1):
        assert Path(item["FilePath"] % frame).is_file(), f"{item['FilePath']} has no frame {frame}"
    width = re.search(r"%0(\d)d", item["FilePath"])
    assert width is not None
    digits = int(width.group(1))
    numbers = f"[{first:0{digits}}-{last:0{digits}}]"
    return PoolItem(item["FilePath"].replace(width.group(0), numbers), "24", last - first + 1, first)
