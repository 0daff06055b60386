"""Kairos' own network. See :class:`SwiftEngine`."""

from kairos.engines.swift.engine import SwiftEngine

__all__ = ["SwiftEngine"]
