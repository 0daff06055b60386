"""Scenes that Kairos makes to learn motion from: layered, moving, and with the exact truth at any time."""

from kairos.training.scenes.batch import SceneBatch, Scenes, Switches
from kairos.training.scenes.sheet import contact_sheet

VERSION = 2
"""Changes whenever the same seed gives other pixels."""

__all__ = ["VERSION", "SceneBatch", "Scenes", "Switches", "contact_sheet"]
