"""The settings window: every knob, in a real process, without a display, and what happens where it cannot open."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, Iterator, List

import pytest

from kairos_nodes import asking
from kairos_nodes.asking import Question
from kairos_nodes.conform import Media, Placed
from kairos_nodes.errors import BadRequest, Cancelled
from kairos_nodes.nodes import node
from kairos_nodes.progress_window import ProgressWindow
from support.process import environment
from support.service import eventually
from support.shared import ROOT

PRESS = """
import sys
from kairos.studio import dialog
def press(self):
    for name, value in {values!r}.items():
        self.fields[name].set(value)
    self.{button}()
    return self.result()
dialog.SettingsDialog.exec = press
from kairos.cli import main
sys.exit(main())
"""
"""Runs Kairos with somebody at the window."""


@pytest.fixture
def question(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Question]:
    """What Slow Motion asks about a clip; nothing of the user's own is read or written."""
    monkeypatch.syspath_prepend(str(ROOT / "plugin" / "resolve"))
    monkeypatch.setenv("KAIROS_LAST_SETTINGS", str(tmp_path / "settings.json"))
    monkeypatch.setenv("KAIROS_HOME_FILE", str(tmp_path / "home.json"))
    from kairos_resolve.slow_motion import question as ask

    rate = Fraction(24000, 1001)
    yield ask(Placed("A003_C012.mov", Media("a.mov", 0, 240, Fraction(25)), 20, 50, 86400, 48, rate))


@pytest.fixture
def qt() -> None:
    """Skips where PySide6 is not installed; fails with KAIROS_REQUIRE_HOSTS=1."""
    if importlib.util.find_spec("PySide6") is None:
        if os.environ.get("KAIROS_REQUIRE_HOSTS") == "1":
            pytest.fail("PySide6-Essentials is not installed")
        pytest.skip("PySide6-Essentials is not installed: the settings window is not tested")


def launcher(folder: Path, *lines: str) -> Path:
    """A launcher that runs ``lines`` before it runs Kairos."""
    path = folder / "kairos"
    path.write_text("\n".join(["#!/bin/sh", f'export PYTHONPATH="{environment()["PYTHONPATH"]}"', *lines]) + "\n")
    path.chmod(0o755)
    return path


def pressing(folder: Path, button: str, **values: object) -> Path:
    """A launcher with somebody at the window, who changes values and presses a button."""
    program = folder / "press.py"
    program.write_text(PRESS.format(values=values, button=button))
    return launcher(folder, "export QT_QPA_PLATFORM=offscreen", f'exec "{sys.executable}" "{program}" "$@"')


def test_the_artists_values_come_back_and_are_kept(qt: None, question: Question, tmp_path: Path) -> None:
    said: List[str] = []
    start = pressing(tmp_path, "accept", speed="1/8", handles=12, place="take", engine="classic")
    values = asking.settings(question, said.append, start, {})
    assert (values["speed"], values["handles"], values["place"], values["engine"]) == ("0.125", 12, "take", "classic")
    assert len(said) == 1 and "window opens" in said.pop()
    # The next time, where no window can be opened, they are used again, and that is told.
    again = asking.settings(question, said.append, start, {"KAIROS_ASK": "0"})
    assert again == values
    assert len(said) == 1 and "speed 0.125" in said[0]


def test_closing_the_window_cancels(qt: None, question: Question, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        asking.settings(question, print, pressing(tmp_path, "reject"), {})
    assert not (tmp_path / "settings.json").exists()


def test_without_a_display_it_says_so_and_goes_on(qt: None, question: Question, tmp_path: Path) -> None:
    said: List[str] = []
    start = launcher(tmp_path, "unset DISPLAY WAYLAND_DISPLAY", f'exec "{sys.executable}" -m kairos "$@"')
    values = asking.settings(question, said.append, start, {})
    assert values["speed"] == "0.25"
    assert "there is no display" in said[1] and said[2] == "Settings as last time: the defaults."


def test_a_runtime_that_dies_or_is_not_there_does_not_stop_the_script(question: Question, tmp_path: Path) -> None:
    said: List[str] = []
    asking.settings(question, said.append, launcher(tmp_path, "kill -ABRT $$"), {})
    asking.settings(question, said.append, tmp_path / "nowhere", {})
    assert "status -6" in said[1] and "was not found" in said[4]


def test_an_error_is_shown_in_a_window_too(qt: None, question: Question, tmp_path: Path) -> None:
    program, seen = tmp_path / "seen.py", tmp_path / "seen.txt"
    program.write_text(
        "import sys, pathlib\nfrom PySide6.QtWidgets import QMessageBox\n"
        f"QMessageBox.exec = lambda self: pathlib.Path({str(seen)!r}).write_text(self.text())\n"
        "from kairos.cli import main\nsys.exit(main())\n"
    )
    start = launcher(tmp_path, "export QT_QPA_PLATFORM=offscreen", f'exec "{sys.executable}" "{program}" "$@"')
    assert asking.show("No timeline is open.\n\nOpen one.", start, {})
    assert eventually(lambda: seen.exists() and seen.read_text() != "")
    assert seen.read_text() == "No timeline is open.\n\nOpen one."
    assert not asking.show("x", start, {"KAIROS_ASK": "0"})
    assert not asking.show("x", tmp_path / "nowhere", {})


def test_the_progress_window_follows_and_closes_with_the_job(qt: None, tmp_path: Path) -> None:
    start = launcher(tmp_path, "export QT_QPA_PLATFORM=offscreen", f'exec "{sys.executable}" -m kairos "$@"')
    with ProgressWindow("A003", start, {}) as window:
        window.show(1, 4, "render")
        assert not window.cancelled
        process = window._process
    assert process is not None and process.wait(60) == 0 and not window.cancelled


def test_cancel_in_the_progress_window_is_noticed(qt: None, tmp_path: Path) -> None:
    program = tmp_path / "cancel.py"
    program.write_text(
        "import sys\nfrom PySide6.QtWidgets import QProgressDialog\n"
        "QProgressDialog.setValue = lambda self, value: self.canceled.emit() if value == 2 else None\n"
        "from kairos.cli import main\nsys.exit(main())\n"
    )
    start = launcher(tmp_path, "export QT_QPA_PLATFORM=offscreen", f'exec "{sys.executable}" "{program}" "$@"')
    with ProgressWindow("A003", start, {}) as window:
        window.show(1, 4)
        window.show(2, 4)
        assert eventually(lambda: window.cancelled, 60)
        window.show(3, 4)
        assert window.cancelled


def test_without_a_display_there_is_no_progress_window_and_nothing_else_changes(qt: None, tmp_path: Path) -> None:
    start = launcher(tmp_path, "unset DISPLAY WAYLAND_DISPLAY", f'exec "{sys.executable}" -m kairos "$@"')
    for place, given in ((start, {}), (tmp_path / "nowhere", {}), (start, {"KAIROS_ASK": "0"})):
        with ProgressWindow("A003", place, given) as window:
            process = window._process
            if process is not None:
                process.wait(60)
            window.show(1, 4)
            assert not window.cancelled


def test_settings_of_the_environment_need_no_window(question: Question, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    given = {"KAIROS_SETTINGS": '{"speed": 0.5, "length": "whole"}'}
    values = asking.settings(question, lambda text: None, nowhere, given)
    assert (values["speed"], values["length"], values["timing"]) == ("0.5", "whole", "speed")
    for wrong, why in (("{", "no JSON"), ("[]", "no JSON object"), ('{"sped": 1}', "no setting sped")):
        with pytest.raises(BadRequest, match=why):
            asking.settings(question, lambda text: None, nowhere, {"KAIROS_SETTINGS": wrong})
    with pytest.raises(BadRequest, match="--speed"):
        asking.settings(question, lambda text: None, nowhere, {"KAIROS_SETTINGS": '{"speed": "fast"}'})


def test_last_settings_that_are_none_any_more_are_passed_over(question: Question, tmp_path: Path) -> None:
    kept = {"SlowMotion": {"speed": "0.5", "engine": "", "length": "forever", "gone": 1}}
    (tmp_path / "settings.json").write_text(json.dumps(kept))
    assert asking.last_settings(question)["speed"] == "0.5"
    assert "length" not in asking.last_settings(question)
    (tmp_path / "settings.json").write_text("[")
    assert asking.last_settings(question) == {}


def test_a_question_survives_the_way_to_the_runtime(question: Question) -> None:
    again, values = Question.from_json(question.to_json({"speed": "0.5"}))
    assert values == {"speed": "0.5"}
    assert again.to_json(values) == question.to_json(values)
    assert [one.name for one in again.parameters] == [one.name for one in question.parameters]
    for broken in ("", "[]", '{"values": {}}', question.to_json({}).replace("SlowMotion", "Quick")):
        with pytest.raises(BadRequest):
            Question.from_json(broken)


@pytest.fixture
def dialog(qt: None, question: Question) -> Iterator[Any]:
    """The window in this process."""
    from PySide6.QtWidgets import QApplication

    from kairos.studio.dialog import SettingsDialog

    application = QApplication.instance() or QApplication(["kairos"])
    window = SettingsDialog(question, {"between": 5})
    window.show()
    application.processEvents()
    yield window
    window.close()


def test_every_knob_has_a_field_and_begins_at_the_nodes_value(dialog: Any, question: Question) -> None:
    expected = {one.name: one.default for one in question.parameters}
    assert set(expected) >= {one.name for one in node("SlowMotion").knobs} - set(question.hidden)
    assert dialog.values() == {**question.check({}), "between": 5}
    assert [dialog.pages.tabText(index) for index in range(dialog.pages.count())] == [
        "Clip",
        "Motion",
        "Layers",
        "Files",
    ]
    assert all(field.label.toolTip() for field in dialog.fields.values())


def test_only_the_timing_that_counts_can_be_edited(dialog: Any) -> None:
    def enabled() -> List[str]:
        return [name for name in ("speed", "between", "frame_map") if dialog.fields[name].widget.isEnabled()]

    assert enabled() == ["speed"] and not dialog.fields["export"].widget.isEnabled()
    dialog.fields["timing"].set("between")
    assert enabled() == ["between"]
    dialog.fields["timing"].set("timeline")
    assert enabled() == [] and dialog.fields["export"].widget.isEnabled()


def test_a_value_that_cannot_be_keeps_the_window_open_and_is_named(dialog: Any) -> None:
    dialog.fields["speed"].set("fast")
    dialog.accept()
    assert (
        dialog.isVisible() and "Speed: 'fast' is not a number" in dialog.trouble.text() and dialog.trouble.isVisible()
    )
    dialog.fields["speed"].set("0.5")
    dialog.fields["timing"].set("frame_map")
    dialog.accept()
    assert dialog.isVisible() and "Frame map is empty" in dialog.trouble.text()
    dialog.fields["timing"].set("speed")
    dialog.accept()
    assert not dialog.isVisible()


def test_an_engine_that_no_list_has_can_be_typed(dialog: Any) -> None:
    dialog.fields["engine"].set("rife")
    dialog.fields["device"].editor.setEditText("cuda:1")
    values = dialog.values()
    assert (values["engine"], values["device"]) == ("rife", "cuda:1")
