"""Every layer moves with the beauty, each by its own policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from support import made
from support.exr import read_exr, read_spec
from support.jobs import Ran, frame_at, retime
from support.layered import DEPTHS, layered


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    directory = tmp_path_factory.mktemp("layers")
    return retime(layered(directory / "plate", frames=3), directory / "out", between=3)


def test_every_id_of_the_output_exists_in_the_input(ran: Ran, tmp_path: Path) -> None:
    clip = layered(tmp_path, frames=1)
    names = [name for name in read_exr(clip.files[0]) if name.startswith("CryptoObject")]
    ids = [name for name in names if name[-1].lower() in "rb"]
    assert len(ids) == 4
    known = {int(bits) for name in ids for bits in np.unique(read_exr(clip.files[0])[name].view(np.uint32))}
    for file in ran.files():
        found = {int(bits) for name in ids for bits in np.unique(read_exr(file)[name].view(np.uint32))}
        assert found <= known, file.name


def test_coverage_stays_with_its_id(ran: Ran) -> None:
    for file in ran.files():
        planes = read_exr(file)
        covers = [plane for name, plane in planes.items() if name.startswith("Crypto") and name[-1].lower() in "ga"]
        assert len(covers) == 4
        total = sum(covers)
        assert np.allclose(total, 1, atol=2e-3), file.name


def test_the_cryptomatte_manifest_is_kept(ran: Ran, tmp_path: Path) -> None:
    source = read_spec(layered(tmp_path, frames=1).files[0])
    wanted = {item.name: item.value for item in source.extra_attribs if item.name.startswith("cryptomatte/")}
    assert wanted
    for file in ran.files():
        held = {item.name: item.value for item in read_spec(file).extra_attribs}
        assert wanted.items() <= held.items(), file.name


def test_depth_has_no_value_between_foreground_and_background(ran: Ran) -> None:
    for file in ran.files():
        distance = np.min([np.abs(read_exr(file)["Z"] - depth) for depth in DEPTHS.values()], axis=0)
        assert distance.max() < 1e-4, file.name


def test_normals_have_unit_length(ran: Ran) -> None:
    for file in ran.files():
        planes = read_exr(file)
        length = np.sqrt(sum(planes[f"N.{axis}"].astype(np.float64) ** 2 for axis in "XYZ"))
        # Half floats near 1 are 0.0005 apart: three of them leave at most 0.001.
        assert np.abs(length - 1).max() < 2e-3, file.name


def test_integer_frames_pass_through_bit_exactly_in_every_layer(ran: Ran, tmp_path: Path) -> None:
    clip = layered(tmp_path, frames=3)
    for index, source in enumerate(clip.files):
        ours, theirs = read_exr(ran.file(frame_at(4 * index))), read_exr(source)
        assert ours.keys() == theirs.keys()
        for name, plane in theirs.items():
            assert np.array_equal(plane.view(np.uint32), ours[name].view(np.uint32)), (source.name, name)


def test_the_plates_own_vectors_are_rescaled_and_kept_under_another_name(tmp_path: Path) -> None:
    clip = made.object_over(tmp_path / "plate", frames=3)
    ran = retime(clip, tmp_path / "out", between=3, vectors="nuke", masks=True)
    for k in range(9):
        planes = read_exr(ran.file(frame_at(k)))
        # 9 px a frame for the object and -6 for the ground, a quarter of it between output frames.
        distance = np.min([np.abs(planes["source_forward.u"] - quarter) for quarter in (2.25, -1.5)], axis=0)
        assert distance.max() < 1e-4, k
        assert {"forward.u", "forward.v", "backward.u", "backward.v"} <= planes.keys()


def test_a_policy_given_by_the_artist_is_obeyed(tmp_path: Path) -> None:
    clip = layered(tmp_path / "plate", frames=2)
    ran = retime(clip, tmp_path / "out", between=1, layer_policy="N=hold,CryptoObject00=drop,CryptoObject01=drop")
    planes = read_exr(ran.file(frame_at(1)))
    assert not [name for name in planes if name.startswith("Crypto")]
    assert np.array_equal(planes["N.X"], read_exr(clip.files[0])["N.X"])


def test_only_the_channels_asked_for_are_written(tmp_path: Path) -> None:
    clip = layered(tmp_path / "plate", frames=2)
    assert set(read_exr(retime(clip, tmp_path / "a", between=1, channels="rgb").file(frame_at(1)))) == set("RGB")
    picked = retime(clip, tmp_path / "b", between=1, channels="Z,N")
    assert set(read_exr(picked.file(frame_at(1)))) == {"Z", "N.X", "N.Y", "N.Z"}
