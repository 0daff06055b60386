"""Hierarchical motion: objects first, then pixels."""
