"""The ARM session-pool document: every member of every published version, in its newest spelling."""

from __future__ import annotations

from typing import Final

from emulator.resources.schema import (
    Anything,
    Choice,
    Flag,
    Items,
    Kind,
    Members,
    Number,
    ReadOnly,
    Table,
    Text,
)

INTEGER: Final = Number(whole=True)

# OnContainerExit came with 2025-01-01; before, `executionType` and the cooldown stood by themselves.
LIFECYCLE: Final = Members(
    {
        "lifecycleType": Choice(("Timed", "OnContainerExit")),
        "cooldownPeriodInSeconds": Number(),
        "maxAlivePeriodInSeconds": Number(),
    }
)
DYNAMIC: Final = Members(
    {
        "lifecycleConfiguration": LIFECYCLE,
        "executionType": Choice(("Timed", "OnContainerExit")),
        "cooldownPeriodInSeconds": Number(),
    }
)
PROBE: Final = Members(
    {
        "type": Choice(("Liveness", "Startup")),
        "httpGet": Members(
            {
                "host": Text(),
                "httpHeaders": Items(Members({"name": Text(), "value": Text()})),
                "path": Text(),
                "port": INTEGER,
                "scheme": Choice(("HTTP", "HTTPS")),
            }
        ),
        "tcpSocket": Members({"host": Text(), "port": INTEGER}),
        "failureThreshold": INTEGER,
        "initialDelaySeconds": INTEGER,
        "periodSeconds": INTEGER,
        "successThreshold": INTEGER,
        "terminationGracePeriodSeconds": INTEGER,
        "timeoutSeconds": INTEGER,
    }
)
ENVIRONMENT: Final = Items(Members({"name": Text(), "value": Text(secret=True), "secretRef": Text()}))
CONTAINER: Final = Members(
    {
        "image": Text(),
        "name": Text(),
        "command": Items(Text()),
        "args": Items(Text()),
        "env": ENVIRONMENT,
        "resources": Members({"cpu": Number(), "memory": Text()}),
        "probes": Items(PROBE),
    }
)
TEMPLATE: Final = Members(
    {
        "registryCredentials": Members(
            {"server": Text(), "username": Text(), "passwordSecretRef": Text(), "identity": Text()}
        ),
        "containers": Items(CONTAINER),
        "ingress": Members({"targetPort": INTEGER}),
    }
)
UPDATABLE: Final[dict[str, Kind]] = {
    "scaleConfiguration": Members({"maxConcurrentSessions": INTEGER, "readySessionInstances": INTEGER}),
    "secrets": Items(Members({"name": Text(), "value": Text(secret=True)})),
    "dynamicPoolConfiguration": DYNAMIC,
    "customContainerTemplate": TEMPLATE,
    "sessionNetworkConfiguration": Members({"status": Choice(("EgressEnabled", "EgressDisabled"))}),
}
PROPERTIES: Final = Members(
    {
        "environmentId": Text(),
        "containerType": Text(),
        "poolManagementType": Text(),
        "nodeCount": ReadOnly(),
        **UPDATABLE,
        "managedIdentitySettings": Items(
            Members({"identity": Text(), "lifecycle": Choice(("None", "Init", "Main"))})
        ),
        "mcpServerSettings": Members(
            {
                "isMcpServerEnabled": Flag(),
                "isMcpServerApiKeyDisabled": Flag(),
                "mcpServerEndpoint": ReadOnly(),
            }
        ),
        "templateUpdateStatus": ReadOnly(),
        "poolManagementEndpoint": ReadOnly(),
        "provisioningState": ReadOnly(),
    }
)
OPTIONS: Final = Members(
    {
        "image": Text(),
        "runtimeName": Text(),
        "ready": INTEGER,
        "cpu": Number(),
        "memory": Text(),
        "disk": Text(),
        "forwardAuthorization": Flag(),
        "env": Table(Text(secret=True)),
        "probes": Items(PROBE),
        "faults": Items(Anything()),  # `faults` reads them: their members depend on the effect
    },
    closed=True,
)
DOCUMENT: Final = Members(
    {
        "name": Text(),
        "location": Text(),
        "tags": Table(Text()),
        "identity": Anything(),
        "properties": PROPERTIES,
        "x-emulator": OPTIONS,
        "subscription": Text(),
        "resourceGroup": Text(),
        "id": Text(),
        "type": ReadOnly(),
        "systemData": ReadOnly(),
        "etag": ReadOnly(),
        "apiVersion": ReadOnly(),
    }
)
