"""Colour spaces through OpenColorIO: which one a file is in, and the way from one to another."""

from __future__ import annotations

import difflib
import functools
import os
import threading
from pathlib import Path
from typing import Dict, Optional, Tuple

import numpy as np
import PyOpenColorIO as ocio  # type: ignore[import-untyped]  # noqa: N813

from kairos.errors import BadRequest
from kairos.frame import Planes

BUILT_IN = "ocio://studio-config-latest"


def _validated(path: str) -> ocio.Config:
    config = ocio.Config.CreateFromFile(path)
    config.validate()
    return config


@functools.lru_cache(maxsize=4)
def _built_in(address: str) -> ocio.Config:
    """A configuration that is part of OCIO: parsing it takes a tenth of a second, and it cannot change."""
    return _validated(address)


class ColorConfig:
    """One OCIO configuration. Thread-safe.

    Args:
        config: the configuration.
        source: where it came from, for reports.
    """

    def __init__(self, config: ocio.Config, source: str) -> None:
        self._config, self.source = config, source
        self._processors: Dict[Tuple[str, str], Optional[ocio.CPUProcessor]] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: Optional[str] = None) -> ColorConfig:
        """The configuration that ``$OCIO`` names, else the one at ``path``, else OCIO's built-in studio configuration.

        Raises:
            BadRequest: it cannot be read.
        """
        named = os.environ.get("OCIO") or path or BUILT_IN
        try:
            # A path as given, also one with ~, or a built-in's ocio:// address.
            config = _built_in(named) if "://" in named else _validated(str(Path(named).expanduser()))
        except ocio.Exception as error:
            knob = "$OCIO" if os.environ.get("OCIO") else "--ocio"
            why = str(error).split("\n")[0]
            raise BadRequest(
                f"{knob}: the colour configuration {named} cannot be used: {why}.", "Check the file."
            ) from error
        return cls(config, named)

    def describe(self) -> str:
        """One line for people: the configuration's name and where it came from."""
        name = self._config.getName() or "unnamed configuration"
        return f"{name} ({self.source})" if self.source != name else str(name)

    @property
    def scene_linear(self) -> str:
        """The colour space of the role ``scene_linear``.

        Raises:
            BadRequest: the configuration has no such role.
        """
        space = self._config.getColorSpace("scene_linear")
        if space is None:
            raise BadRequest(
                f"The colour configuration {self.source} has no scene_linear role.",
                "Add one, or use another configuration.",
            )
        return str(space.getName())

    @property
    def encoded(self) -> str:
        """The colour space of 8-bit pictures about which nothing else is known: the first role of those for them."""
        for role in ("texture_paint", "color_picking", "matte_paint"):
            space = self._config.getColorSpace(role)
            if space is not None and not self.is_scene_linear(space.getName()):
                return str(space.getName())
        return self.scene_linear

    def space_of_file(self, path: str) -> str:
        """The colour space that the configuration's file rules give a path."""
        return str(self._config.getColorSpaceFromFilepath(str(path))[0])

    def only_default_rule(self, path: str) -> bool:
        """True where no file rule but the default knows the path."""
        return bool(self._config.filepathOnlyMatchesDefaultRule(str(path)))

    def check(self, name: str) -> str:
        """The configuration's own name for a colour space, role or alias.

        Raises:
            BadRequest: there is none; the remedy names near ones.
        """
        space = self._config.getColorSpace(name)
        if space is not None:
            return str(space.getName())
        known = [str(known) for known in self._config.getColorSpaceNames()]
        lower = {known_name.lower(): known_name for known_name in known}
        near = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, 3, 0.4)]
        near += [known_name for known_name in known if name.lower() in known_name.lower() and known_name not in near]
        hint = f"Near it: {', '.join(near[:5])}." if near else f"It has: {', '.join(known[:8])} ..."
        raise BadRequest(f"--colorspace: the colour configuration has no {name!r}.", hint)

    def is_scene_linear(self, name: str) -> bool:
        """True where values are proportional to the scene's light; also for data and for pixels of unknown space.

        Raises:
            BadRequest: no such colour space.
        """
        if not name:
            return True
        space = self._config.getColorSpace(self.check(name))
        linear = self._config.isColorSpaceLinear(space.getName(), ocio.REFERENCE_SPACE_SCENE)
        return bool(linear or space.isData())

    def convert(self, planes: Planes, source: str, target: str) -> Planes:
        """Colour from one space to another.

        Args:
            planes: (3, H, W) R, G, B; left as they are.
            source, target: colour spaces, roles or aliases.

        Returns:
            (3, H, W), the very same array where nothing is to be done.

        Raises:
            BadRequest: an unknown colour space, or no way between the two.
        """
        processor = self._processor(self.check(source), self.check(target))
        if processor is None:
            return planes
        converted = np.array(planes, np.float32, order="C")
        _, height, width = converted.shape
        if converted.size:
            processor.apply(ocio.PlanarImageDesc(converted[0], converted[1], converted[2], width, height))
        return converted

    def _processor(self, source: str, target: str) -> Optional[ocio.CPUProcessor]:
        with self._lock:
            if (source, target) not in self._processors:
                try:
                    processor = self._config.getProcessor(source, target)
                except ocio.Exception as error:
                    why = str(error).split("\n")[0]
                    raise BadRequest(f"Colour cannot go from {source} to {target}: {why}.") from error
                # Lossless: the faster arithmetic is off by a code in 16 bits.
                exact = processor.getOptimizedCPUProcessor(ocio.OPTIMIZATION_LOSSLESS)
                self._processors[source, target] = None if processor.isNoOp() else exact
            return self._processors[source, target]
