"""What ARM answers: recorded details, one spelling per version, secrets by name only, a valid pool file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.resources.document import parse_pool
from emulator.resources.rendering import parse_api_version, render_pool, system_data
from tests.unit.resources.documents import AZ_CREATE, EVERY_MEMBER, EXAMPLE_2026, built_in, custom

ENDPOINT = "https://localhost:7443/subscriptions/s/resourceGroups/rg/sessionPools/p"
VERSIONS = [
    "2024-02-02-preview",
    "2024-08-02-preview",
    "2024-10-02-preview",
    "2025-01-01",
    "2025-02-02-preview",
    "2025-07-01",
    "2025-10-02-preview",
    "2026-01-01",
    "2026-03-02-preview",
    "2026-07-01",
]
LEGACY = VERSIONS[:3]


def render(document: dict[str, Any], version: str = "2025-10-02-preview", **options: Any) -> dict[str, Any]:
    pool = parse_pool({"name": "mypool", **document}, where="f")
    return render_pool(pool, api_version=version, endpoint=ENDPOINT, **options)


def test_recorded_python_answer() -> None:
    answer = render(AZ_CREATE, "2024-02-02-preview")
    assert answer["type"] == "Microsoft.App/sessionpools"
    assert answer["location"] == "East US"
    assert answer["identity"] == {"type": "None"}
    properties = answer["properties"]
    assert properties["environmentId"] is None
    assert properties["scaleConfiguration"] == {"maxConcurrentSessions": 7}
    assert properties["dynamicPoolConfiguration"] == {
        "executionType": "Timed",
        "cooldownPeriodInSeconds": 300,
    }
    assert properties["sessionNetworkConfiguration"] == {"status": "EgressDisabled"}
    assert properties["managedIdentitySettings"] == []
    assert properties["poolManagementEndpoint"] == ENDPOINT
    assert properties["provisioningState"] == "Succeeded"


@pytest.mark.parametrize("version", VERSIONS)
def test_lifecycle_in_each_versions_spelling(version: str) -> None:
    dynamic = render(EVERY_MEMBER, version)["properties"]["dynamicPoolConfiguration"]
    if version in LEGACY:
        assert dynamic == {"executionType": "Timed", "cooldownPeriodInSeconds": 360}
    else:
        lifecycle = {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 360}
        assert dynamic == {"lifecycleConfiguration": lifecycle}


@pytest.mark.parametrize("version", VERSIONS)
def test_preview_members_only_in_later_previews(version: str) -> None:
    later_preview = version.endswith("-preview") and version >= "2025-02-02"
    properties = render(built_in(mcpServerSettings={"isMcpServerEnabled": True}), version)["properties"]
    assert ("mcpServerSettings" in properties) is later_preview
    properties = render(EVERY_MEMBER, version)["properties"]
    assert ("templateUpdateStatus" in properties) is later_preview
    assert ("probes" in properties["customContainerTemplate"]["containers"][0]) is later_preview


def test_mcp_endpoint_once_enabled() -> None:
    settings = {"isMcpServerEnabled": True, "isMcpServerApiKeyDisabled": True}
    assert render(built_in(mcpServerSettings=settings))["properties"]["mcpServerSettings"] == {
        **settings,
        "mcpServerEndpoint": f"{ENDPOINT}/mcp",
    }


def test_mcp_settings_of_a_custom_pool_are_null() -> None:
    answer = render(custom(mcpServerSettings={"isMcpServerEnabled": True}))
    assert answer["properties"]["mcpServerSettings"] is None


@pytest.mark.parametrize("version", VERSIONS)
def test_secrets_by_name_only(version: str) -> None:
    answer = render(EVERY_MEMBER, version)
    assert answer["properties"]["secrets"] == [{"name": "registry"}, {"name": "key"}]
    assert "pw-" not in json.dumps(answer)


def test_system_assigned_identity() -> None:
    answer = render(EXAMPLE_2026, "2026-01-01", principal_id="p", tenant_id="t")
    assert answer["identity"] == {"type": "SystemAssigned", "principalId": "p", "tenantId": "t"}
    assert answer["properties"]["nodeCount"] == 1


def test_published_answer_members() -> None:
    """Every member of the published 2026-01-01 answer, with the value that was sent."""
    answer = render(EXAMPLE_2026, "2026-01-01")
    for key in ("scaleConfiguration", "dynamicPoolConfiguration", "customContainerTemplate", "environmentId"):
        assert answer["properties"][key] == EXAMPLE_2026["properties"][key]
    assert answer["type"] == "Microsoft.App/sessionPools"


def test_system_data_has_seven_digits_and_no_zone() -> None:
    data = system_data(1715822749.3717303, 1715822750, created_by="a@b")
    assert data["createdAt"] == "2024-05-16T01:25:49.3717300"
    assert data["lastModifiedAt"] == "2024-05-16T01:25:50.0000000"
    assert (data["createdBy"], data["lastModifiedBy"], data["createdByType"]) == ("a@b", "a@b", "User")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "document",
    [AZ_CREATE, EVERY_MEMBER, custom(), built_in("Shell", mcpServerSettings={"isMcpServerEnabled": True})],
)
def test_what_is_answered_is_a_valid_pool_file(document: dict[str, Any], version: str) -> None:
    first = parse_pool({"name": "mypool", **document}, where="f")
    answer = render_pool(first, api_version=version, endpoint=ENDPOINT, system_data={"createdBy": "x"})
    again = parse_pool(json.loads(json.dumps(answer)), where="g", previous=first)
    assert again.warnings == ()
    assert again.resource_id == first.resource_id
    for member in ("container_type", "max_sessions", "ready_sessions", "lifecycle", "network", "emulator"):
        assert getattr(again, member) == getattr(first, member)
    if parse_api_version(version) == parse_api_version("2025-10-02-preview"):
        assert again.template == first.template
        assert (again.mcp_enabled, again.mcp_key_disabled) == (first.mcp_enabled, first.mcp_key_disabled)
    else:  # the version may have no word for probes
        assert (again.template is None) == (first.template is None)


def test_every_member_round_trips() -> None:
    answer = render(EVERY_MEMBER, system_data=EVERY_MEMBER["systemData"])
    for key, value in EVERY_MEMBER.items():
        if key != "properties":
            assert answer[key] == value, key
    given_ = EVERY_MEMBER["properties"]
    special = {"secrets", "poolManagementEndpoint", "templateUpdateStatus"}
    for key, value in given_.items():
        if key not in special:
            assert answer["properties"][key] == value, key
    assert special <= set(answer["properties"])


def test_the_emulators_own_block_is_kept() -> None:
    block = {"ready": 2, "memory": "1Gi"}
    assert render(built_in() | {"x-emulator": block})["x-emulator"] == block
    assert "x-emulator" not in render(built_in())


def test_rendering_changes_nothing() -> None:
    pool = parse_pool(EVERY_MEMBER, where="f")
    before = json.dumps(pool.document)
    render_pool(pool, api_version="2024-02-02-preview", endpoint=ENDPOINT)["properties"]["secrets"].clear()
    assert json.dumps(pool.document) == before


@given(st.integers(1, 10_000), st.sampled_from(VERSIONS), st.floats(0.5, 10_000))
def test_numbers_round_trip_in_every_version(most: int, version: str, cooldown: float) -> None:
    document = built_in(
        scaleConfiguration={"maxConcurrentSessions": most},
        dynamicPoolConfiguration={"executionType": "timed", "cooldownPeriodInSeconds": str(cooldown)},
    )
    again = parse_pool(render(document, version), where="f")
    assert (again.max_sessions, again.lifecycle.cooldown) == (most, cooldown)
