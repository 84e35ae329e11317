"""Who may change what, and role assignments that open a pool."""

from __future__ import annotations

from typing import Any

import pytest

SUB = "00000000-0000-0000-0000-000000000000"
POOL = f"/subscriptions/{SUB}/resourceGroups/local/sessionPools/python"
ROLE = "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0"
NAME = "12345678-1234-1234-1234-123456789012"
STRANGER = "aaaaaaaa-0000-0000-0000-000000000000"


def assignment(scope: str, name: str = NAME) -> str:
    return f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"


def role(principal: str = STRANGER) -> dict[str, Any]:
    definition = f"/subscriptions/{SUB}/providers/Microsoft.Authorization/roleDefinitions/{ROLE}"
    return {"properties": {"roleDefinitionId": definition, "principalId": principal, "principalType": "User"}}


def may_run(cloud: Any, oid: str) -> bool:
    token = cloud.emulator.identity.issue("https://dynamicsessions.io", oid=oid).token
    answer = cloud.send("GET", f"{POOL}/session?identifier=abcd", token=token)
    assert answer.status in (403, 404)  # let in, there is no such session
    return bool(answer.status == 404)


@pytest.mark.parametrize("scope", ["pool", "group", "subscription"])
def test_an_assignment_opens_the_pool_until_it_is_taken_away(cloud: Any, scope: str) -> None:
    scopes = {
        "pool": cloud.pool("python", "local"),
        "group": f"/subscriptions/{SUB}/resourceGroups/local",
        "subscription": f"/subscriptions/{SUB}",
    }
    url = assignment(scopes[scope])
    assert not may_run(cloud, STRANGER)
    made = cloud.send("PUT", url, role())
    assert made.status == 201
    assert made.json["id"] == url
    properties = made.json["properties"]
    assert (properties["principalId"], properties["scope"]) == (STRANGER, scopes[scope])
    assert properties["roleDefinitionId"].endswith(ROLE)
    assert may_run(cloud, STRANGER)
    assert cloud.send("GET", url).json == made.json
    assert cloud.send("DELETE", url).status == 200
    assert not may_run(cloud, STRANGER)
    assert cloud.send("DELETE", url).status == 204


def test_another_pools_assignment_opens_nothing(cloud: Any) -> None:
    assert cloud.send("PUT", assignment(cloud.pool("shell", "local")), role()).status == 201
    assert not may_run(cloud, STRANGER)


def test_assignments_propagate_and_survive(start: Any) -> None:
    cloud = start(role_propagation=120)
    cloud.send("PUT", assignment(f"/subscriptions/{SUB}"), role())
    assert not may_run(cloud, STRANGER)
    cloud.advance(120)
    assert may_run(cloud, STRANGER)
    assert may_run(start(), STRANGER)


def test_conflicts_and_nonsense(cloud: Any) -> None:
    scope = f"/subscriptions/{SUB}"
    cloud.send("PUT", assignment(scope), role())
    assert cloud.send("PUT", assignment(scope), role()).status == 200
    other = "22222222-1234-1234-1234-123456789012"
    assert cloud.send("PUT", assignment(scope, other), role()).code == "RoleAssignmentExists"
    assert cloud.send("PUT", assignment(scope), role("b")).code == "RoleAssignmentUpdateNotPermitted"
    assert cloud.send("PUT", assignment(scope, "x"), role()).code == "InvalidRoleAssignmentId"
    unknown = {"properties": {"roleDefinitionId": "/x/nope", "principalId": "p"}}
    assert cloud.send("PUT", assignment(scope, other), unknown).code == "RoleDefinitionDoesNotExist"
    assert cloud.send("PUT", assignment(scope, other), {}).code == "InvalidRequestContent"


def test_lists_by_scope_and_principal(cloud: Any) -> None:
    group = f"/subscriptions/{SUB}/resourceGroups/local"
    cloud.send("PUT", assignment(group), role())
    kind = "providers/Microsoft.Authorization/roleAssignments"

    def principals(scope: str, condition: str = "") -> set[str]:
        found = cloud.send("GET", f"{scope}/{kind}?$filter={condition}").json["value"]
        return {one["properties"]["principalId"] for one in found}

    assert STRANGER in principals(cloud.pool("python", "local"))
    assert STRANGER in principals(f"/subscriptions/{SUB}")
    assert STRANGER not in principals(f"/subscriptions/{SUB}", "atScope()")
    assert principals(group, f"principalId%20eq%20'{STRANGER}'") == {STRANGER}
    assert principals(group, f"assignedTo('{STRANGER}')") == {STRANGER}


def test_the_role_is_found_by_name(cloud: Any) -> None:
    kind = f"/subscriptions/{SUB}/providers/Microsoft.Authorization/roleDefinitions"
    asked = "roleName%20eq%20'Azure%20ContainerApps%20Session%20Executor'"
    (found,) = cloud.send("GET", f"{kind}?$filter={asked}").json["value"]
    assert (found["name"], found["id"]) == (ROLE, f"{kind}/{ROLE}")
    assert cloud.send("GET", f"{kind}/{ROLE}").json == found
    assert len(cloud.send("GET", kind).json["value"]) > 3


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("signature", "InvalidAuthenticationToken"),
        ("audience", "InvalidAuthenticationTokenAudience"),
        ("expired", "ExpiredAuthenticationToken"),
        ("nbf", "InvalidAuthenticationToken"),
    ],
)
def test_bad_tokens_in_arms_own_words(cloud: Any, kind: str, code: str) -> None:
    token = cloud.emulator.identity.mint(audience="https://management.azure.com/", invalid=kind)
    answer = cloud.send("GET", "/subscriptions", token=token)
    assert (answer.status, answer.code) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_no_token_and_a_data_plane_token(cloud: Any) -> None:
    assert cloud.send("GET", "/subscriptions", token=None).code == "AuthenticationFailed"
    data = cloud.emulator.identity.mint()
    assert cloud.send("GET", "/subscriptions", token=data).code == "InvalidAuthenticationTokenAudience"


def test_changing_needs_a_role(cloud: Any, python_pool: dict[str, Any]) -> None:
    issue = cloud.emulator.identity.issue
    token = issue("https://management.azure.com", oid=STRANGER).token
    assert cloud.send("GET", cloud.pool("python", "local"), token=token).status == 200
    refused = cloud.send("PUT", cloud.pool("made"), python_pool, token=token)
    assert (refused.status, refused.code) == (403, "AuthorizationFailed")
    assert "Microsoft.App" in refused.headers["x-emulator-reason"] or STRANGER in refused.body.decode()
    assert cloud.send("PUT", assignment(f"/subscriptions/{SUB}"), role(), token=token).status == 403


def test_auth_off_asks_for_nothing(start: Any, python_pool: dict[str, Any]) -> None:
    cloud = start(auth="off")
    assert cloud.send("PUT", cloud.pool("made"), python_pool, token=None).status == 200


def test_what_az_asks_graph(cloud: Any) -> None:
    token = cloud.emulator.identity.mint(audience="https://localhost:7443/graph")
    me = cloud.send("GET", "/graph/v1.0/me", token=token, version=None)
    assert me.json["id"] == "22222222-2222-2222-2222-222222222222"
    mine = cloud.send("GET", "/graph/v1.0/me", version=None).json
    client = "33333333-3333-3333-3333-333333333333"
    asked = f"servicePrincipalNames/any(c:c%20eq%20'{client}')"
    (found,) = cloud.send("GET", f"/graph/v1.0/servicePrincipals?$filter={asked}").json["value"]
    assert found["id"] == mine["id"]
    ids = {"ids": [found["id"], "nobody"], "types": []}
    assert cloud.send("POST", "/graph/v1.0/directoryObjects/getByIds", ids).json["value"] == [found]
    cloud.send("PUT", assignment(f"/subscriptions/{SUB}"), role())
    asked = f"servicePrincipalNames/any(c:c%20eq%20'{STRANGER}')"
    (stranger,) = cloud.send("GET", f"/graph/v1.0/servicePrincipals?$filter={asked}").json["value"]
    assert stranger["id"] == STRANGER
    assert cloud.send("GET", f"/graph/v1.0/servicePrincipals/{STRANGER}").json == stranger
