"""Expectations about JSON and headers, and what differs from them.

An expected value is compared by equality, except that a dict wants exactly its keys, whatever their order,
and that a `Matcher` decides for itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Difference:
    """`where` in the answer; what was expected and what came, as text."""

    where: str
    expected: str
    came: str


@dataclass(frozen=True)
class Matcher:
    """A condition with a name for reports. `optional` members of an object may be absent."""

    name: str
    test: Callable[[Any], bool]
    optional: bool = False


@dataclass(frozen=True)
class Holds:
    """An object with at least these members."""

    members: Mapping[str, Any]


@dataclass(frozen=True)
class Having:
    """An array in which some entry matches."""

    entry: Any


@dataclass(frozen=True)
class Like:
    """A value of the example's shape: the same members, of the same types; values are free."""

    example: Any


def matching(pattern: str, name: str | None = None) -> Matcher:
    """Text that matches the whole regular expression."""
    compiled = re.compile(pattern, re.DOTALL)
    return Matcher(
        name or f"text like {pattern}",
        lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None,
    )


def containing(*parts: str) -> Matcher:
    """Text with all of `parts` in it."""
    return Matcher(
        f"text with {' and '.join(map(repr, parts))}",
        lambda value: isinstance(value, str) and all(part in value for part in parts),
    )


def optional(expected: Any) -> Matcher:
    """A member that may be absent."""
    return Matcher(f"{shown(expected)} or absent", lambda value: not differences(expected, value), True)


def one_of(*values: Any) -> Matcher:
    return Matcher(
        " or ".join(map(shown, values)), lambda value: any(not differences(one, value) for one in values)
    )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


ANY = Matcher("anything", lambda _: True)
TEXT = Matcher("text", lambda value: isinstance(value, str))
FILLED = Matcher("text that is not empty", lambda value: isinstance(value, str) and bool(value))
COUNT = Matcher("a whole number from 0", lambda value: _whole(value) and value >= 0)
POSITIVE = Matcher("a whole number above 0", lambda value: _whole(value) and value > 0)
GUID = matching(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "a GUID")
MOMENT = matching(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", "a UTC time with seven fraction digits and Z")
MILLISECONDS = matching(r"\d+(\.\d{1,4})?", "milliseconds with at most four fraction digits")
DIGITS = matching(r"\d+", "digits")


def differences(expected: Any, came: Any, where: str = "body") -> list[Difference]:
    """What is not as expected; empty when all is well."""
    if isinstance(expected, Matcher):
        return [] if expected.test(came) else [_differs(where, expected, came)]
    if isinstance(expected, Like):
        return _shape(expected.example, came, where)
    if isinstance(expected, Holds):
        if not isinstance(came, dict):
            return [_differs(where, expected, came)]
        return _members(expected.members, {key: came[key] for key in came if key in expected.members}, where)
    if isinstance(expected, Having):
        if isinstance(came, list) and any(not differences(expected.entry, entry) for entry in came):
            return []
        return [_differs(where, expected, came)]
    if isinstance(expected, Mapping):
        return _members(expected, came, where)
    if isinstance(expected, (list, tuple)):
        if not isinstance(came, list) or len(came) != len(expected):
            return [_differs(where, expected, came)]
        pairs = zip(expected, came, strict=True)
        return [d for i, (one, other) in enumerate(pairs) for d in differences(one, other, f"{where}[{i}]")]
    # bool is an int in Python, and 1 equals 1.0: JSON tells them apart.
    return [] if type(expected) is type(came) and expected == came else [_differs(where, expected, came)]


def _members(expected: Mapping[str, Any], came: Any, where: str) -> list[Difference]:
    if not isinstance(came, dict):
        return [_differs(where, expected, came)]
    found = []
    for key, one in expected.items():
        if key in came:
            found += differences(one, came[key], f"{where}.{key}")
        elif not (isinstance(one, Matcher) and one.optional):
            found.append(Difference(f"{where}.{key}", shown(one), "(absent)"))
    for key in came:
        if key not in expected:
            found.append(Difference(f"{where}.{key}", "(absent)", shown(came[key])))
    return found


def _shape(example: Any, came: Any, where: str) -> list[Difference]:
    if isinstance(example, (Matcher, Holds, Having)):
        return differences(example, came, where)
    if isinstance(example, Mapping):
        return _members({key: Like(value) for key, value in example.items()}, came, where)
    if isinstance(example, list):
        if not isinstance(came, list) or (example and not came):
            return [_differs(where, example, came)]
        return [d for i, entry in enumerate(came) for d in _shape(example[0], entry, f"{where}[{i}]")]
    if type(example) is type(came):
        return []
    return [Difference(where, f"something like {shown(example)}", shown(came))]


def _differs(where: str, expected: Any, came: Any) -> Difference:
    return Difference(where, shown(expected), shown(came))


def shown(value: Any) -> str:
    """`value` for a report, at most 600 characters."""
    text = _shown(value)
    return text if len(text) <= 600 else f"{text[:600]}… ({len(text)} characters)"


def _shown(value: Any) -> str:
    if isinstance(value, Matcher):
        return f"<{value.name}>"
    if isinstance(value, Like):
        return f"<shaped like {_shown(value.example)}>"
    if isinstance(value, Holds):
        return f"<an object with {_shown(value.members)}>"
    if isinstance(value, Having):
        return f"<an array with {_shown(value.entry)}>"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)}: {_shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, bytes):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)
