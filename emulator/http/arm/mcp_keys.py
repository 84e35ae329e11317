"""Keys of pools' MCP servers: one that counts and, for a while after a rotation, the one before it."""

from __future__ import annotations

import secrets
from typing import Any, Final

from emulator.clock import Clock
from emulator.http.arm.state import State

OVERLAP: Final = 300.0
"""Seconds of the clock that a rotated key goes on working (documented)."""


class McpKeys:
    """By the pool's key (its lower-case resource id); made when first asked for."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    def _entry(self, pool: str) -> dict[str, Any] | None:
        entry = self._state.section("mcpKeys").get(pool.lower())
        return entry if isinstance(entry, dict) else None

    async def fetch(self, pool: str) -> str:
        """The key that counts."""
        entry = self._entry(pool)
        return str(entry["key"]) if entry is not None else await self.rotate(pool)

    async def rotate(self, pool: str) -> str:
        """A new key; the old one works for another 5 minutes, one before it no more."""
        entry = self._entry(pool)
        new: dict[str, Any] = {"key": secrets.token_urlsafe(32)}
        if entry is not None:
            new |= {"previous": entry["key"], "until": self._clock.now() + OVERLAP}
        self._state.section("mcpKeys")[pool.lower()] = new
        await self._state.save()
        return str(new["key"])

    def accepts(self, pool: str, presented: str) -> bool:
        """True if `presented` opens the pool's MCP server now."""
        entry = self._entry(pool)
        if entry is None or not presented:
            return False
        good = [str(entry["key"])]
        if "previous" in entry and self._clock.now() < entry["until"]:
            good.append(str(entry["previous"]))
        return any(secrets.compare_digest(presented.encode(), one.encode()) for one in good)

    def forget(self, pool: str) -> None:
        """The pool is gone; the caller saves."""
        self._state.section("mcpKeys").pop(pool.lower(), None)
