"""Widgets made from the one parameter table: a form, its values, and which of them are wrong."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Mapping, Optional

from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QWidget,
)

from kairos_nodes.errors import BadRequest
from kairos_nodes.parameter import Parameter, Value

LARGEST = 2**31 - 1


class Field:
    """One parameter as a widget.

    Args:
        parameter: what it edits.
        labels: how its choices read; themselves where not given.
    """

    def __init__(self, parameter: Parameter, labels: Optional[Mapping[str, str]] = None) -> None:
        self.parameter = parameter
        self._labels = dict(labels or {})
        self.editor: QWidget = self._made()
        self.widget: QWidget = self._with_unit()
        self.label = QLabel(parameter.label)
        for one in (self.label, self.editor):
            one.setToolTip(parameter.help)
        self.label.setBuddy(self.editor)
        self.set(parameter.default)

    def value(self) -> Value:
        """What it holds, in canonical form. Raises BadRequest naming the parameter."""
        try:
            return self.parameter.check(self.raw())
        except BadRequest as error:
            # The window shows labels where the command line has flags.
            named = error.message.replace(self.parameter.title, self.parameter.label, 1)
            raise BadRequest(named, error.remedy) from None

    def raw(self) -> object:
        """What it holds, unchecked; None for an empty field that has no default."""
        editor = self.editor
        if isinstance(editor, QCheckBox):
            return editor.isChecked()
        if isinstance(editor, QSpinBox):
            return editor.value()
        if isinstance(editor, QComboBox):
            text, index = editor.currentText().strip(), editor.currentIndex()
            chosen = editor.itemData(index) if index >= 0 and editor.itemText(index) == text else text
            return str(chosen)
        text = editor.text().strip() if isinstance(editor, QLineEdit) else ""
        return text or None

    def set(self, value: Value) -> None:
        """Shows a value."""
        editor = self.editor
        if isinstance(editor, QCheckBox):
            editor.setChecked(bool(value))
        elif isinstance(editor, QSpinBox):
            editor.setValue(int(value or 0))
        elif isinstance(editor, QComboBox):
            index = editor.findData(str(value))
            if index >= 0:
                editor.setCurrentIndex(index)
            else:
                editor.setEditText(str(value))
        elif isinstance(editor, QLineEdit):
            editor.setText("" if value is None else str(value))

    def enable(self, on: bool) -> None:
        """Greys it out, or not."""
        self.label.setEnabled(on)
        self.widget.setEnabled(on)

    def _made(self) -> QWidget:
        one = self.parameter
        if one.kind == "bool":
            return QCheckBox()
        if one.kind == "choice":
            box = QComboBox()
            box.setEditable(bool(one.accepts))
            for choice in one.choices:
                box.addItem(self._labels.get(choice, choice), choice)
            return box
        if one.kind == "int" and one.default is not None:
            spin = QSpinBox()
            spin.setRange(int(one.minimum or 0), int(min(one.maximum or LARGEST, LARGEST)))
            return spin
        line = QLineEdit()
        line.setPlaceholderText(one.form or ("optional" if one.default in (None, "") else ""))
        return line

    def _with_unit(self) -> QWidget:
        """The editor with what stands behind it: a unit, or a button that looks for a file."""
        if self.parameter.kind != "path" and not self.parameter.unit:
            return self.editor
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.editor, 1)
        if self.parameter.kind == "path":
            button = QToolButton()
            button.setText("…")
            button.setToolTip("Choose a file")
            button.clicked.connect(self._browse)
            layout.addWidget(button)
        else:
            unit = QLabel(self.parameter.unit)
            unit.setEnabled(False)
            layout.addWidget(unit)
        return row

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self.editor, self.parameter.label, str(self.raw() or ""))
        if path:
            self.set(path)


def page(fields: Iterable[Field]) -> QWidget:
    """A page of a form."""
    widget = QWidget()
    layout = QFormLayout(widget)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for one in fields:
        layout.addRow(one.label, one.widget)
    return widget


def values_of(fields: Iterable[Field]) -> Dict[str, Any]:
    """All values in canonical form. Raises BadRequest naming the first that cannot be."""
    return {one.parameter.name: one.value() for one in fields}
