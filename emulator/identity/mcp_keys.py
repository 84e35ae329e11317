"""Keys of the pools' MCP servers: one a pool, and for five minutes after a rotation the one before it too."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from dataclasses import asdict, dataclass, field
from hmac import compare_digest
from pathlib import Path
from typing import Final

from emulator.clock import Clock
from emulator.errors import ConfigurationError

KEYS_FILE: Final = "mcp-keys.json"
OVERLAP_SECONDS: Final = 300.0
"""How long a key outlives its rotation (documented: up to five minutes)."""


@dataclass
class _Keys:
    """`old` holds keys that were rotated away and the moment (epoch seconds) each stops working."""

    current: str = field(repr=False)
    old: dict[str, float] = field(default_factory=dict, repr=False)


class McpKeys:
    """Keys by pool (`SessionPool.key`), kept in `path` for their owner only; `None` keeps them in memory."""

    def __init__(self, clock: Clock, path: Path | None = None) -> None:
        self._clock = clock
        self._path = path
        self._keys = _read(path) if path is not None else {}

    @classmethod
    def open(cls, folder: Path, clock: Clock) -> McpKeys:
        """The keys that `folder` keeps. Raises `ConfigurationError` for a file that holds something else."""
        return cls(clock, folder / KEYS_FILE)

    def fetch(self, pool_key: str) -> str:
        """The pool's key, made the first time it is asked for."""
        known = self._keys.get(pool_key)
        if known is None:
            known = self._keys[pool_key] = _Keys(_new())
            self._save()
        return known.current

    def rotate(self, pool_key: str) -> str:
        """A new key for the pool; the one before it works for `OVERLAP_SECONDS` of the emulator's clock."""
        now = self._clock.now()
        known = self._keys.get(pool_key)
        old = {key: until for key, until in known.old.items() if until > now} if known else {}
        if known is not None:
            old[known.current] = now + OVERLAP_SECONDS
        self._keys[pool_key] = _Keys(_new(), old)
        self._save()
        return self._keys[pool_key].current

    def check(self, pool_key: str, key: str) -> bool:
        """Whether `key` opens the pool's MCP server now; a pool whose key nobody fetched has none."""
        known = self._keys.get(pool_key)
        if known is None:
            return False
        now = self._clock.now()
        valid = [known.current, *(old for old, until in known.old.items() if until > now)]
        return any(compare_digest(one.encode(), key.encode()) for one in valid)

    def forget(self, pool_key: str) -> None:
        """Drop the keys of a deleted pool: one of the same name made later gets its own."""
        if self._keys.pop(pool_key, None) is not None:
            self._save()

    def _save(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = json.dumps({pool: asdict(keys) for pool, keys in self._keys.items()}, indent=2)
        handle, draft = tempfile.mkstemp(dir=self._path.parent, prefix=f".{KEYS_FILE}-")  # made 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(draft).replace(self._path)


def _new() -> str:
    return secrets.token_urlsafe(32)


def _read(path: Path) -> dict[str, _Keys]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(pool): _Keys(str(keys["current"]), {str(k): float(v) for k, v in keys["old"].items()})
            for pool, keys in found.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"holds no MCP keys ({error}); remove it to make new ones", where=str(path)
        ) from None
