"""Scenes that Kairos makes to learn motion from: layered, moving, and with the exact truth at any time.

A scene is a background and one to eight things before it, from far to near: blobs, polygons, boxes and frames, ragged
rocks, foliage full of holes, figures, people with swinging limbs, fences and mesh, wires, hair, lettering; hills and
ground in three of ten. Each layer is a texture on a plane with an outline, and moves by a projective path of its own
(shift, roll, zoom, tilt, stretch, shear, about any pivot, at even or changing speed) under one camera (pan, roll, zoom,
shake, parallax by depth), with a small ripple on nearly half of them. A scene is a function of time: frames and truth
can be had at any, before 0 and after 1 too.

Textures are made from random numbers: dead leaves, smooth and rough fractals, bricks, cloth, stripes, wood, cells,
lettering, straw, facades; 53 canvases per seed. With ``Switches.photographs``, as by default, a quarter of the surfaces
are pictures that come with scikit-image, as its documentation states their licences: astronaut (NASA, public domain),
camera (Lav Varshney, CC0), brick, grass, gravel (CC0Textures, CC0), chelsea (Stefan van der Walt, CC0), coffee (Rachel
Michetti, CC0), rocket (SpaceX, public domain), hubble_deep_field (NASA, free to use as in the public domain). No other
picture is used. Without them scikit-image is not needed, and the same seed gives other scenes.

How scenes are spread, in parts of all:

- largest motion over the interval, log-uniform in each band: 0.25 from 0.3 to 4 pixels, 0.30 to 20, 0.45 to the reach
  (min(150, 0.45 times the shorter side) unless asked otherwise). What is measured are points all over each opaque
  layer, so that single pixels can move somewhat further. 0.02 stand quite still, in 0.02 one thing alone moves.
- the camera stands in 0.3. Half of the layers accelerate: half way, they are off the even path by up to a fifth.
- t is 1/2 in 0.4, else even in 0.1..0.9.
- 0.10 hold a layer to be seen through (glass, smoke), 0.08 one that is added (glow, reflection); 0.3 of things throw a
  soft shadow that slips against them. 0.3 of scenes have a focus, with soft layers in front of it or behind.
- glints up to several times white on a quarter of the smooth things; they stay on the surface.
- a shutter in 0.25, averaged over five instants, as long as these do not show apart; truth is that of the middle one.
- grain in 0.4, deviation 0.003 to 0.03, white or with a film's short correlation; brightness changes in 0.1.

Truth is that of the topmost opaque layer which covers more than half of a pixel. Films, shadows and glows own none.
"""

from kairos.training.scenes.batch import Paths, SceneBatch, Scenes, Switches
from kairos.training.scenes.sheet import contact_sheet

VERSION = 2
"""Changes whenever the same seed gives other pixels."""

__all__ = ["VERSION", "Paths", "SceneBatch", "Scenes", "Switches", "contact_sheet"]
