"""Lua table constructors, as far as Fusion writes them, read back as Python values."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, List

_TOKEN = re.compile(r'\s*(?:("(?:[^"\\\n]|\\.)*")|(-?\d+(?:\.\d+)?(?:e-?\d+)?)|([A-Za-z_]\w*)|(\(\)|[{}\[\],=]))')


def parse(text: str) -> Any:
    """The one value in a text: dict with names, or list, or scalar; a tagged table has its word under ``""``.

    Raises:
        ValueError: what is not well formed, and where.
    """
    tokens: List[str] = []
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"no Lua at {text[at : at + 30]!r}")
        tokens.append(found.group().strip())
        at = found.end()
    reader = _Reader(tokens)
    value = reader.value()
    if reader.at != len(tokens):
        raise ValueError(f"left over: {tokens[reader.at :][:5]}")
    return value


def compiles(text: str, folder: Path) -> bool:
    """Whether LuaJIT takes a table; True where there is no LuaJIT: :func:`parse` has looked already."""
    program = shutil.which("luajit")
    if program is None:
        return True
    file = folder / "table.lua"
    file.write_text(f"return {text}", encoding="utf-8")
    return subprocess.run([program, "-bl", str(file)], capture_output=True, check=False).returncode == 0


class _Reader:
    def __init__(self, tokens: List[str]) -> None:
        self.tokens, self.at = tokens, 0

    def take(self, *expected: str) -> str:
        if self.at >= len(self.tokens):
            raise ValueError(f"the text ends where {expected or 'a value'} should be")
        token = self.tokens[self.at]
        if expected and token not in expected:
            raise ValueError(f"{token} where {expected} should be")
        self.at += 1
        return token

    def value(self) -> Any:
        token = self.take()
        if token == "{":
            return self.table()
        if token[0] == '"':
            return re.sub(r"\\(\d{3}|.)", lambda m: chr(int(m[1])) if len(m[1]) == 3 else m[1], token[1:-1])
        if token[0] in "-0123456789":
            return float(token) if "." in token or "e" in token else int(token)
        if token in ("true", "false"):
            return token == "true"
        if not token[0].isalpha():
            raise ValueError(f"{token} where a value should be")
        if self.at < len(self.tokens) and self.tokens[self.at] == "()":
            self.take()
        self.take("{")
        inner = self.table()
        return {"": token, **(inner if isinstance(inner, dict) else dict(enumerate(inner, 1)))}

    def table(self) -> Any:
        named, listed = {}, []  # type: ignore[var-annotated]
        while self.tokens[self.at : self.at + 1] != ["}"]:
            if self.tokens[self.at : self.at + 1] == ["["]:
                self.take("[")
                name = self.value()
                self.take("]")
                self.take("=")
                named[name] = self.value()
            elif self.tokens[self.at + 1 : self.at + 2] == ["="]:
                name = self.take()
                self.take("=")
                named[name] = self.value()
            else:
                listed.append(self.value())
            if self.take(",", "}") == "}":
                self.at -= 1
        self.take("}")
        return named if named or not listed else listed
