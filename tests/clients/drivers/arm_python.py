"""A pool's whole life through azure-mgmt-appcontainers, and code run in it; tokens by managed identity."""

import json
import os

import requests
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.mgmt.appcontainers import ContainerAppsAPIClient

credential = DefaultAzureCredential()
client = ContainerAppsAPIClient(credential, os.environ["SUBSCRIPTION"], base_url=os.environ["HTTPS_ENDPOINT"])
pools, group, name = client.container_apps_session_pools, "local", os.environ["POOL_NAME"]
said = {}


def said_of(error: HttpResponseError) -> list[object]:
    return [error.status_code, error.error.code if error.error else None]


document = {
    "location": "eastus",
    "tags": {"made": "by the SDK"},
    "properties": {
        "containerType": "PythonLTS",
        "poolManagementType": "Dynamic",
        "scaleConfiguration": {"maxConcurrentSessions": 7},
        "dynamicPoolConfiguration": {
            "lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300}
        },
        "sessionNetworkConfiguration": {"status": "EgressDisabled"},
    },
}
made = pools.begin_create_or_update(group, name, document).result()
said["made"] = [made.name, made.type, made.location, made.tags, made.properties.provisioning_state]
found = pools.get(group, name)
said["found"] = [
    found.id,
    found.properties.container_type,
    found.properties.scale_configuration.max_concurrent_sessions,
    found.properties.dynamic_pool_configuration.lifecycle_configuration.cooldown_period_in_seconds,
]
endpoint = found.properties.pool_management_endpoint
said["https kept"] = endpoint.startswith(os.environ["HTTPS_ENDPOINT"])
said["in lists"] = [
    name in [pool.name for pool in pools.list_by_resource_group(group)],
    name in [pool.name for pool in pools.list_by_subscription()],
]
changed = pools.begin_update(
    group, name, {"properties": {"scaleConfiguration": {"maxConcurrentSessions": 9}}}
).result()
said["changed"] = [
    changed.properties.scale_configuration.max_concurrent_sessions,
    changed.properties.dynamic_pool_configuration.lifecycle_configuration.cooldown_period_in_seconds,
]
token = credential.get_token("https://dynamicsessions.io/.default").token
run = requests.post(
    f"{endpoint}/executions",
    params={"api-version": "2025-10-02-preview", "identifier": os.environ["SESSION"]},
    json={"code": "print('in the new pool'); 6 * 7"},
    headers={"Authorization": f"Bearer {token}"},
    timeout=60,
)
said["run"] = [run.status_code, run.json()["result"]["stdout"], run.json()["result"]["executionResult"]]
try:
    wrong = {**document, "properties": {**document["properties"], "containerType": "CobolLTS"}}
    pools.begin_create_or_update(group, name + "-wrong", wrong).result()
except HttpResponseError as error:
    said["wrong type"] = [error.status_code, "CobolLTS" in str(error)]
pools.begin_delete(group, name).result()
try:
    pools.get(group, name)
except ResourceNotFoundError as error:
    said["gone"] = said_of(error)
print(json.dumps(said))
