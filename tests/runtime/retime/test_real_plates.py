"""Real files: the ten-part stereo plate."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - the name everybody uses
import pytest

from kairos.retime import run_retime
from kairos_nodes.jobs import RetimeJob
from support.shared import shared_data

Parts = Dict[str, Tuple[oiio.ImageSpec, np.ndarray]]


def parts_of(path: Path) -> Parts:
    """Header and (H, W, C) pixels of each part, by part name."""
    source = oiio.ImageInput.open(str(path))
    assert source is not None, oiio.geterror()
    found: Parts = {}
    index = 0
    while source.seek_subimage(index, 0):
        spec = source.spec()
        found[spec.getattribute("oiio:subimagename") or spec.getattribute("name")] = (
            spec.copy(), source.read_image(index, 0, 0, spec.nchannels, oiio.FLOAT),
        )  # fmt: skip
        index += 1
    source.close()
    return found


@pytest.fixture(scope="module")
def beachball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plate = shared_data() / "beachball" / "multipart.%04d.exr"
    output = tmp_path_factory.mktemp("beachball") / "bb.%04d.exr"
    settings = {"between": 3, "range": "1-2", "frames": "1,3,5", "vectors": "nuke", "masks": True, "device": "cpu"}
    assert run_retime(RetimeJob(str(plate), str(output), **settings), lambda event: None).exit_status == 0
    return output


@pytest.mark.slow
def test_all_ten_parts_are_in_every_frame_with_the_new_layers(beachball: Path) -> None:
    source = parts_of(shared_data() / "beachball" / "multipart.0001.exr")
    for number in (1, 3, 5):
        output = parts_of(Path(str(beachball) % number))
        assert set(source) <= set(output)
        for name, (spec, _) in source.items():
            names = [channel.replace("forward.", "source_forward.") for channel in spec.channelnames]
            assert list(output[name][0].channelnames) == names, name
            assert output[name][0].getattribute("view") == spec.getattribute("view")
        added = [channel for name in output for channel in output[name][0].channelnames if name not in source]
        for channel in ("forward.u", "backward.v", "occlusion.forward", "confidence.a"):
            assert added.count(channel) == 2, "one for each eye"


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 5])
def test_copied_frames_are_bit_identical_but_for_their_rescaled_vectors(number: int, beachball: Path) -> None:
    source = parts_of(shared_data() / "beachball" / f"multipart.{(number + 3) // 4:04d}.exr")
    output = parts_of(Path(str(beachball) % number))
    for name, (spec, pixels) in source.items():
        ours, theirs = output[name][0], spec
        assert (ours.x, ours.y, ours.width, ours.height) == (theirs.x, theirs.y, theirs.width, theirs.height), name
        assert (ours.full_width, ours.full_height) == (theirs.full_width, theirs.full_height)
        if name.startswith("forward"):
            assert np.allclose(output[name][1], pixels / 4, rtol=1e-3)
        else:
            assert np.array_equal(output[name][1], pixels), name


@pytest.mark.slow
def test_each_eye_has_a_motion_of_its_own(beachball: Path) -> None:
    output = parts_of(Path(str(beachball) % 3))
    means = {}
    for view in ("right", "left"):
        (spec, pixels), = [part for part in output.values() if "backward.u" in part[0].channelnames
                           and part[0].getattribute("view") == view]  # fmt: skip
        means[view] = pixels[..., list(spec.channelnames).index("forward.u")]
    assert means["right"].shape != means["left"].shape or not np.array_equal(means["right"], means["left"])


@pytest.mark.slow
def test_data_windows_hold_both_sources_and_stay_in_the_plate(beachball: Path) -> None:
    ends = [parts_of(shared_data() / "beachball" / f"multipart.{number:04d}.exr") for number in (1, 2)]
    output = parts_of(Path(str(beachball) % 3))
    for name in ends[0]:
        specs = [end[name][0] for end in ends]
        left, top = min(spec.x for spec in specs), min(spec.y for spec in specs)
        right = max(spec.x + spec.width for spec in specs)
        bottom = max(spec.y + spec.height for spec in specs)
        ours = output[name][0]
        assert (ours.x, ours.y, ours.x + ours.width, ours.y + ours.height) == (left, top, right, bottom), name
