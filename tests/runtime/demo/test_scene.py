"""The demo scene's truth is true: everything the demo prints is measured against it."""

from __future__ import annotations

import json
from functools import lru_cache

import cv2
import numpy as np
import pytest

from kairos.demo.cryptomatte import id_bits, murmur3_32
from kairos.demo.scene import FIRST, DemoScene, RenderedTruth
from kairos.demo.sticks import LAMP_VALUE


@lru_cache(maxsize=1)
def scene() -> DemoScene:
    return DemoScene(480, 270)


@lru_cache(maxsize=4)
def truth(time: float) -> RenderedTruth:
    return scene().render(time)


def pulled(image: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """(C, H, W) ``image`` fetched along (2, H, W) ``motion``, as compositing's vector warp does."""
    height, width = image.shape[1:]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(image.transpose(1, 2, 0), x + motion[0], y + motion[1], cv2.INTER_CUBIC)
    return moved.transpose(2, 0, 1)


def difference(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(H, W) difference of the logarithms: a highlight's speck does not outweigh the picture."""
    return np.abs(np.log1p(np.maximum(one, 0)) - np.log1p(np.maximum(two, 0))).mean(0)


@pytest.mark.parametrize(("start", "stop"), [(4.0, 5.0), (4.0, 3.0), (4.0, 4.5)])
def test_pulling_a_frame_along_the_true_motion_gives_the_other_one(start: float, stop: float) -> None:
    here, there = truth(start), truth(stop)
    seen = ~scene().occlusion(start, stop)
    error = difference(pulled(there.rgb, scene().motion(start, stop)), here.rgb)
    still = difference(there.rgb, here.rgb)
    assert 0.9 < seen.mean() < 1.0
    # Floor and print are matt and lit by a light that stands still; the others keep highlights that do not move along.
    for name, limit in (("floor", 0.006), ("print", 0.008), ("card", 0.04), ("ball", 0.05), ("lamp", 0.05)):
        mine = seen & (here.label == scene().names.index(name))
        assert error[mine].mean() < limit, name
        # Within half a frame the print moves by half a pixel, where fetching's own blur weighs as much.
        assert error[mine].mean() < (0.5 if abs(stop - start) == 1 else 0.8) * still[mine].mean(), name


@pytest.mark.parametrize("name", ["ball", "card", "baton", "rod near", "cable", "lamp"])
def test_the_motion_of_each_element_leads_to_itself(name: str) -> None:
    here, there = truth(4.0), truth(5.0)
    mine = (here.label == scene().names.index(name)) & ~scene().occlusion(4.0, 5.0)
    rows, columns = np.nonzero(mine)
    motion = scene().motion(4.0, 5.0)
    depth = here.planes["Z"][mine]
    across = np.rint(columns + motion[0][mine]).astype(int)
    down = np.rint(rows + motion[1][mine]).astype(int)
    assert len(rows) > 20
    assert (there.label[down, across] == scene().names.index(name)).all()
    assert np.abs(there.planes["Z"][down, across] - depth).max() < 0.25  # metres: a frame's own movement, no jump


def test_motion_there_and_back_cancels() -> None:
    forth, back = scene().motion(2.0, 3.0), scene().motion(3.0, 2.0)
    seen = ~scene().occlusion(2.0, 3.0)
    round_trip = np.hypot(*(forth + pulled(back, forth)))
    # Fetching between two elements' vectors mixes them: pixels round outlines may be off.
    inner = seen & (cv2.dilate(scene().occlusion(2.0, 3.0).astype(np.uint8), np.ones((5, 5))) == 0)
    labels = truth(2.0).label.astype(np.float32)
    inner &= cv2.dilate(labels, np.ones((5, 5))) == cv2.erode(labels, np.ones((5, 5)))
    assert inner.mean() > 0.8
    assert np.quantile(round_trip[inner], 0.99) < 0.05


def test_motion_to_the_same_time_is_nothing() -> None:
    assert np.abs(scene().motion(3.25, 3.25)).max() < 1e-3
    assert not scene().occlusion(3.25, 3.25).any()


def test_file_vectors_point_up_and_to_the_neighbouring_frames() -> None:
    planes = truth(4.0).planes
    forward, backward = scene().motion(4.0, 5.0), scene().motion(4.0, 3.0)
    assert np.array_equal(planes["forward.u"], forward[0]) and np.array_equal(planes["forward.v"], -forward[1])
    assert np.array_equal(planes["backward.u"], backward[0]) and np.array_equal(planes["backward.v"], -backward[1])


def test_paths_are_curved_and_gather_pace() -> None:
    mine = truth(4.0).label == scene().names.index("ball")
    near, far = scene().motion(4.0, 5.0)[:, mine].mean(1), scene().motion(4.0, 6.0)[:, mine].mean(1)
    assert np.hypot(*(far - 2 * near)) > 0.2


def test_the_plate_is_hdr_and_finite() -> None:
    planes = truth(4.0).planes
    assert all(np.isfinite(plane).all() for plane in planes.values())
    rgb = truth(4.0).rgb
    assert rgb.min() >= 0 and LAMP_VALUE <= rgb.max() < LAMP_VALUE * 1.01
    # An ordinary exposure apart from that: the middle of the picture lies between three stops under grey and grey.
    assert 0.18 / 8 < np.median(rgb) < 0.3
    # The ball's highlight too is above diffuse white.
    assert rgb[:, truth(4.0).label == scene().names.index("ball")].max() > 2


def test_the_cryptomatte_is_valid() -> None:
    part = scene().frame(FIRST).parts[0]
    entries = {key.rsplit("/", 1)[1]: value.value for key, value in part.metadata.items() if "cryptomatte/" in key}
    assert entries["name"] == "CryptoObject" and entries["hash"] == "MurmurHash3_32"
    assert entries["conversion"] == "uint32_to_float32"
    keys = {key.split("/")[1] for key in part.metadata if key.startswith("cryptomatte/")}
    assert keys == {f"{murmur3_32(b'CryptoObject'):08x}"[:7]}
    manifest = json.loads(str(entries["manifest"]))
    assert set(manifest) == set(scene().names)
    planes = dict(zip(part.channels, part.planes))
    known = {int(value, 16) for value in manifest.values()}
    cover = np.zeros_like(part.planes[0])
    before = np.full_like(cover, 2.0)
    for layer in ("00", "01"):
        for id_channel, cover_channel in ("RG", "BA"):
            ids = planes[f"CryptoObject{layer}.{id_channel}"]
            share = planes[f"CryptoObject{layer}.{cover_channel}"]
            assert set(np.unique(ids.view(np.uint32)).tolist()) - {0} <= known
            assert ((ids == 0) == (share == 0)).all()
            assert (share <= before).all()
            before, cover = share, cover + share
    assert np.abs(cover - 1).max() < 1e-4
    assert {"float"} == {depth for name, depth in zip(part.channels, part.depths) if name.startswith("Crypto")}


@pytest.mark.parametrize(
    ("name", "hashed"),
    # Published test vectors of MurmurHash3_x86_32, seed 0.
    [("", 0), ("hello", 0x248BFA47), ("hello, world", 0x149BBB7F)],
)
def test_names_are_hashed_by_murmur3(name: str, hashed: int) -> None:
    assert murmur3_32(name.encode()) == hashed


def test_an_identifier_is_always_an_ordinary_float() -> None:
    exponents = {id_bits(f"object{index}") >> 23 & 0xFF for index in range(5000)}
    assert exponents.isdisjoint({0, 255})


def test_normals_are_unit_and_depth_positive() -> None:
    planes = truth(4.0).planes
    length = np.sqrt(sum(planes[f"N.{axis}"].astype(float) ** 2 for axis in "XYZ"))
    assert np.abs(length - 1).max() < 1e-4
    assert planes["Z"].min() > 1.0 and planes["Z"].max() < 10


def test_the_foreground_over_the_set_is_the_plate() -> None:
    planes = truth(4.0).planes
    alpha = planes["foreground.A"]
    assert alpha.min() >= 0 and alpha.max() <= 1
    # Where the foreground is solid, it is the plate.
    solid = alpha > 0.9999
    assert solid.mean() > 0.05
    for name in "RGB":
        assert np.allclose(planes[f"foreground.{name}"][solid], planes[name][solid], rtol=1e-2, atol=1e-2)


def test_the_same_time_renders_the_same_plate() -> None:
    again = DemoScene(480, 270).render(4.0)
    assert all(np.array_equal(plane, again.planes[name]) for name, plane in truth(4.0).planes.items())


def test_frames_are_numbered_timed_and_whole() -> None:
    frame = scene().frame(FIRST + 3)
    assert (frame.number, frame.timecode, frame.rate) == (1004, "01:00:00:03", 24)
    assert (frame.display.width, frame.display.height) == (480, 270)
    assert frame.parts[0].channels[:4] == ("R", "G", "B", "A")
