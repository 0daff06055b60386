"""The event stream of a job, defined once in ``kairos_nodes.events``."""

from kairos_nodes.events import Event, Listener

__all__ = ["Event", "Listener"]
