"""The engine ``onnx:FILE``: any network in an ONNX file of the documented signature, by onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch

from kairos.engines.adapters.matted import MattedSession
from kairos.engines.adapters.session import Way
from kairos.engines.base import EngineCard, EngineSettings, Session, ShotView
from kairos.engines.files import file_hash
from kairos.engines.onnx.file import Described, described
from kairos.engines.onnx.graph import ExportedNetwork
from kairos.errors import BadRequest, KairosError
from kairos.events import Event, Listener

PREFIX = "onnx:"
"""The engine's name begins with this; the file's path follows."""


class OnnxEngine:
    """A network in an ONNX file; see docs/export.md for what the file must hold.

    Args:
        path: of the file.

    Raises:
        BadRequest: the file is missing, damaged, or no network of the documented signature.
        EngineError: the package onnxruntime is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser()
        told = described(self._path)
        source = f"{told.network} {told.weights}".strip()
        self.card = EngineCard(
            id=f"{PREFIX}{path}",
            title=f"{path.name}: {source or 'a network'}{', paints' if told.paints else ''}, by onnxruntime",
            paper=f"that of {told.network}" if told.network else "the file does not say",
            code_licence="Apache-2.0",
            weights_licence=told.licence or "the file does not say",
            paints=told.paints,
            commercial=not told.non_commercial,
        )

    def unavailable(self) -> str:
        """Why the engine cannot run, where the file has gone or has become another."""
        try:
            self._told()
        except KairosError as error:
            return str(error)
        return ""

    def weights_hash(self, settings: EngineSettings = EngineSettings()) -> str:  # noqa: B008  immutable
        """SHA-256 of the file. Raises BadRequest where it is missing."""
        return file_hash(self._path)

    def settle(self, shot: ShotView, settings: EngineSettings) -> EngineSettings:
        """The settings with the scale made certain: there is one."""
        return settings if settings.scale is not None else replace(settings, scale=1.0)

    def open(self, shot: ShotView, settings: EngineSettings, listener: Listener) -> Session:
        """A session on the shot; a licence that forbids commercial use is told as a warning.

        Raises:
            BadRequest: a precision, a scale or tiles that a file does not have, or a file that is no longer fit.
            EngineError: the package onnxruntime is missing.
        """
        told = self._told()
        if settings.precision != "fp32":
            raise BadRequest(f"{self.card.id} computes in fp32 alone.", "Use --precision auto.")
        if settings.scale not in (None, 1.0):
            raise BadRequest(f"{self.card.id} seeks motion at full size alone.", "Use --scale 1.")
        if settings.tile is not None:
            raise BadRequest(
                f"{self.card.id} looks at a frame as a whole and cannot work in tiles.",
                "Use --tile off, with --proxy 2 where memory is short.",
            )
        if told.non_commercial:
            message = f"{self._path.name} holds weights for non-commercial use: {told.licence}."
            listener(Event("warning", {"message": message, "remedy": "Use another engine for commercial work."}))
        network = _network(self._path, file_hash(self._path), told, str(shot.device))
        return MattedSession(shot, network, Way(paints=told.paints, formula=told.formula))

    def _told(self) -> Described:
        return described(self._path)


@lru_cache(maxsize=2)
def _network(path: Path, sha256: str, told: Described, device: str) -> ExportedNetwork:
    """Loaded once for all views of a shot; the hash tells when the file has become another."""
    return ExportedNetwork(path, told, torch.device(device))
