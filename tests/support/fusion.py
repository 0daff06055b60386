"""A stand-in for Fusion's own objects, which Resolve's stubs leave open: what Fusion's scripting guide describes."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple


class Operator:
    """A tool of a composition."""

    def __init__(self, kind: str, name: str, place: Tuple[float, float] = (0.0, 0.0), **attrs: Any) -> None:
        self.attrs = {"TOOLS_RegID": kind, "TOOLS_Name": name, **attrs}
        self.place = place
        self.inputs: Dict[str, Any] = {}
        self.data: Dict[str, Any] = {}
        self.keys: Dict[float, Any] = {}
        self.Input, self.SourceTime, self.Output = Socket(), Socket(), Plug(self)

    def GetAttrs(self) -> Dict[str, Any]:  # noqa: N802
        return dict(self.attrs)

    def SetAttrs(self, attrs: Dict[str, Any]) -> None:  # noqa: N802
        self.attrs.update(attrs)

    def GetInput(self, id: str, time: float) -> Any:  # noqa: N802
        found = self.inputs[id]
        return found(time) if callable(found) else found

    def SetInput(self, id: str, value: Any, time: float) -> None:  # noqa: N802
        self.inputs[id] = value

    def GetData(self, name: str) -> Any:  # noqa: N802
        return self.data.get(name)

    def GetKeyFrames(self) -> Dict[float, Any]:  # noqa: N802
        return self.keys


class Plug:
    """An output."""

    def __init__(self, tool: Operator) -> None:
        self.tool = tool
        self.takers: List[Socket] = []

    def GetTool(self) -> Operator:  # noqa: N802
        return self.tool

    def GetConnectedInputs(self) -> Dict[int, Socket]:  # noqa: N802
        return dict(enumerate(self.takers, 1))


class Socket:
    """An input."""

    def __init__(self) -> None:
        self.source: Optional[Plug] = None

    def GetConnectedOutput(self) -> Optional[Plug]:  # noqa: N802
        return self.source

    def ConnectTo(self, output: Plug) -> bool:  # noqa: N802
        if self.source is not None:
            self.source.takers.remove(self)
        self.source = output
        output.takers.append(self)
        return True


class Flow:
    """A composition: its tools, and whether a new Loader would have opened a dialog."""

    def __init__(self, first: int, last: int) -> None:
        self.attrs = {"COMPN_RenderStart": float(first), "COMPN_RenderEnd": float(last)}
        self.tools: List[Operator] = []
        self.locked, self.undo = 0, []  # type: ignore[var-annotated]
        self.ActiveTool: Optional[Operator] = None
        self.CurrentFrame = self
        self.FlowView = self

    def GetAttrs(self) -> Dict[str, Any]:  # noqa: N802
        return self.attrs

    def GetToolList(self, selected: bool, kind: str) -> Dict[int, Operator]:  # noqa: N802
        return {}

    def MapPath(self, path: str) -> str:  # noqa: N802
        return path.replace("Plates:", "/plates/")

    def GetPosTable(self, tool: Operator) -> Dict[int, float]:  # noqa: N802
        return {1: tool.place[0], 2: tool.place[1]}

    def SetPos(self, tool: Operator, x: float, y: float) -> None:  # noqa: N802
        tool.place = (x, y)

    def AddTool(self, id: str, x: float, y: float) -> Operator:  # noqa: N802
        assert self.locked, "Fusion would open a file dialog"
        self.tools.append(Operator(id, f"{id}1", (x, y)))
        return self.tools[-1]

    def Lock(self) -> None:  # noqa: N802
        self.locked += 1

    def Unlock(self) -> None:  # noqa: N802
        self.locked -= 1

    def StartUndo(self, name: str) -> None:  # noqa: N802
        self.undo.append(name)

    def EndUndo(self, keep: bool) -> None:  # noqa: N802
        assert keep
