"""PATCH: a JSON merge patch, limited to what may change."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.resources.document import parse_pool
from emulator.resources.model import LifecycleType, SessionPool
from emulator.resources.patch import merge_patch
from emulator.resources.problems import PoolDocumentError
from emulator.resources.rendering import render_pool
from tests.unit.resources.documents import EVERY_MEMBER, built_in

POOL = parse_pool(EVERY_MEMBER, where="f")


def patched(patch: dict[str, Any], pool: SessionPool = POOL) -> SessionPool:
    document = merge_patch(pool.document, patch)
    return parse_pool(document, where="PATCH", name=pool.name)


def test_one_number() -> None:
    after = patched({"properties": {"scaleConfiguration": {"maxConcurrentSessions": 9}}})
    assert (after.max_sessions, after.ready_sessions) == (9, 2)
    assert after.template == POOL.template


def test_null_removes() -> None:
    after = patched({"tags": {"team": None, "new": "x"}, "properties": {"scaleConfiguration": None}})
    assert after.document["tags"] == {"new": "x"}
    assert (after.max_sessions, after.ready_sessions) == (10, None)


def test_older_spelling() -> None:
    after = patched({"properties": {"dynamicPoolConfiguration": {"cooldownPeriodInSeconds": "600"}}})
    assert after.lifecycle.cooldown == 600


def test_changing_the_lifecycle_drops_the_other_period() -> None:
    lifecycle = {"lifecycleType": "OnContainerExit", "maxAlivePeriodInSeconds": 60}
    after = patched({"properties": {"dynamicPoolConfiguration": {"lifecycleConfiguration": lifecycle}}})
    assert after.lifecycle.type is LifecycleType.ON_CONTAINER_EXIT
    assert (after.lifecycle.cooldown, after.lifecycle.max_alive) == (None, 60)


def test_secrets_are_replaced_as_a_list_and_keep_values_not_sent() -> None:
    secrets = [{"name": "key"}, {"name": "registry", "value": "new"}]
    after = patched({"properties": {"secrets": secrets}})
    assert after.document["properties"]["secrets"] == [
        {"name": "key", "value": "pw-2"},
        {"name": "registry", "value": "new"},
    ]


@pytest.mark.parametrize(
    "patch",
    [
        {"location": "West US"},
        {"properties": {"containerType": "Shell"}},
        {"properties": {"environmentId": "/other"}},
        {"properties": {"managedIdentitySettings": []}},
        {"properties": {"mcpServerSettings": {"isMcpServerEnabled": True}}},
    ],
)
def test_what_may_not_change_is_named(patch: dict[str, Any]) -> None:
    with pytest.raises(PoolDocumentError) as caught:
        merge_patch(POOL.document, patch)
    key, value = next(iter(patch.items()))
    assert caught.value.target == (key if key == "location" else f"{key}.{next(iter(value))}")
    assert "properties.scaleConfiguration" in str(caught.value)


def test_an_answer_sent_back_changes_nothing() -> None:
    answer = render_pool(POOL, api_version="2025-10-02-preview", endpoint="https://x")
    after = patched(answer)
    assert after.document == {**POOL.document, "location": "East US"}
    assert after.template == POOL.template


def test_the_emulators_own_block_can_be_removed() -> None:
    pool = parse_pool(built_in() | {"x-emulator": {"ready": 2}}, where="f")
    assert patched({"tags": {}}, pool).emulator.ready == 2
    assert patched({"x-emulator": None}, pool).emulator.ready is None


def test_neither_argument_is_changed() -> None:
    before, patch = copy.deepcopy(dict(POOL.document)), {"properties": {"secrets": [{"name": "key"}]}}
    sent = copy.deepcopy(patch)
    merge_patch(POOL.document, patch)["properties"]["customContainerTemplate"].clear()
    assert POOL.document == before
    assert patch == sent


TAGS = st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=5), max_size=5)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=5), TAGS)
def test_tags_follow_rfc_7396(tags: dict[str, str], change: dict[str, str | None]) -> None:
    pool = parse_pool(built_in() | {"tags": tags}, where="f")
    expected = {key: value for key, value in {**tags, **change}.items() if value is not None}
    assert merge_patch(pool.document, {"tags": change})["tags"] == expected


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda x: st.dictionaries(st.text(), x), max_leaves=5)
)
def test_no_patch_raises_anything_but_a_document_error(value: Any) -> None:
    for patch in (value, {"properties": value}, {"properties": {"dynamicPoolConfiguration": value}}):
        try:
            merge_patch(POOL.document, patch)
        except PoolDocumentError as error:
            assert error.code
