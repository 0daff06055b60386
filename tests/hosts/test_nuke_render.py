"""Kairos nodes in Nuke render through the real runtime, on real EXRs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Iterator, List

import numpy as np
import pytest

from kairos_nodes.client import Client
from kairos_nodes.errors import KairosError
from kairos_nodes.events import Event
from support import made, nuke_session, service
from support.exr import read_exr, write_exr
from support.nuke_session import PLUGIN, kairos_group, plate_node, plugin, read_node
from support.process import environment
from support.shared import ROOT


@pytest.fixture
def nuke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    yield from nuke_session.session(monkeypatch, tmp_path)


@pytest.fixture
def stereo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    yield from nuke_session.session(monkeypatch, tmp_path, ("left", "right"))


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The rendezvous folder of a runtime that this module's sessions share; the first to need it starts it."""
    folder = tmp_path_factory.mktemp("service")
    folder.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        service.use_this_checkout(patch)
        with service.client(folder):
            yield folder
    service.end(folder)


@pytest.fixture
def served(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nuke finds the running runtime as it does on any machine: by its rendezvous folder."""
    monkeypatch.setenv("KAIROS_SERVICE", str(runtime))
    return runtime


@pytest.mark.slow
def test_a_node_renders_real_frames_through_the_real_runtime(nuke: Any, served: Path, tmp_path: Path) -> None:
    group = plate_node(nuke, tmp_path / "plate", vectors="nuke")
    heard: List[str] = []
    request = plugin("render").render(group, listen=lambda event: heard.append(event.kind))
    assert "planned" in heard and heard[-1] == "done"
    assert request.output == (1001, 1005)
    shown = group["kairos_result"].value()
    assert (shown, group["kairos_rendered"].value()) == (request.result, True)
    plate, result = read_exr(Path(str(group.input(0)["file"].value()) % 1001)), read_exr(Path(shown % 1001))
    assert all(np.array_equal(plate[name], result[name]) for name in plate)
    assert "forward.u" in result
    # A second render finds everything done, and so does the preview, which shows it without asking the runtime.
    heard.clear()
    plugin("render").render(group, lambda event: heard.append(event.kind))
    assert "frame_done" not in heard
    group["kairos_rendered"].setValue(False)
    plugin("panel").pressed_preview(group)
    assert group["kairos_rendered"].value() is True and nuke.executed == [("PlateWrite", 1001, 1003, False)]


@pytest.mark.slow
def test_a_preview_is_the_frame_of_the_whole_render(
    nuke: Any, served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = made.pan(tmp_path / "plate", frames=9, size=(80, 112))
    group = kairos_group(read_node(nuke, clip.pattern, 1001, 1009))
    for name, value in (("engine", "classic"), ("device", "cpu"), ("vectors", "nuke")):
        group[name].setValue(value)
    nuke.GUI = True
    monkeypatch.setattr(nuke, "frame", lambda: 1010)
    plugin("panel").pressed_preview(group)
    (thread,) = [each for each in threading.enumerate() if each.name == f"kairos-{group.name()}"]
    thread.join(60)
    preview = group["kairos_result"].value()
    assert nuke.messages == [] and nuke.executed == [("PlateWrite", 1003, 1008, False)]
    assert [group[name].value() for name in ("kairos_first", "kairos_last")] == [1010, 1010]
    assert "shows a preview of one frame" in plugin("render").unfinished(group)
    whole = plugin("render").render(group)
    assert nuke.executed[1:] == [("PlateWrite", 1001, 1002, False), ("PlateWrite", 1009, 1009, False)]
    shown, final = read_exr(Path(preview % 1010)), read_exr(Path(whole.result % 1010))
    assert set(shown) == set(final) and "forward.u" in shown
    # The exposure is measured on other frames, but comes to the same half stop.
    assert all(np.array_equal(shown[name], final[name]) for name in final)


@pytest.mark.slow
def test_every_view_is_rendered_to_its_own_file(stereo: Any, served: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plate"
    clip = made.still_hdr(folder)
    planes = {frame: read_exr(clip.files[frame - made.FIRST]) for frame in (1001, 1002)}
    for view, gain in (("left", 1.0), ("right", 2.0)):
        for frame, one in planes.items():
            write_exr(folder / f"eye.{view}.{frame}.exr", {name: plane * gain for name, plane in one.items()})
    group = kairos_group(read_node(stereo, str(folder / "eye.%V.%04d.exr"), 1001, 1002))
    group["engine"].setValue("classic")
    group["device"].setValue("cpu")
    plugin("render").render(group)
    shown = group["kairos_result"].value()
    assert "%V" in shown
    for view in ("left", "right"):
        plate, result = read_exr(folder / f"eye.{view}.1002.exr"), read_exr(Path(shown.replace("%V", view) % 1003))
        assert all(np.array_equal(plate[name], result[name]) for name in plate)


@pytest.mark.slow
def test_file_name_filters_hold_for_the_runtime_too(
    nuke: Any, served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAIROS_CACHE", "X:/farm/cache")
    nuke.addFilenameFilter(lambda path: path.replace("X:/farm", str(tmp_path / "mount")))
    group = plate_node(nuke, tmp_path / "plate")
    group["timing2"].setValue("Frame")
    group["timingFrame2"].fromScript("{curve L x1001 1001 x1002 1001.5}")
    (tmp_path / "mount").mkdir()
    monkeypatch.chdir(tmp_path)
    plugin("render").render(group)
    shown = str(group["kairos_result"].value())
    assert shown.startswith("X:/farm/cache/results/")
    assert Path(nuke.filenameFilter(shown) % 1002).is_file()
    assert plugin("render").unfinished(group) == ""


@pytest.mark.slow
def test_a_plate_that_changes_its_format_names_node_and_frame(nuke: Any, served: Path, tmp_path: Path) -> None:
    group = plate_node(nuke, tmp_path / "plate")
    small = {name: np.zeros((40, 60), np.float32) for name in "RGB"}
    write_exr(Path(str(group.input(0)["file"].value()) % 1002), small)
    with pytest.raises(KairosError, match=r"KairosRetime1.*Plate.*1002"):
        plugin("render").render(group)


@pytest.mark.slow
def test_a_farm_renders_every_node_in_order_and_saves_the_script(
    nuke: Any, served: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    group = plate_node(nuke, tmp_path / "plate")
    assert plugin("farm").main(["shot.nk", "--save-as", "done.nk"]) == 0
    assert nuke.saved == ["done.nk"] and group["kairos_rendered"].value()
    assert "Kairos: KairosRetime1: 100%" in capsys.readouterr().out
    Path(group["kairos_result"].value() % 1003).unlink()
    shutil.rmtree(tmp_path / "plate")
    assert plugin("farm").main(["shot.nk"]) == KairosError.exit_status
    assert "Nuke could not write" in capsys.readouterr().err


@pytest.mark.slow
def test_cancel_in_the_progress_bar_ends_the_job_and_leaves_no_message(
    nuke: Any, served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nuke.ProgressTask, "isCancelled", lambda self: True)
    nuke.GUI = True
    group = plate_node(nuke, tmp_path / "plate")
    request = plugin("request").request_of(group)
    with Client("a test", folder=served, start=False) as client:
        before = {job["id"] for job in client.jobs()}
        plugin("panel").render_in_background(group, request).join(60)
        assert nuke.messages == [] and not group["kairos_rendered"].value()

        def over() -> bool:
            """Cancelled on its way to the runtime, or there."""
            return all(job["state"] == "cancelled" for job in client.jobs() if job["id"] not in before)

        assert service.eventually(over)


@pytest.mark.slow
def test_the_runtimes_death_is_an_error_that_names_the_log_and_the_next_job_finds_a_new_runtime(
    nuke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "service"
    folder.mkdir(mode=0o700)
    service.use_this_checkout(monkeypatch)
    # So many frames that the job cannot be over before the runtime is killed.
    session, group = plugin("session"), plate_node(nuke, tmp_path / "plate", timingOutputSpeed=0.001)
    session._client = Client("Nuke", launcher=service.LAUNCHER, folder=folder)
    request = plugin("request").request_of(group)
    plugin("render").prepare(group, request)
    killed: List[int] = []
    heard: List[str] = []

    def listen(event: Event) -> None:
        heard.extend([event.kind] if event.kind == "planned" else [])

    def kill() -> bool:
        if not killed and heard:
            killed.append(service.rendezvous(folder).pid)
            service.kill(killed[0])
        return False

    try:
        with pytest.raises(KairosError, match=r"KairosRetime1 \(Plate\): .*runtime\.log"):
            plugin("render").run(request.title, request.jobs(), listen, kill)
        assert session.client().connect()["pid"] not in killed
    finally:
        service.end(folder)


@pytest.mark.slow
def test_a_job_ends_when_nuke_is_killed(served: Path, tmp_path: Path) -> None:
    """A command-line Nuke in a process of its own, killed as the system kills once its job runs."""
    clip = made.still_hdr(tmp_path / "plate")
    code = (
        "import sys; from support import nuke, nuke_session as s\n"
        f"sys.modules['nuke'] = n = nuke.load(); sys.path.insert(0, {str(PLUGIN)!r})\n"
        f"group = s.kairos_group(s.read_node(n, {clip.pattern!r}, 1001, 1003))\n"
        "for name, value in (('engine', 'classic'), ('device', 'cpu'), ('timingOutputSpeed', 0.001)):\n"
        "    group[name].setValue(value)\n"
        "s.plugin('render').render(group, lambda event: print(event.kind, flush=True))\n"
    )
    variables = {**environment(), "KAIROS_SERVICE": str(served), "KAIROS_CACHE": str(tmp_path / "cache")}
    variables["PYTHONPATH"] += os.pathsep + str(ROOT / "tests")
    with subprocess.Popen([sys.executable, "-c", code], env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "planned\n" in process.stdout
        with Client("a test", folder=served, start=False) as client:
            running = [job for job in client.jobs() if job["state"] == "running"]
            assert [job["host"].partition(" (")[0] for job in running] == ["Nuke 15.1v1"]
            service.kill(process.pid)
            id = running[0]["id"]

            def over() -> bool:
                return all(job["state"] == "cancelled" for job in client.jobs() if job["id"] == id)

            assert service.eventually(over)
