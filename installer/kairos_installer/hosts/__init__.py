"""Puts Kairos into Blender, Nuke and Resolve, and takes it out again to the byte.

Standard library only. Nothing is written without a record of it, made first; nothing that was not written is touched.
"""

from kairos_installer.hosts.states import State, states
from kairos_installer.hosts.system import System
from kairos_installer.hosts.target import Target
from kairos_installer.hosts.work import HOSTS, KAIROS, install, uninstall

__all__ = ["HOSTS", "KAIROS", "State", "System", "Target", "install", "states", "uninstall"]
