"""What tutorials touch on the way: groups, environments, providers, subscriptions, generic lists."""

from __future__ import annotations

from typing import Any

SUB = "00000000-0000-0000-0000-000000000000"
ROOT = f"/subscriptions/{SUB}"
GROUP = f"{ROOT}/resourceGroups/rg"
ENVIRONMENT = f"{GROUP}/providers/Microsoft.App/managedEnvironments/env"


def test_a_groups_life(cloud: Any) -> None:
    assert cloud.send("HEAD", GROUP).status == 404
    assert cloud.send("GET", GROUP).code == "ResourceGroupNotFound"
    assert cloud.send("PUT", GROUP, {}).code == "LocationRequired"
    # az writes this segment in lower case.
    made = cloud.send("PUT", f"{ROOT}/resourcegroups/rg", {"location": "East US", "tags": {"a": "b"}})
    assert made.status == 201
    assert made.json == {
        "id": GROUP,
        "name": "rg",
        "type": "Microsoft.Resources/resourceGroups",
        "location": "eastus",
        "tags": {"a": "b"},
        "properties": {"provisioningState": "Succeeded"},
    }
    assert cloud.send("HEAD", GROUP).status == 204
    assert cloud.send("PUT", GROUP, {"location": "eastus"}).status == 200
    assert cloud.send("PUT", GROUP, {"location": "westus"}).code == "InvalidResourceGroupLocation"
    names = [one["name"] for one in cloud.send("GET", f"{ROOT}/resourceGroups").json["value"]]
    assert sorted(names) == ["local", "rg"]
    tagged = cloud.send("GET", f"{ROOT}/resourceGroups?$filter=tagName%20eq%20'a'").json["value"]
    assert tagged == []  # the second PUT brought no tags
    assert cloud.send("PATCH", GROUP, {"tags": {"c": "d"}}).json["tags"] == {"c": "d"}


def test_deleting_a_group_deletes_all_in_it_and_nothing_else(
    cloud: Any, python_pool: dict[str, Any], custom_pool: dict[str, Any]
) -> None:
    cloud.send("PUT", cloud.pool("one"), python_pool)
    cloud.send("PUT", cloud.pool("two"), custom_pool)
    cloud.send("PUT", cloud.pool("three", "rg2"), custom_pool)
    cloud.send("PUT", ENVIRONMENT, {"location": "eastus", "properties": {}})
    assignment = (
        f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/{'1' * 8}-1111-1111-1111-{'1' * 12}"
    )
    role = {"properties": {"roleDefinitionId": "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0", "principalId": "p"}}
    assert cloud.send("PUT", assignment, role).status == 201
    removed = cloud.send("DELETE", GROUP)
    assert removed.status == 202
    assert cloud.finish(removed.headers["location"]).status == 200
    assert cloud.send("GET", GROUP).status == 404
    assert cloud.send("GET", ENVIRONMENT).status == 404
    assert cloud.send("GET", assignment).status == 404
    left = {pool.spec.name for pool in cloud.emulator.registry.pools}
    assert left == {"python", "node", "shell", "three"}
    assert {one.pool_key for one in cloud.runtime.running.values()} == {cloud.pool("three", "rg2").lower()}


def test_groups_survive_a_restart(start: Any) -> None:
    start().send("PUT", GROUP, {"location": "eastus"})
    assert start().send("GET", GROUP).json["location"] == "eastus"


def test_an_environments_life(cloud: Any) -> None:
    logs = {
        "destination": "log-analytics",
        "logAnalyticsConfiguration": {"customerId": "c", "sharedKey": "k3y"},
    }
    sent = {"location": "eastus", "properties": {"appLogsConfiguration": logs}}
    made = cloud.send("PUT", ENVIRONMENT, sent)
    assert made.status == 201
    assert b"k3y" not in made.body
    assert cloud.send("GET", made.headers["azure-asyncoperation"]).json["status"] == "Succeeded"
    shown = cloud.send("GET", ENVIRONMENT).json
    assert shown["type"] == "Microsoft.App/managedEnvironments"
    assert shown["properties"]["provisioningState"] == "Succeeded"
    assert shown["properties"]["defaultDomain"].endswith(".eastus.azurecontainerapps.io")
    listed = cloud.send("GET", f"{ROOT}/providers/Microsoft.App/managedEnvironments").json["value"]
    assert listed == [shown]
    removed = cloud.send("DELETE", ENVIRONMENT)
    assert cloud.finish(removed.headers["location"]).status == 204
    assert cloud.send("GET", ENVIRONMENT).code == "ResourceNotFound"


def test_the_provider_is_registered_and_knows_its_locations(cloud: Any) -> None:
    registered = cloud.send("POST", f"{ROOT}/providers/microsoft.app/register").json
    assert registered["registrationState"] == "Registered"
    kinds = {one["resourceType"]: one for one in registered["resourceTypes"]}
    # The containerapp extension compares display names.
    assert {"East US", "North Central US (Stage)"} <= set(kinds["sessionPools"]["locations"])
    assert cloud.send("GET", f"{ROOT}/providers/Microsoft.App").json == registered
    assert cloud.send("GET", f"{ROOT}/providers/Microsoft.Nope").code == "InvalidResourceNamespace"
    regions = cloud.send("GET", f"{ROOT}/locations").json["value"]
    assert {"eastus", "westeurope"} <= {one["name"] for one in regions}


def test_subscriptions_and_tenants(cloud: Any, python_pool: dict[str, Any]) -> None:
    other = "99999999-0000-0000-0000-000000000000"
    cloud.send("PUT", cloud.pool("made").replace(SUB, other), python_pool)
    found = cloud.send("GET", "/subscriptions").json["value"]
    assert [one["subscriptionId"] for one in found] == [SUB, other]
    assert {one["state"] for one in found} == {"Enabled"}
    (tenant,) = cloud.send("GET", "/tenants").json["value"]
    assert tenant["tenantId"] == found[0]["tenantId"] == cloud.emulator.identity.tenant


def test_generic_resources(cloud: Any, python_pool: dict[str, Any]) -> None:
    cloud.send("PUT", cloud.pool("made"), python_pool)
    cloud.send("PUT", ENVIRONMENT, {"location": "westus", "properties": {}})

    def names(condition: str) -> set[str]:
        found = cloud.send("GET", f"{ROOT}/resources?$filter={condition.replace(' ', '%20')}")
        return {one["name"] for one in found.json["value"]}

    assert names("resourceGroup eq 'RG'") == {"made", "env"}
    assert names("resourceType eq 'Microsoft.App/sessionpools'") == {"python", "node", "shell", "made"}
    assert names("resourceGroup eq 'rg' and resourceType eq 'Microsoft.App/managedEnvironments'") == {"env"}
    assert names("location eq 'westus'") == {"env"}
    assert names("name eq 'made'") == {"made"}
    in_group = cloud.send("GET", f"{GROUP}/resources").json["value"]
    assert {one["name"] for one in in_group} == {"made", "env"}
    assert "properties" not in in_group[0]


def test_data_plane_paths_stay_the_data_planes(cloud: Any) -> None:
    path = f"{ROOT}/resourceGroups/local/sessionPools/python/executions"
    answer = cloud.send("GET", path)
    assert answer.status == 401  # a token for Resource Manager is none for a pool
    assert answer.body == b""
