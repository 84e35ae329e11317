"""Session pools over the control plane: documents in and out, operations, limits, restarts."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

Document = dict[str, Any]
SUB = "00000000-0000-0000-0000-000000000000"


def test_a_new_python_pool_is_there_at_once(cloud: Any, python_pool: Document) -> None:
    made = cloud.send("PUT", cloud.pool("made"), python_pool)
    assert made.status == 200
    assert "azure-asyncoperation" not in made.headers
    body = made.json
    assert body["id"] == cloud.pool("made")
    assert body["location"] == "East US"
    assert body["properties"]["provisioningState"] == "Succeeded"
    endpoint = f"https://localhost:7443/subscriptions/{SUB}/resourceGroups/rg/sessionPools/made"
    assert body["properties"]["poolManagementEndpoint"] == endpoint
    assert cloud.send("GET", cloud.pool("MADE")).json == body
    assert cloud.emulator.registry.named("made").spec.max_sessions == 7


def test_the_endpoint_keeps_scheme_and_host_of_the_request(cloud: Any) -> None:
    found = cloud.send("GET", f"http://emu:80{cloud.pool('python', 'local')}").json
    assert found["properties"]["poolManagementEndpoint"].startswith("http://emu:80/subscriptions/")


def test_a_new_custom_pool_is_an_operation_that_ends_at_once(cloud: Any, custom_pool: Document) -> None:
    made = cloud.send("PUT", cloud.pool("made"), custom_pool)
    assert (made.status, made.json["properties"]["provisioningState"]) == (201, "InProgress")
    assert int(made.headers["retry-after"]) >= 1
    operation = cloud.send("GET", made.headers["azure-asyncoperation"])
    assert (operation.status, operation.json["status"]) == (200, "Succeeded")
    assert cloud.send("GET", cloud.pool("made")).json["properties"]["provisioningState"] == "Succeeded"
    assert [one.pool.name for one in cloud.runtime.started] == ["made"]


def test_operations_take_as_long_as_they_are_told(start: Any, python_pool: Document) -> None:
    cloud = start(operation_delay=60)
    made = cloud.send("PUT", cloud.pool("made"), python_pool)
    assert made.status == 201
    polling = made.headers["azure-asyncoperation"]
    assert cloud.send("GET", polling).json["status"] == "InProgress"
    cloud.advance(60)
    assert cloud.send("GET", polling).json["status"] == "Succeeded"
    patched = cloud.send("PATCH", cloud.pool("made"), {"tags": {"a": "b"}})
    assert patched.status == 202
    assert cloud.send("GET", patched.headers["location"]).status == 202
    cloud.advance(60)
    assert cloud.finish(patched.headers["location"]).json["tags"] == {"a": "b"}
    removed = cloud.send("DELETE", cloud.pool("made"))
    assert cloud.send("GET", cloud.pool("made")).json["properties"]["provisioningState"] == "Deleting"
    assert cloud.send("PUT", cloud.pool("made"), python_pool).code == "Conflict"
    cloud.advance(60)
    assert cloud.finish(removed.headers["location"]).status == 204
    assert cloud.send("GET", cloud.pool("made")).status == 404


def test_delete_ends_what_the_pool_runs(cloud: Any, custom_pool: Document) -> None:
    cloud.send("PUT", cloud.pool("made"), custom_pool)
    cloud.send("GET", cloud.pool("made"))
    assert len(cloud.runtime.running) == 1
    removed = cloud.send("DELETE", cloud.pool("made"))
    assert removed.status == 202
    assert "/locations/eastus/operationResults/" in removed.headers["location"]
    assert cloud.finish(removed.headers["location"]).status == 204
    assert cloud.runtime.running == {}
    assert cloud.send("DELETE", cloud.pool("made")).status == 204


def test_patch_merges(cloud: Any, python_pool: Document) -> None:
    cloud.send("PUT", cloud.pool("made"), {**python_pool, "tags": {"a": "1", "b": "2"}})
    change = {"tags": {"a": None}, "properties": {"scaleConfiguration": {"maxConcurrentSessions": 9}}}
    patched = cloud.send("PATCH", cloud.pool("made"), change)
    assert patched.status == 200
    assert patched.json["tags"] == {"b": "2"}
    properties = patched.json["properties"]
    assert properties["scaleConfiguration"] == {"maxConcurrentSessions": 9}
    assert properties["dynamicPoolConfiguration"]["lifecycleConfiguration"]["cooldownPeriodInSeconds"] == 300
    refused = cloud.send("PATCH", cloud.pool("made"), {"properties": {"containerType": "Shell"}})
    assert (refused.status, refused.json["error"]["target"]) == (400, "properties.containerType")


def test_both_lists(cloud: Any, python_pool: Document) -> None:
    cloud.send("PUT", cloud.pool("made"), python_pool)
    group = cloud.send("GET", cloud.pool("").rstrip("/"))
    assert [one["name"] for one in group.json["value"]] == ["made"]
    everything = cloud.send("GET", f"/subscriptions/{SUB}/providers/Microsoft.App/sessionPools")
    assert {one["name"] for one in everything.json["value"]} == {"python", "node", "shell", "made"}
    elsewhere = cloud.send("GET", "/subscriptions/other/providers/Microsoft.App/sessionPools")
    assert elsewhere.json == {"value": []}


@pytest.mark.parametrize("version", ["2024-02-02-preview", "2026-01-01", "2031-05-05"])
def test_any_version_in_its_own_spelling(cloud: Any, version: str) -> None:
    sent = {
        "location": "eastus",
        "properties": {
            "environmentId": None,
            "containerType": "PythonLTS",
            "customContainerTemplate": None,
            "secrets": None,
            "dynamicPoolConfiguration": {"executionType": "Timed", "cooldownPeriodInSeconds": "300"},
            "scaleConfiguration": {"maxConcurrentSessions": 7, "readySessionInstances": 5},
        },
    }
    made = cloud.send("PUT", cloud.pool("made"), sent, version=version)
    assert made.status == 200
    dynamic = made.json["properties"]["dynamicPoolConfiguration"]
    if version.startswith("2024"):
        assert dynamic == {"executionType": "Timed", "cooldownPeriodInSeconds": 300}
    else:
        assert dynamic["lifecycleConfiguration"]["cooldownPeriodInSeconds"] == 300
    assert made.json["properties"]["scaleConfiguration"] == {"maxConcurrentSessions": 7}


def test_what_get_answers_can_be_put_back(cloud: Any, custom_pool: Document) -> None:
    cloud.send("PUT", cloud.pool("made"), custom_pool)
    first = cloud.send("GET", cloud.pool("made")).json
    assert cloud.send("PUT", cloud.pool("made"), first).status == 200
    template = cloud.emulator.registry.named("made").spec.template
    assert dict(template.env) == {"A": "top-secret"}


def test_secrets_never_come_back(cloud: Any, custom_pool: Document) -> None:
    answers = [
        cloud.send("PUT", cloud.pool("made"), custom_pool),
        cloud.send("PATCH", cloud.pool("made"), {"tags": {"x": "y"}}),
        cloud.send("GET", cloud.pool("made")),
        cloud.send("GET", cloud.pool("").rstrip("/")),
    ]
    for answer in answers:
        assert answer.status in (200, 201)
        assert b"top-secret" not in answer.body
    assert answers[2].json["properties"]["secrets"] == [{"name": "s"}]


@pytest.mark.parametrize(
    ("change", "code", "target"),
    [
        (
            {"containerType": "Nope"},
            "SessionPoolInvalidContainerType",
            "properties.containerType",
        ),
        (
            {"scaleConfiguration": {"maxConcurrentSessions": 601}},
            "SessionPoolInvalidScaleConfiguration",
            "properties.scaleConfiguration.maxConcurrentSessions",
        ),
        (
            {"dynamicPoolConfiguration": {"executionType": "Timed", "cooldownPeriodInSeconds": 10}},
            "SessionPoolInvalidLifecycleConfiguration",
            "properties.dynamicPoolConfiguration.lifecycleConfiguration.cooldownPeriodInSeconds",
        ),
    ],
)
def test_what_azure_refuses(
    cloud: Any, python_pool: Document, change: Document, code: str, target: str
) -> None:
    refused = cloud.send(
        "PUT", cloud.pool("made"), {**python_pool, "properties": {**python_pool["properties"], **change}}
    )
    assert (refused.status, refused.code) == (400, code)
    assert refused.json["error"]["target"] == target
    assert cloud.send("GET", cloud.pool("made")).status == 404


def test_ready_instances_in_azures_own_words(cloud: Any, custom_pool: Document) -> None:
    custom_pool["properties"]["scaleConfiguration"] = {"maxConcurrentSessions": 5, "readySessionInstances": 5}
    refused = cloud.send("PUT", cloud.pool("made"), custom_pool)
    assert refused.code == "SessionPoolInvalidReadySessionInstances"
    assert refused.json["error"]["message"] == (
        "Supported values should be greater than 0 and smaller than maxConcurrentSessions."
    )


def test_loose_takes_more_and_says_so(start: Any, python_pool: Document) -> None:
    cloud = start(strict=False)
    python_pool["properties"]["scaleConfiguration"] = {"maxConcurrentSessions": 1}
    made = cloud.send("PUT", cloud.pool("made"), python_pool, version=None)
    assert made.status == 200
    assert "maxConcurrentSessions" in made.headers["x-emulator-warning"]


def test_a_file_beyond_azures_ranges_can_still_be_changed(start: Any, tmp_path: Path) -> None:
    pool = {
        "name": "tiny",
        "properties": {
            "containerType": "PythonLTS",
            "dynamicPoolConfiguration": {
                "lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 1}
            },
        },
    }
    (tmp_path / "pool.yaml").write_text(yaml.safe_dump(pool), encoding="utf-8")
    cloud = start(config=(tmp_path / "pool.yaml",))
    assert cloud.send("PATCH", cloud.pool("tiny", "local"), {"tags": {"a": "b"}}).status == 200


def test_fixed_once_made(cloud: Any, python_pool: Document) -> None:
    cloud.send("PUT", cloud.pool("made"), python_pool)
    moved = cloud.send("PUT", cloud.pool("made"), {**python_pool, "location": "westus"})
    assert (moved.status, moved.code) == (409, "InvalidResourceLocation")
    other = {**python_pool, "properties": {**python_pool["properties"], "containerType": "Shell"}}
    refused = cloud.send("PUT", cloud.pool("made"), other)
    assert (refused.status, refused.json["error"]["target"]) == (400, "properties.containerType")


def test_nothing_there(cloud: Any, python_pool: Document) -> None:
    assert cloud.send("GET", cloud.pool("none", "nogroup")).code == "ResourceGroupNotFound"
    cloud.send("PUT", cloud.pool("made"), python_pool)
    missing = cloud.send("GET", cloud.pool("none"))
    assert (missing.status, missing.code) == (404, "ResourceNotFound")
    assert "'Microsoft.App/sessionPools/none' under resource group 'rg'" in missing.json["error"]["message"]
    assert cloud.send("PATCH", cloud.pool("none"), {}).code == "ResourceNotFound"


def test_bad_requests(cloud: Any, python_pool: Document) -> None:
    url = cloud.pool("made")
    assert cloud.send("PUT", url, raw=b"{").code == "InvalidRequestContent"
    assert cloud.send("PUT", url, raw=b"[]").code == "InvalidRequestContent"
    assert cloud.send("GET", url, version=None).code == "MissingApiVersionParameter"
    assert cloud.send("GET", url, version="soon").code == "InvalidApiVersionParameter"
    no_place = {"properties": python_pool["properties"]}
    assert cloud.send("PUT", url, no_place).code == "LocationRequired"
    wrong = cloud.send("POST", url)
    assert (wrong.status, wrong.code) == (405, "MethodNotAllowed")
    assert "PUT" in wrong.headers["allow"]
    assert cloud.send("GET", f"{url}/children/1").code == "InvalidResourceType"


def test_etags(cloud: Any, python_pool: Document) -> None:
    url = cloud.pool("made")
    first = cloud.send("PUT", url, python_pool, if_none_match="*").headers["etag"]
    assert cloud.send("GET", url).headers["etag"] == first
    assert cloud.send("PUT", url, python_pool, if_none_match="*").status == 412
    second = cloud.send("PATCH", url, {"tags": {"a": "b"}}, if_match=first).headers["etag"]
    assert second != first
    stale = cloud.send("DELETE", url, if_match=first)
    assert (stale.status, stale.code) == (412, "PreconditionFailed")
    assert cloud.send("DELETE", url, if_match=second).status == 202


def test_who_and_when(cloud: Any, python_pool: Document) -> None:
    made = cloud.send("PUT", cloud.pool("made"), python_pool).json["systemData"]
    assert made["createdBy"] == made["lastModifiedBy"]
    assert made["createdAt"] == made["lastModifiedAt"]
    cloud.advance(60)
    changed = cloud.send("PATCH", cloud.pool("made"), {"tags": {}}).json["systemData"]
    assert changed["createdAt"] == made["createdAt"]
    assert changed["lastModifiedAt"] > made["lastModifiedAt"]


def test_pools_survive_a_restart_secrets_included(start: Any, tmp_path: Path, custom_pool: Document) -> None:
    first = start()
    first.send("PUT", first.pool("made"), custom_pool)
    before = first.send("GET", first.pool("made")).json
    second = start()
    assert second.send("GET", second.pool("made")).json == before
    assert dict(second.emulator.registry.named("made").spec.template.env) == {"A": "top-secret"}
    (kept,) = (tmp_path / "state").rglob("control-plane.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    second.finish(second.send("DELETE", second.pool("made")).headers["location"])
    assert b"top-secret" not in kept.read_bytes()
    assert start().emulator.registry.named("made") is None


def test_a_changed_pool_file_wins_over_what_arm_changed(start: Any, tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"

    def write(most: int) -> None:
        scale = {"maxConcurrentSessions": most}
        properties = {"containerType": "PythonLTS", "scaleConfiguration": scale}
        path.write_text(yaml.safe_dump({"name": "mine", "properties": properties}), encoding="utf-8")

    write(10)
    first = start(config=(path,))
    change = {"properties": {"scaleConfiguration": {"maxConcurrentSessions": 20}}}
    assert first.send("PATCH", first.pool("mine", "local"), change).status == 200
    assert start(config=(path,)).emulator.registry.named("mine").spec.max_sessions == 20
    write(30)
    assert start(config=(path,)).emulator.registry.named("mine").spec.max_sessions == 30


def test_a_broken_state_file_is_named(start: Any, tmp_path: Path) -> None:
    from emulator.errors import ConfigurationError

    start()
    folder = tmp_path / "state" / "default"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "control-plane.json").write_text(json.dumps({"pools": []}), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"control-plane\.json"):
        start()


def test_mcp_credentials_in_both_spellings(cloud: Any, python_pool: Document) -> None:
    url = cloud.pool("made")
    cloud.send("PUT", url, python_pool)
    assert cloud.send("POST", f"{url}/fetchMcpServerCredentials").code == "SessionMCPServerNotEnabled"
    python_pool["properties"]["mcpServerSettings"] = {"isMcpServerEnabled": True}
    settings = cloud.send("PUT", url, python_pool).json["properties"]["mcpServerSettings"]
    assert settings["mcpServerEndpoint"].endswith("/sessionPools/made/mcp")
    key = cloud.send("POST", f"{url}/fetchMCPServerCredentials").json["apiKey"]
    assert cloud.send("POST", f"{url}/fetchMcpServerCredentials").json == {"apiKey": key}
    new = cloud.send("POST", f"{url}/rotateMcpServerCredentials").json["apiKey"]
    assert new != key
    pool = cloud.emulator.registry.named("made").spec.key
    assert cloud.emulator.mcp_keys.check(pool, key)
    cloud.finish(cloud.send("DELETE", url).headers["location"])
    assert not cloud.emulator.mcp_keys.check(pool, new)
