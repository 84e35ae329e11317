"""Fault rules: which requests they strike, how often, and what a wrong rule says."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.errors import ConfigurationError
from emulator.faults import Fault, Faults


def struck(faults: Faults, times: int = 1, **request: str) -> list[bool]:
    facts = {"pool": "python", "identifier": "alice", "route": "/executions", "method": "POST", **request}
    return [bool(faults.meeting(**facts)) for _ in range(times)]


def one(**rule: Any) -> Faults:
    faults = Faults()
    faults.add({"effect": "cut", **rule})
    return faults


@pytest.mark.parametrize(
    ("match", "other"),
    [
        ({"pool": "py*"}, {"pool": "node"}),
        ({"identifier": "al?ce"}, {"identifier": "bobby"}),
        ({"route": "/exec*"}, {"route": "/files"}),
        ({"method": "POST"}, {"method": "GET"}),
    ],
)
def test_a_rule_strikes_only_what_it_matches(match: dict[str, str], other: dict[str, str]) -> None:
    assert struck(one(match=match)) == [True]
    assert struck(one(match=match), **other) == [False]


def test_nth_counts_matching_requests_only() -> None:
    faults = one(match={"nth": 2, "pool": "python"})
    assert struck(faults, pool="node") == [False]
    assert struck(faults, 4) == [False, True, False, False]


def test_times_limits_how_often_it_strikes() -> None:
    assert struck(one(times=2), 4) == [True, True, False, False]


def test_probability_repeats_with_its_seed_and_differs_without() -> None:
    first, again, other = (struck(one(match={"probability": 0.5}, seed=seed), 64) for seed in (7, 7, 8))
    assert first == again != other
    assert 8 < sum(first) < 56


def test_a_length_between_min_and_max() -> None:
    fault = Faults().add({"effect": {"type": "latency", "min": 1, "max": 2}})
    lengths = [fault.seconds() for _ in range(20)]
    assert all(1 <= length <= 2 for length in lengths)
    assert len(set(lengths)) > 10


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({}, "effect.type None is not one of error"),
        ({"effect": "explode"}, "'explode' is not one of"),
        ({"effect": {"type": "cut", "bytes": 3}}, "effect.bytes is not known here; possible: afterBytes"),
        ({"effect": "cut", "match": {"host": "x"}}, "match.host is not known here"),
        ({"effect": "cut", "match": {"probability": 2}}, "probability 2 must be between 0 and 1"),
        ({"effect": "cut", "times": "many"}, "times 'many' must be a number"),
        ({"effect": {"type": "error", "status": 200}}, "status 200 must be between 400 and 599"),
        ({"effect": "cut", "matches": {}}, "matches is not known here"),
    ],
)
def test_a_wrong_rule_is_named(rule: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=r".") as caught:
        Faults().add(rule)
    assert says in str(caught.value)


def test_an_id_is_taken_once_and_removed_once() -> None:
    faults = Faults()
    rule: Fault = faults.add({"effect": "cut", "id": "mine"})
    with pytest.raises(ConfigurationError, match="'mine' is taken"):
        faults.add({"effect": "cut", "id": "mine"})
    assert faults.remove(rule.id)
    assert not faults.remove(rule.id)
    assert struck(faults) == [False]
