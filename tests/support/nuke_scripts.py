"""Retiming nodes as scripts and clipboards of several versions of Nuke hold them, written by hand.

Knob names: Foundry's reference guide (Kronos, OFlow, TimeWarp, Retime); layout: what a saved script looks like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple


@dataclass(frozen=True)
class Script:
    """A text and what it asks for.

    Attributes:
        text: as copied or saved.
        shows: source time of some output frames, by hand.
        start: number of the first output frame.
    """

    text: str
    shows: Tuple[Tuple[int, float], ...]
    start: int


CLIPBOARD_13 = """set cut_paste_input [stack 0]
version 13.2 v8
push $cut_paste_input
Kronos {
 input.first 1001
 input.last 1100
 timing2 Frame
 timingFrame2 {{curve L x1001 1001 x1051 1026 x1101 1076}}
 interpolation Motion
 motionEstimation Regularized
 vectorDetailReg 0.3
 resampleType Bilinear
 matteChannel none
 name Kronos1
 selected true
 xpos -40
 ypos -74
}
"""

SPLINES_11 = (
    """#! C:/Program Files/Nuke11.3v6/nuke-11.3.6.dll -nx
version 11.3 v6
Root {
 inputs 0
 name C:/shots/sh010/comp/sh010_v003.nk
 frame 1010
 first_frame 1001
 last_frame 1040
 lock_range true
 format "2048 1556 0 0 2048 1556 1 2K_Super_35(full-ap)"
 views "left #ff0000\\nright #00ff00\\n"
 addUserKnob {20 shot l Shot}
 addUserKnob {1 code}
 code "a \\{b"
}
Read {
 inputs 0
 file_type exr
 file X:/plates/sh010/sh010.%04d.exr
 format "2048 1556 0 0 2048 1556 1 2K_Super_35(full-ap)"
 first 1001
 last 1040
 origset true
 name Read1
}
Kronos {
 input.first 1001
 input.last 1040
 timing2 Frame
 timingFrame2 {{curve i x1001 1001 s0.5 x1021 1011 s0.5 K x1031 1016 x1041 1030}}
 legacyModeNuke9 false
 name Kronos_hero
 label "half {speed}\\\\nthen hold"
}
"""
).replace("\n", "\r\n")

SPEED_10 = """version 10.5 v8
Group {
 name Retimes
 addUserKnob {20 User}
 addUserKnob {41 speed T Kronos1.timingOutputSpeed}
}
 Input {
  inputs 0
  name Input1
 }
 Kronos {
  input.first 1
  input.last 25
  timingOutputSpeed 0.25
  name Kronos1
 }
 Output {
  name Output1
 }
end_group
"""

OFLOW_9 = """set cut_paste_input [stack 0]
version 9.0 v8
push $cut_paste_input
OFlow2 {
 input.first 101
 input.last 148
 timing2 "Input Speed"
 timingInputSpeed 2
 interpolation Motion
 vectorDetailLocal 0.2
 name OFlow1
 selected true
}
"""

OFLOW_6 = """version 6.3 v4
OFXuk.co.thefoundry.time.oflow_v100 {
 method Motion
 timing "Source Frame"
 timingFrame {{curve C x1 1 x21 11}}
 timingSpeed 0.5
 filtering Normal
 warpMode Normal
 input.first 1
 input.last 20
 name OFXuk.co.thefoundry.time.oflow_v1001
 selected true
}
"""

TIMEWARP_12 = """version 12.2 v4
push 0
TimeWarp {
 lookup {{curve K x1001 1001 L x1009 1009 x1025 1017 R x1033 1017}}
 time ""
 filter none
 name TimeWarp1
}
"""

RETIME_8 = """version 8.0 v5
Retime {
 input.first 1001
 input.first_lock true
 input.last 1021
 input.last_lock true
 output.first 1001
 output.first_lock true
 output.last 1041
 output.last_lock true
 time ""
 filter none
 name Retime1
}
"""

CLONE = """clone node7f1|Kronos|12 Kronos {
 input.first 1
 input.last 9
 timingOutputSpeed {0.5}
 name Kronos9
}
"""

# Straight keys: half speed to 1051, then full. Splines: slopes of one half are straight lines; the held key stays at
# 1016 until 1041. A clone, and a node in a group, are read like any other. Input speed 2 shows 101, 103, 105.
SCRIPTS = {
    "Kronos, clipboard of 13": Script(CLIPBOARD_13, ((1001, 1001), (1026, 1013.5), (1051, 1026), (1076, 1051)), 1001),
    "Kronos, Windows script of 11": Script(SPLINES_11, ((1001, 1001), (1011, 1006), (1031, 1016), (1040, 1016)), 1001),
    "Kronos in a group of 10": Script(SPEED_10, ((1, 1), (2, 1.25), (97, 25)), 1),
    "OFlow, clipboard of 9": Script(OFLOW_9, ((101, 101), (102, 103), (124, 147)), 101),
    "OFlow of 6": Script(OFLOW_6, ((1, 1), (11, 6), (21, 11)), 1),
    "TimeWarp of 12": Script(TIMEWARP_12, ((1001, 1001), (1008, 1001), (1009, 1009), (1017, 1013), (1033, 1017)), 1001),
    "Retime of 8": Script(RETIME_8, ((1001, 1001), (1002, 1001.5), (1041, 1021)), 1001),
    "a clone": Script(CLONE, ((1, 1), (2, 1.5), (17, 9)), 1),
}

EXPRESSIONS = (
    "{{frame/2}}",
    '{{"frame / 2" i}}',
    '{{"frame + 1" x1 1 x20 10}}',
    "{{parent.NoOp1.speed}}",
    "{{curve+100 x1 1 x20 10}}",
    '"\\[value root.fps]"',
    "{{frame<1010?frame:1010}}",
)
"""Values of an animated knob that are computed, as scripts hold them."""
