"""Session-pool documents retyped from the published schema, examples and recordings."""

from __future__ import annotations

from typing import Any

SUBSCRIPTION = "34adfa4f-cedf-4dc0-ba29-b6d1a69ab345"


def custom(**properties: Any) -> dict[str, Any]:
    """The smallest CustomContainer pool, with `properties` laid over it."""
    return {
        "name": "mypool",
        "location": "eastus",
        "properties": {
            "containerType": "CustomContainer",
            "customContainerTemplate": {
                "containers": [{"image": "repo/app:v1", "name": "app"}],
                "ingress": {"targetPort": 6000},
            },
            **properties,
        },
    }


def built_in(kind: str = "PythonLTS", **properties: Any) -> dict[str, Any]:
    return {"name": "mypool", "location": "eastus", "properties": {"containerType": kind, **properties}}


# What az's containerapp extension sends on create (recorded with 2024-02-02-preview).
AZ_CREATE: dict[str, Any] = {
    "location": "eastus",
    "properties": {
        "environmentId": None,
        "poolManagementType": "Dynamic",
        "containerType": "PythonLTS",
        "customContainerTemplate": None,
        "secrets": None,
        "dynamicPoolConfiguration": {"executionType": "Timed", "cooldownPeriodInSeconds": "300"},
        "scaleConfiguration": {"maxConcurrentSessions": 7, "readySessionInstances": 5},
        "sessionNetworkConfiguration": {"status": "EgressDisabled"},
    },
}

# The published example of 2026-01-01, request side.
EXAMPLE_2026: dict[str, Any] = {
    "location": "East US",
    "identity": {"type": "SystemAssigned"},
    "properties": {
        "environmentId": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.App"
        "/managedEnvironments/demokube",
        "poolManagementType": "Dynamic",
        "containerType": "CustomContainer",
        "scaleConfiguration": {"maxConcurrentSessions": 500, "readySessionInstances": 100},
        "dynamicPoolConfiguration": {
            "lifecycleConfiguration": {
                "lifecycleType": "OnContainerExit",
                "maxAlivePeriodInSeconds": 86400,
            }
        },
        "customContainerTemplate": {
            "containers": [
                {
                    "image": "repo/testcontainer:v4",
                    "name": "testinitcontainer",
                    "resources": {"cpu": 0.25, "memory": "0.5Gi"},
                    "command": ["/bin/sh"],
                    "args": ["-c", "while true; do echo hello; sleep 10;done"],
                }
            ],
            "ingress": {"targetPort": 80},
            "registryCredentials": {
                "server": "test.azurecr.io",
                "identity": "/subscriptions/s/resourcegroups/test/providers/Microsoft.ManagedIdentity"
                "/userAssignedIdentities/testSP",
            },
        },
        "sessionNetworkConfiguration": {"status": "EgressEnabled"},
        "managedIdentitySettings": [{"identity": "system", "lifecycle": "Main"}],
    },
}

# Every member of the 2025-10-02-preview schema, the read-only ones among them.
EVERY_MEMBER: dict[str, Any] = {
    "id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.App/sessionPools/everything",
    "name": "everything",
    "type": "Microsoft.App/sessionPools",
    "location": "East US",
    "tags": {"team": "agents"},
    "identity": {"type": "SystemAssigned"},
    "systemData": {"createdBy": "someone", "createdAt": "2024-05-16T01:25:49.3717303"},
    "properties": {
        "environmentId": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.App/managedEnvironments/e",
        "containerType": "CustomContainer",
        "poolManagementType": "Dynamic",
        "nodeCount": 1,
        "scaleConfiguration": {"maxConcurrentSessions": 20, "readySessionInstances": 2},
        "secrets": [{"name": "registry", "value": "pw-1"}, {"name": "key", "value": "pw-2"}],
        "dynamicPoolConfiguration": {
            "lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 360}
        },
        "customContainerTemplate": {
            "registryCredentials": {
                "server": "x.azurecr.io",
                "username": "u",
                "passwordSecretRef": "registry",
                "identity": "system",
            },
            "containers": [
                {
                    "image": "x.azurecr.io/c:v1",
                    "name": "c",
                    "command": ["/bin/sh"],
                    "args": ["-c", "serve"],
                    "env": [{"name": "PLAIN", "value": "1"}, {"name": "HIDDEN", "secretRef": "key"}],
                    "resources": {"cpu": 0.5, "memory": "1Gi"},
                    "probes": [
                        {
                            "type": "Liveness",
                            "httpGet": {
                                "path": "/health",
                                "port": 6000,
                                "scheme": "HTTP",
                                "httpHeaders": [{"name": "x-probe", "value": "1"}],
                            },
                            "failureThreshold": 4,
                            "initialDelaySeconds": 2,
                            "periodSeconds": 20,
                            "successThreshold": 1,
                            "terminationGracePeriodSeconds": 30,
                            "timeoutSeconds": 5,
                        }
                    ],
                }
            ],
            "ingress": {"targetPort": 6000},
        },
        "sessionNetworkConfiguration": {"status": "EgressEnabled"},
        "templateUpdateStatus": {"activeTemplate": {}, "desiredTemplate": {}},
        "poolManagementEndpoint": "https://everything.example.azurecontainerapps.io",
        "provisioningState": "Succeeded",
        "managedIdentitySettings": [{"identity": "system", "lifecycle": "Main"}],
    },
}
