"""A fault's rule as people write it: to the admin API, and under `x-emulator.faults` of a pool file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from emulator.resources.model import ContainerType, Rule
from emulator.resources.problems import MISSING, Path, Report
from emulator.resources.schema import Choice, Flag, Kind, Members, Text

SHAPES: Final = {
    "fixed": (("seconds",), ()),
    "uniform": (("max",), ("min",)),
    "normal": (("mean", "deviation"), ("min", "max")),
    "exponential": (("mean",), ("min", "max")),
    "lognormal": (("median", "sigma"), ("min", "max")),
}
"""Distributions of a length by name: the parameters each needs, and those it may have besides."""


@dataclass(frozen=True)
class Amount:
    """A finite number from `least` to `most`, written as a number; `above` leaves `least` itself out."""

    least: float = 0
    most: float = math.inf
    whole: bool = False
    above: bool = False

    def read(self, value: Any, path: Path, report: Report, *, nulls: bool) -> int | float:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not fits or (self.whole and value != int(value)) or not self._within(value):
            raise report.error(path, f"must be {self._wanted()}", value)
        return int(value) if self.whole else value

    def _within(self, value: float) -> bool:
        return self.least <= value <= self.most and not (self.above and value == self.least)

    def _wanted(self) -> str:
        what = "a whole number" if self.whole else "a number"
        if self.least == -math.inf:
            return what
        if self.most < math.inf:
            return f"{what} from {self.least:g} to {self.most:g}"
        return f"{what} {'above' if self.above else 'from'} {self.least:g}"


_LENGTH: Final[dict[str, Kind]] = {
    "distribution": Choice(tuple(SHAPES)),
    "seconds": Amount(),
    "min": Amount(),
    "max": Amount(),
    "mean": Amount(above=True),
    "deviation": Amount(),
    "median": Amount(above=True),
    "sigma": Amount(),
}
_BYTES: Final = Amount(whole=True)

_MEMBERS: Final[dict[str, dict[str, Kind]]] = {
    "error": {"code": Text(), "status": Amount(400, 599, whole=True), "message": Text()},
    "latency": _LENGTH,
    "coldStart": _LENGTH,
    "cut": {"afterBytes": _BYTES},
    "truncate": {"afterBytes": _BYTES},
    "kernelDeath": {"after": Amount()},
    "kill": {"after": Amount(), "oom": Flag()},
    "expire": {"after": Amount()},
    "allocation": {"message": Text()},
    "mixUp": {"what": Choice(("session", "files", "answers")), "with": Text()},
    "clock": {"seconds": Amount(above=True)},
}
EFFECTS: Final = {name: Members(members, closed=True) for name, members in _MEMBERS.items()}
"""Effects by name, each with the members it takes; docs/guide.md says what each does."""

_NEEDED: Final = {"truncate": "afterBytes", "clock": "seconds"}
MATCH: Final = Members(
    {
        "pool": Text(),
        "identifier": Text(),
        "route": Text(),
        "method": Text(),
        "nth": Amount(1, whole=True),
        "every": Amount(1, whole=True),
        "probability": Amount(0, 1),
    },
    closed=True,
)
_RULE: Final = Members(
    {
        "effect": Text(),
        "match": MATCH,
        "times": Amount(1, whole=True),
        "seed": Amount(-math.inf, whole=True),
        "id": Text(),
    },
    closed=True,
)
"""`effect` is read by hand: it is a name, or an object whose members depend on its `type`."""


def read_rule(document: Any, path: Path, report: Report) -> Rule:
    """`{"effect": {"type": …, …}, "match": {…}, "times": n, "seed": n, "id": "…"}`; only `effect` is needed.

    Raises `PoolDocumentError` naming the member, its value and what is possible.
    """
    if not isinstance(document, Mapping):
        raise report.error(path, 'is not a rule; write {"effect": {"type": …}}', document)
    rest = {name: value for name, value in document.items() if str(name).lower() != "effect"}
    read = _RULE.read(rest, path, report, nulls=False)
    given = next((value for name, value in document.items() if name not in rest), None)
    effect, options = _effect(given, (*path, "effect"), report)
    if read.get("id") == "" or "/" in read.get("id", ""):
        raise report.error((*path, "id"), "must not be empty and must not hold '/'", read["id"])
    return Rule(
        effect, options, read.get("match", {}), read.get("times"), read.get("seed", 0), read.get("id")
    )


def read_rules(
    block: Mapping[str, Any], name: str, container_type: ContainerType, report: Report
) -> tuple[Rule, ...]:
    """The rules of one pool's `x-emulator` block; each is for that pool only."""
    rules: list[Rule] = []
    for index, document in enumerate(block.get("faults", ())):
        path: Path = ("x-emulator", "faults", index)
        rule = read_rule(document, path, report)
        wanted = rule.match.get("pool", name)
        if wanted.lower() != name.lower():
            problem = f"rules of a pool file are for their own pool; leave it out, or write {name!r}"
            raise report.error((*path, "match", "pool"), problem, wanted)
        if (why := impossible(rule, container_type)) is not None:
            raise report.error((*path, "effect"), why)
        if rule.id is not None and rule.id in {other.id for other in rules}:
            raise report.error((*path, "id"), "is taken by an earlier rule; give another", rule.id)
        rules.append(rule)
    return tuple(rules)


def impossible(rule: Rule, container_type: ContainerType) -> str | None:
    """Why `rule` can never strike in a pool of that type, or None where it can."""
    kernels = (ContainerType.PYTHON, ContainerType.NODE)
    if rule.effect == "kernelDeath" and container_type not in kernels:
        return (
            f"kernelDeath needs a kernel of the emulator's own, which {container_type} sessions do not have; "
            f"it is for {' and '.join(kernels)} pools, elsewhere use kill"
        )
    what = rule.options.get("what", "session")
    if rule.effect == "mixUp" and what != "session" and not container_type.built_in:
        return f"mixUp of {what} is for built-in pools; on CustomContainer pools leave out what"
    return None


def _effect(given: Any, path: Path, report: Report) -> tuple[str, dict[str, Any]]:
    effect = {"type": given} if isinstance(given, str) else given
    names = ", ".join(EFFECTS)
    if not isinstance(effect, Mapping) or "type" not in effect:
        problem = f"is missing; write one of {names}" if given is None else f"needs a type: one of {names}"
        raise report.error(path, problem, MISSING if given is None else given)
    name = Choice(tuple(EFFECTS)).read(effect["type"], (*path, "type"), report, nulls=False)
    members = {key: value for key, value in effect.items() if key != "type"}
    options = EFFECTS[name].read(members, path, report, nulls=False)
    if (needed := _NEEDED.get(name)) is not None and needed not in options:
        raise report.error(path, f"{name} needs {needed}")
    if name in ("latency", "coldStart"):
        _check_length(name, options, path, report)
    return name, options


def shape_of(options: Mapping[str, Any]) -> str | None:
    """The distribution that `options` name or imply: `seconds` is fixed, `min` and `max` are uniform."""
    if "distribution" in options:
        return str(options["distribution"])
    if "seconds" in options:
        return "fixed"
    return "uniform" if "min" in options or "max" in options else None


def _check_length(effect: str, options: Mapping[str, Any], path: Path, report: Report) -> None:
    shape = shape_of(options)
    if shape is None:
        kinds = "; ".join(f"{name}: {', '.join(needed)}" for name, (needed, _) in SHAPES.items())
        raise report.error(path, f"{effect} needs seconds, or a distribution with its parameters ({kinds})")
    needed, allowed = SHAPES[shape]
    for name in needed:
        if name not in options:
            raise report.error((*path, name), f"is missing; a {shape} length needs {' and '.join(needed)}")
    for name, value in options.items():
        if name != "distribution" and name not in needed + allowed:
            takes = ", ".join(needed + allowed)
            raise report.error(
                (*path, name), f"does not belong to a {shape} length, which takes {takes}", value
            )
    if options.get("min", 0) > options.get("max", math.inf):
        raise report.error((*path, "min"), f"must not be above max, {options['max']:g}", options["min"])


def rule_of(document: Any) -> Rule:
    """A rule sent to the admin API. Raises `ConfigurationError`."""
    return read_rule(document, (), Report("fault"))
