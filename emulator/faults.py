"""Faults on demand: seeded, countable rules that say which request meets which misfortune. No HTTP here."""

from __future__ import annotations

import fnmatch
import itertools
import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from emulator.errors import ConfigurationError
from emulator.pool.pool import Pool
from emulator.resources.faults import EFFECTS, impossible, rule_of, shape_of
from emulator.resources.model import Rule

__all__ = ["EFFECTS", "Fault", "Faults", "Request"]

ADMIN = "admin API"
"""Origin of the rules that were added while the emulator runs."""


@dataclass(frozen=True)
class Request:
    """What rules look at; `route` is the path after the pool, decoded, with a leading slash."""

    pool: str
    identifier: str
    route: str
    method: str


@dataclass
class Fault:
    """A rule in force. `seen` requests matched it, `struck` of them met it; `origin` is who asked for it."""

    id: str
    rule: Rule
    origin: str = ADMIN
    seen: int = 0
    struck: int = 0
    missed: int = 0
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.rule.seed)  # noqa: S311 - a test that repeats, not a secret

    @property
    def effect(self) -> str:
        return self.rule.effect

    @property
    def options(self) -> Mapping[str, Any]:
        return self.rule.options

    def matches(self, request: Request) -> bool:
        """Whether the patterns fit; identifiers are compared with case, the rest without, as Azure does."""
        for name, pattern in self.rule.match.items():
            if name == "identifier":
                fits = fnmatch.fnmatchcase(request.identifier, pattern)
            elif name in ("pool", "route", "method"):
                fits = fnmatch.fnmatchcase(getattr(request, name).lower(), pattern.lower())
            else:
                continue
            if not fits:
                return False
        return True

    def strikes(self, request: Request) -> bool:
        """Whether this request meets the fault; counts it."""
        if not self.matches(request):
            return False
        self.seen += 1
        if self.rule.times is not None and self.struck >= self.rule.times:
            return False
        if not self._is_its_turn():
            return False
        chance = self.rule.match.get("probability")
        if chance is not None and self._random.random() >= chance:
            return False
        self.struck += 1
        return True

    def _is_its_turn(self) -> bool:
        nth, every = self.rule.match.get("nth"), self.rule.match.get("every")
        if every is None:
            return nth is None or self.seen == nth
        first = nth or every
        return bool(self.seen >= first and (self.seen - first) % every == 0)

    def give_back(self) -> None:
        """It struck, and nothing could happen: that does not use up one of its `times`."""
        self.struck -= 1
        self.missed += 1

    def seconds(self) -> float:
        """A length, drawn from the rule's distribution, never below 0."""
        options, draw = self.options, self._random
        low, high = options.get("min", 0.0), options.get("max", math.inf)
        match shape_of(options):
            case "uniform":
                return draw.uniform(low, high)
            case "normal":
                length = draw.gauss(options["mean"], options["deviation"])
            case "exponential":
                length = draw.expovariate(1 / options["mean"])
            case "lognormal":
                length = draw.lognormvariate(math.log(options["median"]), options["sigma"])
            case _:
                return float(options.get("seconds", 0.0))
        return float(min(max(length, low), high))

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "origin": self.origin,
            "effect": {"type": self.effect, **self.options},
            "match": dict(self.rule.match),
            "times": self.rule.times,
            "seed": self.rule.seed,
            "seen": self.seen,
            "struck": self.struck,
            "missed": self.missed,
        }


class Faults:
    """The rules in force: those of the pools' own documents, then those added, in the order they were.

    `pools` are those there are at the moment. What a pool declares is taken up when it is first looked at
    and anew when its document says something else; it goes with the pool.
    """

    def __init__(self, pools: Callable[[], Iterable[Pool]] = tuple) -> None:
        self._pools = pools
        self._added: dict[str, Fault] = {}
        self._declared: WeakKeyDictionary[Pool, tuple[tuple[Rule, ...], list[Fault]]] = WeakKeyDictionary()
        self._ids = itertools.count(1)

    @property
    def rules(self) -> list[Fault]:
        declared = [fault for pool in self._pools() for fault in self._of(pool)]
        return declared + list(self._added.values())

    def of(self, pool: Pool) -> list[Fault]:
        """The rules that a request to `pool` may meet."""
        return [*self._of(pool), *self._added.values()]

    def _of(self, pool: Pool) -> list[Fault]:
        rules = pool.spec.emulator.faults
        known = self._declared.get(pool)
        if known is None or known[0] != rules:
            faults: list[Fault] = []
            self._declared[pool] = (rules, faults)
            taken = {fault.id for _, others in self._declared.values() for fault in others} | set(self._added)
            for number, rule in enumerate(rules, 1):
                id_ = _free(rule.id or f"{pool.spec.name}-{number}", taken)
                taken.add(id_)
                faults.append(Fault(id_, rule, f"pool {pool.spec.name}"))
            return faults
        return known[1]

    def holds(self, fault: Fault) -> bool:
        """Whether it is still in force: what it had yet to do is off once it is removed."""
        return any(one is fault for one in self.rules)

    def add(self, document: Mapping[str, Any]) -> Fault:
        """A rule from `{"effect": {"type": …}, "match": {…}, "times": n, "seed": n, "id": "…"}`.

        Raises `ConfigurationError` naming the member, its value and what is possible.
        """
        rule = rule_of(document)
        taken = {fault.id for fault in self.rules}
        if rule.id in taken:
            raise ConfigurationError(f"id is {rule.id!r}: is taken; remove that fault first", where="fault")
        id_ = rule.id or next(name for n in self._ids if (name := f"fault-{n}") not in taken)
        fault = Fault(id_, rule)
        self._refuse_if_impossible(fault)
        self._added[id_] = fault
        return fault

    def _refuse_if_impossible(self, fault: Fault) -> None:
        """Where the rule names pools and can strike in none of them, better say so now than never."""
        named = fault.rule.match.get("pool")
        if named is None:
            return
        there = [p.spec for p in self._pools() if fnmatch.fnmatchcase(p.spec.name.lower(), named.lower())]
        reasons = [impossible(fault.rule, spec.container_type) for spec in there]
        if reasons and all(reasons):
            raise ConfigurationError(f"match.pool is {named!r}: {reasons[0]}", where="fault")

    def remove(self, id_: str) -> bool:
        """Drop one rule; one that a pool declares comes back with the next reset."""
        for pool in self._pools():
            declared = self._of(pool)
            for fault in declared:
                if fault.id == id_:
                    declared.remove(fault)
                    return True
        return self._added.pop(id_, None) is not None

    def clear(self) -> int:
        """Remove every rule, also those that pools declare; returns how many there were."""
        count = len(self.rules)
        self._added.clear()
        for pool in self._pools():
            self._of(pool).clear()
        return count

    def reset(self) -> int:
        """As at the start: what pools declare, with fresh counters; returns how many others there were."""
        count = len(self._added)
        self._added.clear()
        self._declared.clear()
        self._ids = itertools.count(1)
        return count


def _free(id_: str, taken: set[str]) -> str:
    if id_ not in taken:
        return id_
    return next(name for n in itertools.count(2) if (name := f"{id_}-{n}") not in taken)
