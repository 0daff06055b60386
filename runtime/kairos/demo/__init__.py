"""The demo: a clip made by code, retimed and measured against its own truth."""

from kairos.demo.measure import DemoReport
from kairos.demo.run import run_demo
from kairos.demo.scene import DemoScene, RenderedTruth

__all__ = ["DemoReport", "DemoScene", "RenderedTruth", "run_demo"]
