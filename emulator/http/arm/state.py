"""What outlives the emulator: one JSON file in the state folder, readable by its owner only."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from pathlib import Path
from typing import Any, Final

from emulator.errors import ConfigurationError

SECTIONS: Final = ("groups", "environments", "pools", "assignments")


class State:
    """Sections of JSON objects by key (a lower-case resource id). Change them, then `await save()`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saving = asyncio.Lock()
        content = self._read()
        self._sections: dict[str, dict[str, Any]] = {name: content.get(name) or {} for name in SECTIONS}

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            problem = f"cannot be read ({error}); mend it, or remove it to forget the pools made over ARM"
            raise ConfigurationError(problem, where=str(self._path)) from None
        if not isinstance(content, dict) or not all(
            isinstance(content.get(name, {}), dict) for name in SECTIONS
        ):
            raise ConfigurationError(
                "is not what the emulator wrote; remove it to forget the pools made over ARM",
                where=str(self._path),
            )
        return content

    def section(self, name: str) -> dict[str, Any]:
        return self._sections[name]

    async def save(self) -> None:
        """On disk when this returns, whole or not at all; the newest content wins."""
        async with self._saving:
            content = json.dumps({"version": 1, **self._sections}, indent=1)
            await asyncio.to_thread(self._write, content.encode())

    def _write(self, content: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)
