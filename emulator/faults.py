"""Faults on demand: seeded, countable rules that say which request meets which misfortune. No HTTP here."""

from __future__ import annotations

import fnmatch
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.errors import ConfigurationError

EFFECTS: dict[str, frozenset[str]] = {
    "error": frozenset({"status", "code", "message"}),
    "latency": frozenset({"seconds", "min", "max"}),
    "coldStart": frozenset({"seconds", "min", "max"}),
    "cut": frozenset({"afterBytes"}),
    "kill": frozenset({"after", "oom"}),
    "expire": frozenset({"after"}),
    "allocation": frozenset({"message"}),
    "mixUp": frozenset(),
    "clock": frozenset({"seconds"}),
}
"""Effects by name, each with the members it takes.

error: answer with a contract error by its code, or any status. latency, coldStart: real seconds, fixed or
uniform between min and max; the latter only for requests that allocate. cut: close the connection before the
answer, or after so many bytes of its body. kill: the container dies, `after` seconds into the request.
expire: the session ends. allocation: a new session cannot be started. mixUp: the request is served by another
identifier's session, the bug users fear. clock: the clock jumps.
"""

_MATCH = frozenset({"pool", "identifier", "route", "method", "nth", "probability"})


@dataclass
class Fault:
    """One rule. `match` members are shell patterns (pool, identifier, route, method), `nth` counts matching
    requests from 1, `probability` is 0 to 1; `times` says how often it strikes (None: always).
    """

    id: str
    effect: str
    options: Mapping[str, Any]
    match: Mapping[str, Any]
    times: int | None
    seed: int
    seen: int = 0
    struck: int = 0
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - a test that repeats, not a secret

    def strikes(self, *, pool: str, identifier: str, route: str, method: str) -> bool:
        """Whether this request meets the fault; counts it."""
        facts = {"pool": pool, "identifier": identifier, "route": route, "method": method}
        if not all(
            fnmatch.fnmatchcase(facts[name], str(self.match[name])) for name in facts if name in self.match
        ):
            return False
        self.seen += 1
        if self.times is not None and self.struck >= self.times:
            return False
        if "nth" in self.match and self.seen != int(self.match["nth"]):
            return False
        if "probability" in self.match and self._random.random() >= float(self.match["probability"]):
            return False
        self.struck += 1
        return True

    def seconds(self) -> float:
        """A length from `seconds`, or uniformly between `min` and `max`."""
        if "min" in self.options or "max" in self.options:
            low = float(self.options.get("min", 0.0))
            return self._random.uniform(low, float(self.options.get("max", low)))
        return float(self.options.get("seconds", 0.0))

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "effect": {"type": self.effect, **self.options},
            "match": dict(self.match),
            "times": self.times,
            "seed": self.seed,
            "seen": self.seen,
            "struck": self.struck,
        }


class Faults:
    """The rules in force, in the order they were added."""

    def __init__(self) -> None:
        self._rules: dict[str, Fault] = {}
        self._ids = itertools.count(1)

    @property
    def rules(self) -> list[Fault]:
        return list(self._rules.values())

    def add(self, document: Mapping[str, Any], where: str = "fault") -> Fault:
        """A rule from `{"effect": {"type": …}, "match": {…}, "times": n, "seed": n}`.

        Raises `ConfigurationError` naming the member, its value and what is possible.
        """
        effect = document.get("effect")
        if isinstance(effect, str):
            effect = {"type": effect}
        if not isinstance(effect, Mapping) or effect.get("type") not in EFFECTS:
            given = effect.get("type") if isinstance(effect, Mapping) else effect
            raise ConfigurationError(f"effect.type {given!r} is not one of {', '.join(EFFECTS)}", where=where)
        kind = str(effect["type"])
        options = {name: value for name, value in effect.items() if name != "type"}
        match = document.get("match") or {}
        if not isinstance(match, Mapping):
            raise ConfigurationError(f"match {match!r} is not an object", where=where)
        _only(document, {"effect", "match", "times", "seed", "id"}, "", where)
        _only(options, EFFECTS[kind], "effect.", where)
        _only(match, _MATCH, "match.", where)
        for name, value in [*options.items(), *match.items(), *_numbers(document)]:
            _check(name, value, where)
        times, seed = document.get("times"), document.get("seed")
        id_ = str(document.get("id") or f"fault-{next(self._ids)}")
        if id_ in self._rules:
            raise ConfigurationError(f"id {id_!r} is taken; remove that fault first", where=where)
        rule = Fault(id_, kind, options, match, None if times is None else int(times), int(seed or 0))
        self._rules[id_] = rule
        return rule

    def remove(self, id_: str) -> bool:
        return self._rules.pop(id_, None) is not None

    def clear(self) -> int:
        """Remove every rule; returns how many there were."""
        count = len(self._rules)
        self._rules.clear()
        return count

    def meeting(self, *, pool: str, identifier: str, route: str, method: str) -> list[Fault]:
        """Every fault this request meets."""
        if not self._rules:
            return []
        return [
            rule
            for rule in self._rules.values()
            if rule.strikes(pool=pool, identifier=identifier, route=route, method=method)
        ]


def _numbers(document: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, document[name]) for name in ("times", "seed") if document.get(name) is not None]


def _only(given: Mapping[str, Any], known: frozenset[str] | set[str], prefix: str, where: str) -> None:
    for name in given:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise ConfigurationError(f"{prefix}{name} is not known here; possible: {there}", where=where)


_NUMBERS = {"seconds", "min", "max", "after", "afterBytes", "nth", "probability", "times", "status", "seed"}


def _check(name: str, value: Any, where: str) -> None:
    if name in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
        raise ConfigurationError(f"{name} {value!r} must be a number from 0", where=where)
    if name == "probability" and value > 1:
        raise ConfigurationError(f"probability {value!r} must be between 0 and 1", where=where)
    if name == "status" and not 400 <= value <= 599:
        raise ConfigurationError(f"status {value!r} must be between 400 and 599", where=where)
