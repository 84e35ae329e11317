"""Whatever is sent, the answer is an answer: never a 5xx, always ARM's error shape."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

SUB = "00000000-0000-0000-0000-000000000000"
GROUP = f"/subscriptions/{SUB}/resourceGroups/rg"
NAME = "12345678-1234-1234-1234-123456789012"
PATHS = [
    f"{GROUP}/providers/Microsoft.App/sessionPools/made",
    f"{GROUP}/providers/Microsoft.App/sessionPools/UPPER_and%20blank",
    f"{GROUP}/providers/Microsoft.App/managedEnvironments/env",
    f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/{NAME}",
    f"/providers/Microsoft.Authorization/roleAssignments/{NAME}",
    GROUP,
    "/subscriptions/%2e%2e/resourceGroups/%00",
    f"/subscriptions/{SUB}/providers/Microsoft.App/locations/x/operationResults/nope",
    "/graph/v1.0/directoryObjects/getByIds",
    "/tenants",
]
BODIES: list[Any] = [
    {},
    [],
    None,
    "text",
    7,
    {"location": 7},
    {"location": "eastus"},
    {"location": "eastus", "tags": 3, "properties": "x"},
    {"location": "eastus", "tags": ["a"], "properties": []},
    {"location": "eastus", "tags": {"a": None}, "properties": {"containerType": 5}},
    {"location": "eastus", "properties": {"containerType": "PythonLTS", "secrets": {"a": "b"}}},
    {"location": "eastus", "properties": {"containerType": "CustomContainer", "customContainerTemplate": 1}},
    {"location": "eastus", "identity": "me", "properties": {"containerType": "PythonLTS"}},
    {"location": "eastus", "properties": {"containerType": "PythonLTS", "scaleConfiguration": None}},
    {
        "location": "eastus",
        "properties": {"containerType": "PythonLTS", "scaleConfiguration": {"maxConcurrentSessions": "NaN"}},
    },
    {"properties": {"roleDefinitionId": ["x"], "principalId": {}}},
    {"properties": {"appLogsConfiguration": "x"}, "location": "eastus"},
    {"ids": [{"a": 1}, None]},
]


@pytest.mark.parametrize("path", PATHS)
def test_no_body_breaks_it(cloud: Any, path: str) -> None:
    for method, body in itertools.product(("PUT", "PATCH", "POST", "DELETE", "GET", "HEAD"), BODIES):
        answer = cloud.send(method, path, raw=json.dumps(body).encode())
        assert answer.status < 500, f"{method} {body} → {answer.status} {answer.body!r}"
        if answer.status >= 400 and method != "HEAD":
            assert answer.json["error"]["code"], answer.body
    # Whatever was made of it can be shown and listed.
    for url in (
        f"/subscriptions/{SUB}/resources",
        f"/subscriptions/{SUB}/providers/Microsoft.App/sessionPools",
    ):
        assert cloud.send("GET", url).status == 200


@pytest.mark.parametrize(
    "query", ["$filter=%FF%FE", "$filter='", "$filter=name eq", "$top=x", "$skiptoken=1"]
)
def test_no_query_breaks_it(cloud: Any, query: str) -> None:
    kinds = ("resourceGroups", "resources", "providers/Microsoft.Authorization/roleAssignments")
    for kind in kinds:
        url = f"/subscriptions/{SUB}/{kind}?{query.replace(' ', '%20')}"
        assert cloud.send("GET", url).status == 200
    assert cloud.send("GET", f"/graph/v1.0/servicePrincipals?{query.replace(' ', '%20')}").status == 200


def test_deep_and_huge_bodies(cloud: Any) -> None:
    url = f"{GROUP}/providers/Microsoft.App/sessionPools/made"
    assert cloud.send("PUT", url, raw=b'{"a":' + b"[" * 100_000).code == "InvalidRequestContent"
    huge = cloud.send("PUT", url, raw=b"x" * (4 * 1024 * 1024 + 1))
    assert (huge.status, huge.code) == (413, "RequestContentTooLarge")
