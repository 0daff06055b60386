"""The retime job: plan, render, resume, report."""

from .footage import Footage, KeyFrames
from .maker import Request
from .run import Outcome, never, retime_shot, run_retime
from .settle import settle_requests, time_map

__all__ = [
    "Footage",
    "KeyFrames",
    "Outcome",
    "Request",
    "never",
    "retime_shot",
    "run_retime",
    "settle_requests",
    "time_map",
]
