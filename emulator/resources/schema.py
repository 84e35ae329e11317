"""A small reader of JSON shapes: key spelling without regard to case, nulls dropped, values typed.

What is read is canonical: keys as ARM spells them, numbers as numbers, enum members as ARM spells them,
read-only members left out.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from emulator.resources.problems import HIDDEN, Path, Report


class Kind(Protocol):
    """Reads one value: returns its canonical form or raises through `report`."""

    def read(self, value: Any, path: Path, report: Report, *, nulls: bool) -> Any: ...


@dataclass(frozen=True)
class Text:
    """A string; `secret` keeps it out of messages, `scalars` also takes numbers and booleans."""

    secret: bool = False

    def read(self, value: Any, path: Path, report: Report, *, nulls: bool) -> str:
        if isinstance(value, str):
            return value
        hint = "put it in quotes" if isinstance(value, bool | int | float) else "write one string"
        raise report.error(path, f"expected a string; {hint}", HIDDEN if self.secret else value)


@dataclass(frozen=True)
class Number:
    """A finite number; also as a string, because older az versions send `"300"`."""

    whole: bool = False

    def read(self, value: Any, path: Path, report: Report, *, nulls: bool) -> int | float:
        number = _number(value)
        expected = "a whole number" if self.whole else "a number"
        if number is None:
            raise report.error(path, f"expected {expected}", value)
        if number == int(number):
            return int(number)
        if self.whole:
            raise report.error(path, f"expected {expected}", value)
        return number


def _number(value: Any) -> int | float | None:
    if isinstance(value, str):
        try:
            value = float(value) if not value.strip().lstrip("+-").isdigit() else int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


@dataclass(frozen=True)
class Flag:
    def read(self, value: Any, path: Path, report: Report, *, nulls: bool) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        raise report.error(path, "expected true or false", value)


@dataclass(frozen=True)
class Choice:
    """One of `names`, compared without regard to case and answered as spelled here."""

    names: tuple[str, ...]

    def read(self, value: Any, path: Path, report: Report, *, nulls: bool) -> str:
        for name in self.names:
            if isinstance(value, str) and value.lower() == name.lower():
                return name
        raise report.error(path, f"expected one of {', '.join(self.names)}", value)


@dataclass(frozen=True)
class Items:
    """A list of one kind."""

    kind: Kind

    def read(self, value: Any, path: Path, report: Report, *, nulls: bool) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise report.error(path, "expected a list", value)
        return [
            self.kind.read(item, (*path, index), report, nulls=False)
            for index, item in enumerate(value)
            if item is not None
        ]


@dataclass(frozen=True)
class Table:
    """A mapping whose keys are the user's own."""

    kind: Kind

    def read(self, value: Any, path: Path, report: Report, *, nulls: bool) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise report.error(path, "expected a mapping", value)
        return {
            str(key): None if item is None else self.kind.read(item, (*path, str(key)), report, nulls=nulls)
            for key, item in value.items()
            if nulls or item is not None
        }


@dataclass(frozen=True)
class Anything:
    def read(self, value: Any, path: Path, report: Report, *, nulls: bool) -> Any:
        return value


@dataclass(frozen=True)
class ReadOnly:
    """A member the service answers and ignores when it is sent back."""

    def read(self, value: Any, path: Path, report: Report, *, nulls: bool) -> Any:
        return None


@dataclass(frozen=True)
class Members:
    """A mapping with known keys. An unknown one is warned about, or refused where `closed`."""

    kinds: Mapping[str, Kind]
    closed: bool = False
    _names: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._names.update({name.lower(): name for name in self.kinds})

    def read(self, value: Any, path: Path, report: Report, *, nulls: bool) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise report.error(path, "expected a mapping", value)
        result: dict[str, Any] = {}
        for key, item in value.items():
            name = self._names.get(str(key).lower())
            if name is None:
                self._unknown(str(key), path, report)
            elif isinstance(self.kinds[name], ReadOnly) or (item is None and not nulls):
                continue
            elif name in result:
                raise report.error((*path, str(key)), f"is given twice, in two spellings of {name}; keep one")
            elif item is None:
                result[name] = None
            else:
                result[name] = self.kinds[name].read(item, (*path, name), report, nulls=nulls)
        return result

    def _unknown(self, key: str, path: Path, report: Report) -> None:
        near = difflib.get_close_matches(key.lower(), self._names, n=1, cutoff=0.75)
        hint = f"; did you mean {self._names[near[0]]}?" if near else ""
        if self.closed:
            raise report.error(
                (*path, key), f"is not known here{hint or '; known: ' + ', '.join(self.kinds)}"
            )
        report.warn((*path, key), f"is not known and is ignored{hint}")
