"""A stand-in for Nuke, small and honest: nothing in it that Foundry's published interface does not have.

``load`` makes a module named ``nuke`` whose classes keep knobs, inputs and inner nodes; a Write copies what its source
Read shows. Names and arity are compared with the stubs of the package ``types-nuke``; knobs of Read, Write and the like
with those of Foundry's reference guide.
"""

from __future__ import annotations

import functools
import shutil
import threading
import types
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from kairos_nodes.nuke_curve import read_nuke_curve
from kairos_nodes.rational import exact

COMMON = ["name", "label", "tile_color", "help", "xpos", "ypos", "disable", "selected"]
KNOBS: Dict[str, Dict[str, Any]] = {
    "Input": {"number": 0},
    "Output": {},
    "Switch": {"which": 0},
    "Read": {
        **dict.fromkeys(["file", "colorspace"], ""),
        **dict.fromkeys(["first", "last", "origfirst", "origlast"], 1),
        **{"raw": False, "on_error": "error", "localizationPolicy": "fromAutoLocalizePath", "reload": None},
        **{"before": "hold", "after": "hold"},
    },
    "Write": {
        **dict.fromkeys(["file", "colorspace", "datatype", "interleave", "metadata", "compression", "file_type"], ""),
        **{"channels": "rgb", "raw": False, "create_directories": False, "views": ""},
    },
    "Root": {"fps": 24.0, "proxy": False, "format": "256 160", "colorManagement": "Nuke", "first_frame": 1},
}
"""Knobs of Nuke's own classes, with their defaults. A class that is not listed here has any."""


class _Threads:
    """Nuke may be touched in its main thread alone, and by what that thread is asked to do."""

    def __init__(self) -> None:
        self.main = threading.current_thread()
        self._asked = threading.local()

    def check(self) -> None:
        asked = getattr(self._asked, "now", False)
        assert asked or threading.current_thread() is self.main, "Nuke is touched outside its main thread"

    def ask(self, call: Callable[..., object], args: Tuple[object, ...] = ()) -> None:
        self._asked.now = True
        try:
            call(*args)
        finally:
            self._asked.now = False

    def guard(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def guarded(*args: Any, **options: Any) -> Any:
            self.check()
            return call(*args, **options)

        return guarded


_threads = _Threads()


class Knob:
    """Keeps a value, and a curve as text."""

    def __init__(self, name: str, label: str = "", extra: Any = None) -> None:
        self._name, self._label, self._extra = name, label, extra
        self._value: Any = ""
        self._curve: Any = None
        self._expression = ""
        self._tooltip, self._range, self._flags = "", (), 0

    def name(self) -> str:
        return self._name

    def label(self) -> str:
        return self._label

    def tooltip(self) -> str:
        return self._tooltip

    def setTooltip(self, tooltip: str) -> None:  # noqa: N802
        self._tooltip = tooltip

    def setFlag(self, flag: int) -> None:  # noqa: N802
        self._flags |= flag

    def value(self) -> Any:
        return self._value

    def setValue(self, value: Any) -> bool:  # noqa: N802
        self._value = value
        return True

    def toScript(self) -> str:  # noqa: N802
        return self._expression or str(self._curve or self._value)

    def setExpression(self, expression: str) -> bool:  # noqa: N802
        self._expression = expression
        return True

    def hasExpression(self) -> bool:  # noqa: N802
        return bool(self._expression)

    def isAnimated(self) -> bool:  # noqa: N802
        return bool(self._expression or self._curve)

    def getKeyList(self) -> List[int]:  # noqa: N802
        return [int(key.frame) for key in self._curve.keys] if self._curve else []

    def getValueAt(self, frame: float) -> float:  # noqa: N802
        return float(self._curve.value(exact(frame))) if self._curve else float(self._value)

    def fromScript(self, script: str) -> None:  # noqa: N802
        # One brace for each dimension; a saved script has another pair around all of them.
        assert script.startswith("{curve ") and script.endswith("}")
        self._curve = read_nuke_curve(script)


class Array_Knob(Knob):  # noqa: N801
    def setRange(self, low: float, high: float) -> None:  # noqa: N802
        self._range = (low, high)


class Script_Knob(Knob):  # noqa: N801
    def execute(self) -> None:
        self._value = "executed"


class Enumeration_Knob(Array_Knob):  # noqa: N801
    def setValue(self, value: Any) -> bool:  # noqa: N802
        assert value in self._extra, f"{self._name} cannot be {value!r}"
        return super().setValue(value)

    def values(self) -> List[str]:
        return list(self._extra)


class Int_Knob(Array_Knob):  # noqa: N801
    def setValue(self, value: Any) -> bool:  # noqa: N802
        return super().setValue(int(value))


class Node:
    """Keeps knobs and inputs; of Nuke's own classes only the knobs that those have."""

    def __init__(self, cls: str = "Node", **knobs: Any) -> None:
        self._cls, self._inputs = cls, {}  # type: ignore[var-annotated]
        self._knobs: Dict[str, Knob] = {}
        self._parent: Any = None
        for name, value in {**dict.fromkeys(COMMON, ""), **KNOBS.get(cls, {})}.items():
            self._knobs[name] = Script_Knob(name) if name == "reload" else Knob(name)
            self._knobs[name].setValue(value)
        for name, value in knobs.items():
            self[name].setValue(value)

    def Class(self) -> str:  # noqa: N802
        return self._cls

    def name(self) -> str:
        return str(self["name"].value())

    def fullName(self) -> str:  # noqa: N802
        inside = self._parent is not None and self._parent.Class() != "Root"
        return f"{self._parent.fullName()}.{self.name()}" if inside else self.name()

    def setName(self, name: str) -> None:  # noqa: N802
        self["name"].setValue(name)

    def parent(self) -> Any:
        return self._parent

    def addKnob(self, knob: Knob) -> None:  # noqa: N802
        self._knobs[knob.name()] = knob

    def knobs(self) -> Dict[str, Knob]:
        return dict(self._knobs)

    def knob(self, name: str) -> Optional[Knob]:
        return self._knobs.get(name)

    def __getitem__(self, name: str) -> Knob:
        _threads.check()
        if name not in self._knobs and (self._cls in KNOBS or self._cls == "Group"):
            raise NameError(f"knob {name} does not exist")
        return self._knobs.setdefault(name, Knob(name))

    def input(self, index: int) -> Optional[Node]:
        return self._inputs.get(index)

    def inputs(self) -> int:
        return max(self._inputs, default=-1) + 1

    def setInput(self, index: int, node: Optional[Node]) -> bool:  # noqa: N802
        self._inputs[index] = node
        return True

    def dependencies(self, mask: int) -> List[Node]:
        return [node for node in self._inputs.values() if node is not None]

    def firstFrame(self) -> int:  # noqa: N802
        return self._frames()[0]

    def lastFrame(self) -> int:  # noqa: N802
        return self._frames()[1]

    def _frames(self) -> Tuple[int, int]:
        if self._cls == "Read":
            return int(self["first"].value()), int(self["last"].value())
        source = self.input(0)
        return (1, 1) if source is None else source._frames()

    def channels(self) -> List[str]:
        return ["rgba.red", "rgba.green", "rgba.blue"]

    def fileDependencies(self, start: int, end: int) -> List[List[Any]]:  # noqa: N802
        above = [self]
        for one in above:
            above += [node for node in one._inputs.values() if node is not None and node not in above]
        frames = [(frame, view) for frame in range(start, end + 1) for view in _views]
        return [[node, [_shown(node, *one) for one in frames]] for node in above if node.Class() == "Read"]

    def xpos(self) -> int:
        return int(self["xpos"].value() or 0)

    def ypos(self) -> int:
        return int(self["ypos"].value() or 0)

    def setXYpos(self, x: int, y: int) -> None:  # noqa: N802
        self["xpos"].setValue(x)
        self["ypos"].setValue(y)

    def showControlPanel(self) -> None:  # noqa: N802
        self._shown = True


class Group(Node):
    def __init__(self, cls: str = "Group", **knobs: Any) -> None:
        self._inner: List[Node] = []
        super().__init__(cls, **knobs)

    def __enter__(self) -> Group:
        _open.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _open.pop()

    def node(self, name: str) -> Optional[Node]:
        return next((one for one in self._inner if one.name() == name), None)

    def nodes(self) -> List[Node]:
        return list(self._inner)


_open: List[Group] = []
_views: List[str] = ["main"]


class ProgressTask:
    def __init__(self, title: str) -> None:
        self.said: List[Any] = [title]

    def isCancelled(self) -> bool:  # noqa: N802
        return False

    def setMessage(self, text: str) -> None:  # noqa: N802
        self.said.append(text)

    def setProgress(self, percent: int) -> None:  # noqa: N802
        self.said.append(percent)


class Panel:
    """A window of inputs. ``_answers`` holds what the artist enters; None for one who cancels."""

    _answers: Optional[Dict[str, str]] = None

    def __init__(self, title: str) -> None:
        self._values: Dict[str, str] = {}

    def addEnumerationPulldown(self, name: str, choices: str) -> None:  # noqa: N802
        self._values[name] = choices.split()[0]

    def addSingleLineInput(self, name: str, default: str) -> None:  # noqa: N802
        self._values[name] = default

    def addFilenameSearch(self, name: str, default: str) -> None:  # noqa: N802
        self._values[name] = default

    def show(self) -> bool:
        if self._answers is None:
            return False
        assert set(self._answers) <= set(self._values)
        self._values.update(self._answers)
        return True

    def value(self, name: str) -> str:
        return self._values[name]


class _Nodes:
    """``nuke.nodes``: makes nodes of any class."""

    def __init__(self, made: List[Node], root: Group) -> None:
        self._made, self._root = made, root

    def __getattr__(self, cls: str) -> Callable[..., Node]:
        def make(**knobs: Any) -> Node:
            node = Group(**knobs) if cls == "Group" else Node(cls, **knobs)
            if _open:
                _open[-1]._inner.append(node)
                node._parent = _open[-1]
            else:
                node._parent = self._root
                self._made.append(node)
            return node

        return make


CLASSES = (Knob, Array_Knob, Script_Knob, Enumeration_Knob, Int_Knob, Node, Group, ProgressTask, Panel)


def load(views: Sequence[str] = ("main",)) -> Any:
    """A module to put into ``sys.modules['nuke']``.

    Beside what Nuke has: ``messages`` and ``made`` tell what was done, ``executed`` each written stretch (Write, first,
    last, proxy mode), ``paths`` the plug-in paths, ``saved`` scripts that were saved.
    """
    module: Any = types.ModuleType("nuke")
    made: List[Node] = []
    messages: List[str] = []
    root = Group("Root", name="root")
    callbacks: List[Callable[[], None]] = []
    filters: List[Callable[[str], str]] = []
    _views[:] = views
    for cls in CLASSES:
        setattr(module, cls.__name__, cls)
    for name, base in (("Tab", Knob), ("Double", Array_Knob), ("Boolean", Array_Knob), ("String", Knob)):
        setattr(module, f"{name}_Knob", type(f"{name}_Knob", (base,), {}))
    module.File_Knob, module.PyScript_Knob = type("File_Knob", (Knob,), {}), type("PyScript_Knob", (Script_Knob,), {})
    module.GUI, module.STARTLINE, module.INVISIBLE = False, 1, 2
    module.INPUTS, module.HIDDEN_INPUTS, module.EXPRESSIONS = 1, 2, 4
    module.NUKE_VERSION_STRING = "15.1v1"
    module.nodes, module.made, module.messages, module.callbacks = _Nodes(made, root), made, messages, callbacks
    module.executed, module.paths, module.saved = [], [], []
    module.root = lambda: root
    module.frame = lambda: 1003
    module.views = lambda: list(_views)
    module.allNodes = lambda recurseGroups=False: list(made)  # noqa: N803
    module.selectedNodes = lambda: []
    module.message = messages.append
    module.addBeforeRender = lambda call, nodeClass="": callbacks.append(call)  # noqa: N803
    module.addFilenameFilter = lambda call: filters.append(call)
    module.pluginAddPath = lambda path, addToSysPath=True: module.paths.append((path, addToSysPath))  # noqa: N803
    _threads.main = threading.current_thread()
    module.executeInMainThread = lambda call, args=(): _threads.ask(call, args)
    module.thisNode = lambda: made[-1]
    module.scriptOpen = lambda filename: None
    module.scriptSave = lambda filename: module.saved.append(filename)

    def filtered(filename: str) -> str:
        for call in filters:
            filename = call(filename) or filename
        return filename

    def execute(write: Node, first: int, last: int, incr: int, views: List[str]) -> None:
        module.executed.append((write.name(), first, last, root["proxy"].value()))
        _execute(write, first, last, views, filtered)

    module.filenameFilter, module.execute = filtered, execute
    for name in "root frame views allNodes selectedNodes message thisNode filenameFilter execute".split():  # noqa: SIM905
        setattr(module, name, _threads.guard(getattr(module, name)))
    return module


def _shown(node: Node, frame: int, view: str) -> str:
    pattern = str(node["file"].value()).replace("%V", view)
    return pattern % frame if "%" in pattern else pattern


def _execute(write: Node, first: int, last: int, views: List[str], filtered: Callable[[str], str]) -> None:
    """Copies the frames of the Read that a Write inside a group sees through the group's input."""
    group, entry = write.parent(), write.input(0)
    assert entry is not None and entry.Class() == "Input"
    read = group.input(entry["number"].value())
    for frame in range(first, last + 1):
        for view in views:
            shown = Path(filtered(_shown(read, frame, view)))
            if not shown.is_file():
                raise RuntimeError(f"{read.name()}: {shown} does not exist")
            shutil.copyfile(shown, filtered(_shown(write, frame, view)))
