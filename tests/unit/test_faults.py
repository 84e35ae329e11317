"""Fault rules: which requests they strike, how often, how long they make them wait, and wrong ones."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest

from emulator.errors import ConfigurationError
from emulator.faults import Fault, Faults, Request
from emulator.http.injected import contract_errors, injected
from emulator.resources.faults import SHAPES


def request(**facts: str) -> Request:
    return Request(
        **{"pool": "python", "identifier": "alice", "route": "/executions", "method": "POST", **facts}
    )


def one(**rule: Any) -> Fault:
    return Faults().add({"effect": "cut", **rule})


def struck(fault: Fault, times: int = 1, **facts: str) -> list[bool]:
    return [fault.strikes(request(**facts)) for _ in range(times)]


@pytest.mark.parametrize(
    ("match", "other"),
    [
        ({"pool": "py*"}, {"pool": "node"}),
        ({"identifier": "al?ce"}, {"identifier": "Alice"}),
        ({"route": "/exec*"}, {"route": "/files"}),
        ({"method": "post"}, {"method": "GET"}),
    ],
)
def test_a_rule_strikes_only_what_it_matches(match: dict[str, str], other: dict[str, str]) -> None:
    assert struck(one(match=match)) == [True]
    assert struck(one(match=match), **other) == [False]


def test_nth_counts_matching_requests_only() -> None:
    fault = one(match={"nth": 2, "pool": "python"})
    assert struck(fault, pool="node") == [False]
    assert struck(fault, 4) == [False, True, False, False]


@pytest.mark.parametrize(
    ("match", "when"), [({"every": 3}, {3, 6, 9}), ({"every": 3, "nth": 2}, {2, 5, 8}), ({"nth": 1}, {1})]
)
def test_every_repeats_from_the_nth(match: dict[str, int], when: set[int]) -> None:
    assert {number for number, hit in enumerate(struck(one(match=match), 10), 1) if hit} == when


def test_times_limits_how_often_it_strikes() -> None:
    assert struck(one(times=2), 4) == [True, True, False, False]


def test_a_strike_that_did_not_happen_is_not_used_up() -> None:
    fault = one(times=1)
    assert struck(fault) == [True]
    fault.give_back()
    assert struck(fault, 2) == [True, False]
    assert (fault.seen, fault.struck, fault.missed) == (3, 1, 1)


def test_probability_repeats_with_its_seed_and_differs_without() -> None:
    first, again, other = (struck(one(match={"probability": 0.5}, seed=seed), 64) for seed in (7, 7, 8))
    assert first == again != other
    assert 8 < sum(first) < 56


LENGTHS: dict[str, dict[str, float]] = {
    "fixed": {"seconds": 2},
    "uniform": {"min": 1, "max": 3},
    "normal": {"mean": 2, "deviation": 0.5},
    "exponential": {"mean": 2},
    "lognormal": {"median": 2 / math.exp(0.5**2 / 2), "sigma": 0.5},
}


def lengths(count: int, seed: int = 3, **options: Any) -> list[float]:
    fault = Faults().add({"effect": {"type": "latency", **options}, "seed": seed})
    return [fault.seconds() for _ in range(count)]


@pytest.mark.parametrize("shape", SHAPES)
def test_lengths_repeat_with_their_seed_around_their_mean(shape: str) -> None:
    drawn = lengths(5_000, distribution=shape, **LENGTHS[shape])
    assert drawn == lengths(5_000, distribution=shape, **LENGTHS[shape])
    assert statistics.fmean(drawn) == pytest.approx(2, rel=0.05)  # each is given so that its mean is 2
    assert min(drawn) >= 0
    if shape != "fixed":
        assert drawn != lengths(5_000, seed=4, distribution=shape, **LENGTHS[shape])


def test_the_deviations_are_those_asked_for() -> None:
    assert statistics.stdev(lengths(5_000, distribution="normal", mean=9, deviation=2)) == pytest.approx(
        2, rel=0.05
    )
    logs = [math.log(one) for one in lengths(5_000, distribution="lognormal", median=3, sigma=0.4)]
    assert statistics.stdev(logs) == pytest.approx(0.4, rel=0.05)
    assert statistics.median(lengths(5_000, distribution="lognormal", median=3, sigma=0.4)) == pytest.approx(
        3, rel=0.05
    )


@pytest.mark.parametrize("shape", ["normal", "exponential", "lognormal"])
def test_min_and_max_hold_whatever_is_drawn(shape: str) -> None:
    drawn = lengths(500, distribution=shape, **LENGTHS[shape] | {"min": 1.9, "max": 2.1})
    assert (min(drawn), max(drawn)) == (1.9, 2.1)


@pytest.mark.parametrize(
    ("options", "shape"),
    [({"seconds": 2}, "fixed"), ({"max": 3, "min": 1}, "uniform"), ({"max": 3}, "uniform")],
)
def test_seconds_mean_fixed_and_max_means_uniform(options: dict[str, float], shape: str) -> None:
    assert lengths(20, **options) == lengths(20, distribution=shape, **options)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({}, "effect is missing; write one of error, latency"),
        ({"effect": 3}, "effect is 3: needs a type: one of error"),
        ({"effect": "explode"}, 'effect.type is "explode": expected one of error'),
        ({"effect": {"type": "cut", "bytes": 3}}, "effect.bytes is not known here; known: afterBytes"),
        ({"effect": {"type": "cut", "afterbyte": 3}}, "did you mean afterBytes?"),
        ({"effect": {"type": "error", "code": 5}}, "effect.code is 5: expected a string; put it in quotes"),
        (
            {"effect": {"type": "error", "status": 200}},
            "effect.status is 200: must be a whole number from 400 to",
        ),
        ({"effect": {"type": "kill", "after": -1}}, "effect.after is -1: must be a number from 0"),
        ({"effect": {"type": "kill", "after": "1"}}, 'effect.after is "1": must be a number from 0'),
        ({"effect": {"type": "kill", "after": math.nan}}, "effect.after is NaN: must be a number from 0"),
        ({"effect": {"type": "kill", "oom": 1}}, "effect.oom is 1: expected true or false"),
        ({"effect": {"type": "mixUp", "what": "all"}}, "expected one of session, files, answers"),
        ({"effect": "truncate"}, "effect truncate needs afterBytes"),
        ({"effect": "clock"}, "effect clock needs seconds"),
        ({"effect": {"type": "clock", "seconds": 0}}, "effect.seconds is 0: must be a number above 0"),
        ({"effect": "latency"}, "effect latency needs seconds, or a distribution with its parameters"),
        (
            {"effect": {"type": "latency", "distribution": "poisson"}},
            "expected one of fixed, uniform, normal",
        ),
        (
            {"effect": {"type": "coldStart", "distribution": "normal", "mean": 1}},
            "effect.deviation is missing; a normal length needs mean and deviation",
        ),
        (
            {"effect": {"type": "latency", "seconds": 1, "mean": 2}},
            "effect.mean is 2: does not belong to a fixed length, which takes seconds",
        ),
        ({"effect": {"type": "latency", "min": 2, "max": 1}}, "effect.min is 2: must not be above max, 1"),
        (
            {"effect": {"type": "latency", "distribution": "lognormal", "median": 0, "sigma": 1}},
            "effect.median is 0: must be a number above 0",
        ),
        ({"effect": "cut", "match": {"host": "x"}}, "match.host is not known here; known: pool"),
        ({"effect": "cut", "match": 7}, "match is 7: expected a mapping"),
        ({"effect": "cut", "match": {"pool": 7}}, "match.pool is 7: expected a string"),
        (
            {"effect": "cut", "match": {"probability": 2}},
            "match.probability is 2: must be a number from 0 to 1",
        ),
        ({"effect": "cut", "match": {"nth": 0}}, "match.nth is 0: must be a whole number from 1"),
        ({"effect": "cut", "match": {"nth": 1.5}}, "match.nth is 1.5: must be a whole number from 1"),
        ({"effect": "cut", "match": {"every": True}}, "match.every is true: must be a whole number from 1"),
        ({"effect": "cut", "times": "many"}, 'times is "many": must be a whole number from 1'),
        ({"effect": "cut", "seed": "x"}, 'seed is "x": must be a whole number'),
        ({"effect": "cut", "id": "a/b"}, "id is \"a/b\": must not be empty and must not hold '/'"),
        ({"effect": "cut", "matches": {}}, "matches is not known here; did you mean match?"),
    ],
)
def test_a_wrong_rule_is_named(rule: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Faults().add(rule)
    assert says in str(caught.value)


def test_an_id_is_taken_once_and_removed_once() -> None:
    faults = Faults()
    rule = faults.add({"effect": "cut", "id": "mine"})
    with pytest.raises(ConfigurationError, match="'mine': is taken"):
        faults.add({"effect": "cut", "id": "mine"})
    assert faults.remove(rule.id)
    assert not faults.remove(rule.id)
    assert faults.rules == []


@pytest.mark.parametrize("kind", list(contract_errors()), ids=lambda kind: kind.__name__)
def test_every_contract_error_is_had_by_its_code(kind: Any) -> None:
    error = injected({"code": kind.code}, "a test", built_in=kind.__name__ != "PodAllocationRejected")
    assert (error.status, error.code, error.shape) == (kind.status, kind.code, kind.shape)
    assert error.reason == "a test"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (429, "SessionsCountExceedsLimit"),
        (500, "SessionAllocationFailed"),
        (503, "SessionPoolUnavailable"),
        (504, "SessionUpstreamTimeout"),
        (404, "InjectedFault"),
        (418, "InjectedFault"),
    ],
)
def test_a_status_alone_is_the_one_error_the_contract_has_of_it(status: int, code: str) -> None:
    error = injected({"status": status}, "a test", built_in=True)
    assert (error.status, error.code) == (status, code)


def test_a_code_of_ones_own() -> None:
    assert injected({"code": "Mine"}, "a test", built_in=True).status == 500
    assert injected({"code": "FileNotFound"}, "a test", built_in=True).status == 404
    assert injected({"code": "Mine", "status": 403}, "a test", built_in=True).shape.value == "empty"
