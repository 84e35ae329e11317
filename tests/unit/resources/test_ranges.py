"""Azure's ranges: a warning in a pool file, an error where the control plane enforces them."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.resources.document import parse_pool
from emulator.resources.problems import PoolDocumentError
from tests.unit.resources.documents import built_in, custom


def timed(cooldown: float) -> dict[str, Any]:
    return {"lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": cooldown}}


OUTSIDE = [
    (built_in(dynamicPoolConfiguration=timed(1)), "cooldownPeriodInSeconds is 1"),
    (built_in(dynamicPoolConfiguration=timed(3601)), "cooldownPeriodInSeconds is 3601"),
    (built_in(scaleConfiguration={"maxConcurrentSessions": 1}), "maxConcurrentSessions is 1"),
    (built_in(scaleConfiguration={"maxConcurrentSessions": 601}), "maxConcurrentSessions is 601"),
    (custom(scaleConfiguration={"readySessionInstances": 0}), "readySessionInstances is 0"),
    (built_in() | {"name": "My-Pool"}, 'name is "My-Pool"'),
]


@pytest.mark.parametrize(("document", "said"), OUTSIDE)
def test_a_file_is_warned_by_name_and_value(document: dict[str, Any], said: str) -> None:
    (warning,) = parse_pool(document, where="pools.yaml").warnings
    assert warning.startswith("pools.yaml: ")
    assert said in warning
    assert "Azure refuses it" in warning


@pytest.mark.parametrize(("document", "said"), OUTSIDE)
def test_the_control_plane_refuses(document: dict[str, Any], said: str) -> None:
    with pytest.raises(PoolDocumentError):
        parse_pool(document, where="PUT", enforce_ranges=True)


@pytest.mark.parametrize(("document", "said"), OUTSIDE)
def test_the_loose_control_plane_does_not(document: dict[str, Any], said: str) -> None:
    assert parse_pool(document, where="PUT", enforce_ranges=True, strict=False).warnings


@pytest.mark.parametrize("cooldown", [300, 3600])
def test_the_bounds_belong_to_the_range(cooldown: int) -> None:
    assert parse_pool(built_in(dynamicPoolConfiguration=timed(cooldown)), where="f").warnings == ()


@pytest.mark.parametrize("ready", [0, 10, 11])
def test_ready_instances_in_the_services_own_words(ready: int) -> None:
    scale = {"maxConcurrentSessions": 10, "readySessionInstances": ready}
    with pytest.raises(PoolDocumentError) as caught:
        parse_pool(custom(scaleConfiguration=scale), where="PUT", enforce_ranges=True)
    assert caught.value.code == "SessionPoolInvalidReadySessionInstances"
    assert caught.value.message == (
        "Supported values should be greater than 0 and smaller than maxConcurrentSessions."
    )


def test_more_ready_than_may_run_is_held_to_what_may_run() -> None:
    scale = {"maxConcurrentSessions": 2, "readySessionInstances": 7}
    assert parse_pool(custom(scaleConfiguration=scale), where="f").ready_sessions == 2


def test_half_a_second_of_cooldown_is_possible_locally() -> None:
    assert parse_pool(built_in(dynamicPoolConfiguration=timed(0.5)), where="f").lifecycle.cooldown == 0.5


def test_location_is_required_by_the_control_plane() -> None:
    document = {"properties": {"containerType": "Shell"}}
    with pytest.raises(PoolDocumentError) as caught:
        parse_pool(document, where="PUT", name="pool", enforce_ranges=True)
    assert caught.value.code == "LocationRequired"
    assert parse_pool(document, where="f", name="pool").location == "local"
