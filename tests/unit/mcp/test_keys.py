"""Keys of MCP servers: made once, rotated with an overlap, kept for their owner only."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.clock import VirtualClock
from emulator.errors import ConfigurationError
from emulator.identity.mcp_keys import KEYS_FILE, OVERLAP_SECONDS, McpKeys

POOL, OTHER = "/subscriptions/s/pool-a", "/subscriptions/s/pool-b"


def test_a_key_is_made_once_and_opens_its_own_pool_only() -> None:
    keys = McpKeys(VirtualClock())
    assert not keys.check(POOL, "")
    first = keys.fetch(POOL)
    assert keys.fetch(POOL) == first
    assert keys.fetch(OTHER) != first
    assert keys.check(POOL, first)
    assert not keys.check(OTHER, first)
    assert not keys.check(POOL, first + "x")


def test_a_rotated_key_works_until_the_overlap_is_over_on_the_emulators_clock() -> None:
    clock = VirtualClock()
    keys = McpKeys(clock)
    old = keys.fetch(POOL)
    new = keys.rotate(POOL)
    assert new != old
    assert keys.fetch(POOL) == new
    clock.advance(OVERLAP_SECONDS - 1)
    assert keys.check(POOL, old)
    clock.advance(1)
    assert not keys.check(POOL, old)
    assert keys.check(POOL, new)


def test_rotating_twice_keeps_every_key_for_its_own_five_minutes() -> None:
    clock = VirtualClock()
    keys = McpKeys(clock)
    first = keys.fetch(POOL)
    second = keys.rotate(POOL)
    clock.advance(200)
    third = keys.rotate(POOL)
    assert all(keys.check(POOL, key) for key in (first, second, third))
    clock.advance(100)
    assert [keys.check(POOL, key) for key in (first, second, third)] == [False, True, True]
    clock.advance(200)
    assert [keys.check(POOL, key) for key in (first, second, third)] == [False, False, True]


def test_rotating_before_fetching_makes_the_first_key() -> None:
    keys = McpKeys(VirtualClock())
    key = keys.rotate(POOL)
    assert keys.fetch(POOL) == key


def test_keys_survive_a_restart_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    clock = VirtualClock()
    keys = McpKeys.open(tmp_path / "state", clock)
    old = keys.fetch(POOL)
    new = keys.rotate(POOL)
    again = McpKeys.open(tmp_path / "state", clock)
    assert again.fetch(POOL) == new
    assert again.check(POOL, old)
    assert (tmp_path / "state" / KEYS_FILE).stat().st_mode & 0o777 == 0o600
    again.forget(POOL)
    assert not McpKeys.open(tmp_path / "state", clock).check(POOL, new)


def test_a_file_that_holds_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / KEYS_FILE).write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=KEYS_FILE):
        McpKeys.open(tmp_path, VirtualClock())


def test_a_key_that_is_no_ascii_text_is_just_wrong() -> None:
    keys = McpKeys(VirtualClock())
    keys.fetch(POOL)
    assert not keys.check(POOL, "schlüssel")
