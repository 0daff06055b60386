"""The part of Fusion's scripting that Kairos uses, as its scripting guide has it; the published stubs leave it open."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Protocol


class Inlet(Protocol):
    """An input of a tool."""

    def GetConnectedOutput(self) -> Optional[Outlet]:  # noqa: N802
        """What it is connected to."""

    def ConnectTo(self, output: Outlet) -> bool:  # noqa: N802
        """Connects it."""


class Outlet(Protocol):
    """An output of a tool."""

    def GetTool(self) -> Tool:  # noqa: N802
        """Whose it is."""

    def GetConnectedInputs(self) -> Dict[int, Inlet]:  # noqa: N802
        """Who takes it, numbered from 1."""


class Tool(Protocol):
    """An operator of a composition, or a modifier such as a BezierSpline. Inputs and outputs are attributes."""

    Input: Inlet
    Output: Outlet
    SourceTime: Inlet

    def GetAttrs(self) -> Dict[str, Any]:  # noqa: N802
        """Facts such as ``TOOLS_Name``, ``TOOLS_RegID``, ``TOOLST_Clip_Name``."""

    def SetAttrs(self, attrs: Mapping[str, Any]) -> None:  # noqa: N802
        """Sets some of them."""

    def GetInput(self, id: str, time: float) -> Any:  # noqa: N802
        """The value of an input at a composition time."""

    def SetInput(self, id: str, value: Any, time: float) -> None:  # noqa: N802
        """Sets an input at a composition time."""

    def GetData(self, name: str) -> Any:  # noqa: N802
        """What is kept with the tool, such as ``MediaProps.MEDIA_PATH``."""

    def GetKeyFrames(self) -> Dict[float, Any]:  # noqa: N802
        """Of a spline: key frames by time."""


class FlowView(Protocol):
    """The picture of the flow."""

    def GetPosTable(self, tool: Tool) -> Dict[int, float]:  # noqa: N802
        """A tool's place: 1 is x, 2 is y, in grid units."""

    def SetPos(self, tool: Tool, x: float, y: float) -> None:  # noqa: N802
        """Moves a tool."""


class Frame(Protocol):
    """A window onto the composition."""

    FlowView: FlowView


class Composition(Protocol):
    """A composition."""

    CurrentFrame: Frame
    ActiveTool: Optional[Tool]

    def GetAttrs(self) -> Dict[str, Any]:  # noqa: N802
        """Facts such as ``COMPN_RenderStart`` and ``COMPN_RenderEnd``."""

    def GetToolList(self, selected: bool, kind: str) -> Dict[int, Tool]:  # noqa: N802
        """Tools of a kind, numbered from 1."""

    def MapPath(self, path: str) -> str:  # noqa: N802
        """A path without Fusion's own path names."""

    def AddTool(self, id: str, x: float, y: float) -> Tool:  # noqa: N802
        """Adds a tool."""

    def Lock(self) -> None:  # noqa: N802
        """No rendering and no dialogs until Unlock."""

    def Unlock(self) -> None:  # noqa: N802
        """The end of Lock."""

    def StartUndo(self, name: str) -> None:  # noqa: N802
        """One step for Undo begins."""

    def EndUndo(self, keep: bool) -> None:  # noqa: N802
        """It ends."""
