"""Roles: where they were given, when they count, and a 403 that says what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.clock import VirtualClock
from emulator.errors import ConfigurationError, Forbidden
from emulator.identity.keys import SigningKey
from emulator.identity.principals import (
    CONTRIBUTOR_ROLE_ID,
    DEFAULT_OID,
    NO_ROLE_OID,
    Principal,
    Principals,
    within,
)
from emulator.identity.service import Identity
from emulator.resources.defaults import default_pools
from emulator.resources.document import parse_pool

POOL = default_pools()[0]
OTHER = parse_pool(
    {"name": "other", "properties": {"containerType": "Shell"}}, where="", resource_group="rg2"
)
SUBSCRIPTION = f"/subscriptions/{POOL.subscription}"
GROUP = f"{SUBSCRIPTION}/resourceGroups/{POOL.resource_group}"


def admit(identity: Identity, pool: Any = POOL, **options: Any) -> str | None:
    """None if admitted, else the reason of the 403."""
    try:
        identity.admit(f"Bearer {identity.mint(**options)}", pool)
    except Forbidden as error:
        assert error.status == 403
        return error.reason
    return None


def test_the_default_principal_may(identity: Identity) -> None:
    assert admit(identity) is None
    assert admit(identity, OTHER) is None


def test_without_a_role(identity: Identity) -> None:
    assert "holds no role 'Azure ContainerApps Session Executor'" in (admit(identity, role=False) or "")
    assert "made without" in (admit(identity, oid=DEFAULT_OID, role=False) or "")
    identity.admit(f"Bearer {identity.mint(role=False)}", None)  # who it is, is another question


def test_a_good_token_for_any_object_id(identity: Identity) -> None:
    assert admit(identity, oid="somebody") is None


def test_the_no_role_principal_stays_without(identity: Identity) -> None:
    assert "no role" in (admit(identity, oid=NO_ROLE_OID) or "")


@pytest.mark.parametrize(
    ("scope", "covers"),
    [
        (POOL.resource_id, True),
        (POOL.resource_id.upper() + "/", True),
        (GROUP, True),
        (SUBSCRIPTION, True),
        ("/", True),
        (OTHER.resource_id, False),
        (f"{GROUP}2", False),
        (f"{GROUP}/providers/Microsoft.App/sessionPools/pyth", False),
        ("/subscriptions/other", False),
    ],
)
def test_scopes(identity: Identity, scope: str, covers: bool) -> None:
    identity.principals.assign("someone", scope)
    assert (admit(identity, oid="SOMEONE") is None) is covers
    assert within(POOL.resource_id, scope) is covers


def test_issued_tokens_are_up_to_the_roles(identity: Identity) -> None:
    stranger = identity.issue("https://dynamicsessions.io", client_id="app")
    with pytest.raises(Forbidden, match="may not use"):
        identity.admit(f"Bearer {stranger.token}", POOL)
    identity.principals.assign("app", GROUP)
    identity.admit(f"Bearer {stranger.token}", POOL)
    default = identity.issue("https://dynamicsessions.io")
    identity.admit(f"Bearer {default.token}", POOL)
    assert default.lifetime == 86400


def test_a_role_takes_its_time_by_the_clock(key: SigningKey, clock: VirtualClock) -> None:
    identity = Identity(key, clock, propagation=120)
    assert admit(identity) is None  # what held at the start has propagated
    identity.principals.assign("someone", GROUP)
    clock.advance(20)
    assert "another 100 s to propagate" in (admit(identity, oid="someone") or "")
    clock.advance(100)
    assert admit(identity, oid="someone") is None


def test_a_role_taken_away(identity: Identity) -> None:
    given = identity.principals.assign("someone", GROUP)
    assert identity.principals.assign("SomeOne", f"{GROUP}/") is given
    assert identity.principals.get(given.id.upper()) is given
    identity.principals.assign("someone", OTHER.resource_id)
    assert identity.principals.remove(given.id) is given
    assert identity.principals.remove(given.id) is None
    assert admit(identity, oid="someone") is not None


def test_another_role_is_named(identity: Identity) -> None:
    identity.principals.assign("someone", GROUP, role_id=CONTRIBUTOR_ROLE_ID)
    assert "it holds Contributor, which does not include it" in (admit(identity, oid="someone") or "")


def test_who_may_manage(identity: Identity) -> None:
    principals = identity.principals
    principals.assign("manager", GROUP, role_id=CONTRIBUTOR_ROLE_ID)
    assert principals.may_manage(Principal(DEFAULT_OID), GROUP)
    assert principals.may_manage(Principal("manager"), POOL.resource_id)
    assert not principals.may_manage(Principal("manager"), SUBSCRIPTION)
    assert not principals.may_manage(Principal(NO_ROLE_OID), GROUP)
    assert not principals.may_manage(Principal("stranger"), GROUP)


def test_assignments_survive(identity: Identity, clock: VirtualClock) -> None:
    given = identity.principals.assign("someone", GROUP)
    again = Principals(clock)
    again.restore(identity.principals.assignments)
    assert again.get(given.id) == given
    assert len(again.assignments) == len(identity.principals.assignments)


def test_foreign_tokens_under_claims(key: SigningKey, clock: VirtualClock) -> None:
    identity = Identity(key, clock, mode="claims")
    issued = identity.issue("https://dynamicsessions.io", oid="from-entra")
    identity.admit(f"Bearer {issued.token}", POOL)
    identity.principals.assign("from-entra", OTHER.resource_id)
    with pytest.raises(Forbidden):
        identity.admit(f"Bearer {issued.token}", POOL)


def test_off_asks_for_no_role(key: SigningKey, clock: VirtualClock) -> None:
    identity = Identity(key, clock, mode="off")
    identity.principals.remove(identity.principals.assignments[0].id)
    identity.admit(None, POOL)


def test_principals_of_the_settings(key: SigningKey, clock: VirtualClock) -> None:
    entries: list[dict[str, Any]] = [
        {"oid": "a", "name": "app", "clientId": "a-client", "clientSecret": "hush", "scopes": [GROUP]},
        {"oid": "b"},
    ]
    identity = Identity(key, clock, principals=entries)
    assert admit(identity, oid="a") is None
    assert admit(identity, OTHER, oid="a") is not None
    assert admit(identity, oid="b") is not None
    assert identity.client("a-client", "hush") == identity.principals.find(oid="A")
    assert identity.client("a-client", "wrong") is None
    assert identity.client("a-client", None) is None
    assert identity.client("nobody", "x") is None
    assert identity.client("b", "anything") is not None
    assert "hush" not in repr(identity.principals.known)
    assert identity.issue("x", client_id="a-client").oid == "a"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, r"principals\[0\]: oid is missing"),
        ({"oid": 7}, "oid must be a text"),
        ({"oid": "a", "scope": "/"}, "scope is not known"),
        ({"oid": "a", "scopes": "/"}, "scopes must be a list"),
        ({"oid": "a", "scopes": ["rg"]}, "scopes must be a list"),
    ],
)
def test_principals_that_are_wrong(clock: VirtualClock, entry: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Principals(clock).configure([entry])
