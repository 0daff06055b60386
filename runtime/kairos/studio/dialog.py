"""The window that asks for a node's settings on behalf of a host."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Dict, List, Mapping, Optional, TextIO

from PySide6.QtCore import QThread, Signal
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QMessageBox,
    QProgressDialog,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from kairos_nodes.asking import Question
from kairos_nodes.errors import BadRequest, EngineError
from kairos_nodes.nodes import node
from kairos_nodes.sections import sections

from .form import Field, page, values_of

_OVER, _CANCELLED = 0, 1

HOST_PAGE = "Clip"
"""Title of the page with what the host asks for."""


class SettingsDialog(QDialog):
    """A page for what the host asks for with the node's timing, and one for each other section of its knobs.

    Args:
        question: what to ask for.
        values: present values by parameter name; defaults where none is given.
    """

    def __init__(self, question: Question, values: Mapping[str, Any]) -> None:
        super().__init__()
        self._question = question
        self.fields: Dict[str, Field] = {
            one.name: Field(one, question.labels.get(one.name)) for one in question.parameters
        }
        for name, value in values.items():
            if name in self.fields:
                self.fields[name].set(self.fields[name].parameter.check(value))
        self.setWindowTitle(f"Kairos {node(question.node).title}")
        layout = QVBoxLayout(self)
        if question.note:
            note = QLabel(question.note)
            note.setWordWrap(True)
            layout.addWidget(note)
        self.pages = QTabWidget()
        for title, names in self._pages().items():
            area = QScrollArea()
            area.setWidgetResizable(True)
            area.setFrameShape(QScrollArea.Shape.NoFrame)
            area.setWidget(page([self.fields[name] for name in names]))
            self.pages.addTab(area, title)
        layout.addWidget(self.pages, 1)
        self.trouble = QLabel()
        self.trouble.setWordWrap(True)
        self.trouble.setStyleSheet("color: #d04a3a")
        self.trouble.hide()
        layout.addWidget(self.trouble)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.buttons.addButton("Render", QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout.addWidget(self.buttons)
        self.resize(560, 520)
        self._follow_timing()

    def values(self) -> Dict[str, Any]:
        """What the artist chose, in canonical form. Raises BadRequest naming the knob."""
        found = values_of(self.fields.values())
        timing = found.get(self._question.timing)
        if timing in self._timings() and found.get(timing) in (None, ""):
            knob = self.fields[timing].parameter
            raise BadRequest(f"{knob.label} is empty.", knob.help)
        return found

    def accept(self) -> None:
        """Closes the window, unless a value cannot be: then it says which."""
        try:
            self.values()
        except BadRequest as error:
            self.trouble.setText(str(error))
            self.trouble.show()
            return
        super().accept()

    def _pages(self) -> Dict[str, List[str]]:
        """Names of the fields by page: the host's own and the timing first."""
        extra = [one.name for one in self._question.extra]
        shown = sections(one for one in self._question.parameters if one.name not in extra)
        timing = [one.name for one in shown.pop("Timing", [])]
        wanted = [name for name in timing if name in self._timings()]
        at = extra.index(self._question.timing) + 1 if self._question.timing in extra else len(extra)
        first = [*extra[:at], *wanted, *extra[at:], *(name for name in timing if name not in wanted)]
        return {HOST_PAGE: first, **{title: [one.name for one in found] for title, found in shown.items()}}

    def _timings(self) -> List[str]:
        """The node's timings that are asked for."""
        return [name for name in node(self._question.node).timings if name in self.fields]

    def _follow_timing(self) -> None:
        """Greys out the timings that do not count."""
        chooser = self.fields.get(self._question.timing)
        if chooser is None:
            return

        def follow() -> None:
            chosen = chooser.raw()
            for name in self._timings():
                self.fields[name].enable(name == chosen)
            for name, choice in self._question.depends.items():
                self.fields[name].enable(choice == chosen)

        box = chooser.editor
        box.currentIndexChanged.connect(follow)  # type: ignore[attr-defined]
        follow()


def ask(question: Question, values: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    """Shows the window and waits. None where the artist closed it. Raises EngineError where there is no display."""
    application = _application()
    dialog = SettingsDialog(question, values)
    _to_front(dialog)
    accepted = dialog.exec() == QDialog.DialogCode.Accepted
    application.processEvents()
    return dialog.values() if accepted else None


def show_message(text: str) -> None:
    """Shows a message and waits until it is read. Raises EngineError where there is no display."""
    application = _application()
    box = QMessageBox(QMessageBox.Icon.Warning, "Kairos", text)
    _to_front(box)
    box.exec()
    application.processEvents()


def show_progress(title: str, lines: TextIO) -> bool:
    """Shows how a job goes until the lines end. False where the artist cancelled.

    Args:
        title: what is rendered.
        lines: JSON objects with ``done``, ``total`` and ``text``, one a line.

    Raises:
        EngineError: there is no display.
    """
    application = _application()
    window = QProgressDialog(f"{title}\n", "Cancel", 0, 0)
    window.setWindowTitle("Kairos")
    window.setMinimumDuration(0)
    window.setMinimumWidth(420)
    window.setAutoClose(False)
    window.setAutoReset(False)
    reader = _Reader(lines)

    def follow(line: str) -> None:
        try:
            found = json.loads(line)
            window.setMaximum(int(found["total"]))
            window.setValue(int(found["done"]))
            window.setLabelText(f"{title}\n{found['text']}")
        except (ValueError, KeyError, TypeError):
            window.setLabelText(title)

    reader.line.connect(follow)
    # Not quit(): that closes the window first, which counts as Cancel.
    reader.finished.connect(lambda: application.exit(_OVER))
    window.canceled.connect(lambda: application.exit(_CANCELLED))
    _to_front(window)
    reader.start()
    return application.exec() == _OVER


class _Reader(QThread):
    """Reads lines without holding up the window; a thread that waits for one more ends with the process."""

    line = Signal(str)

    def __init__(self, lines: TextIO) -> None:
        super().__init__()
        self._lines = lines

    def run(self) -> None:
        """The thread."""
        for line in self._lines:
            self.line.emit(line)


def _application() -> QApplication:
    """Qt ends the whole process where it finds no display, so this looks first."""
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform not in ("win32", "darwin") and not any(os.environ.get(name) for name in displays):
        raise EngineError("there is no display.", "Run it in a desktop session, or set KAIROS_SETTINGS.")
    existing = QApplication.instance()
    return existing if isinstance(existing, QApplication) else QApplication(["kairos"])


def _to_front(widget: QWidget) -> None:
    """The host's window would otherwise keep it behind itself."""
    widget.show()
    widget.raise_()
    widget.activateWindow()
