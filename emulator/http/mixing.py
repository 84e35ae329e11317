"""Whose session a mixed-up request ends in."""

from __future__ import annotations

from collections.abc import Callable

from emulator.pool.pool import Pool
from emulator.pool.session import Session


class Missed(Exception):
    """A fault struck and nothing could happen; the message says why."""


def is_file_route(segments: list[str]) -> bool:
    """Whether a path on a built-in pool is about files."""
    lower = [part.lower() for part in segments]
    return lower[:1] == ["files"] or lower in (["python", "uploadfile"], ["python", "downloadfile"])


def another(
    pool: Pool, own: str, wanted: str | None, fits: Callable[[Session], bool] = lambda _: True
) -> Session:
    """The session of `wanted`, or without it the oldest one of another identifier that `fits`.

    Raises `Missed`.
    """
    if wanted == own:
        raise Missed(f"there is nothing to mix: the request is of {own!r} itself")
    names = [wanted] if wanted is not None else [one.identifier for one in pool.sessions]
    there = [one for name in names if name != own and (one := pool.find(name)) is not None]
    fitting = [one for one in there if fits(one)]
    if fitting:
        return min(fitting, key=lambda one: one.created_at)
    who = "no other identifier" if wanted is None else f"{wanted!r}"
    if there:
        raise Missed(f"{who} has run any code yet" if wanted is None else f"{who} has not run any code yet")
    raise Missed(f"{who} has {'a' if wanted is None else 'no'} session in pool {pool.spec.name}")
