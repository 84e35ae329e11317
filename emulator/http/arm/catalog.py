"""What is simply there: tenants, subscriptions, providers, locations, and the list of all resources."""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.responses import Response

from emulator.http.arm.call import Call, answer
from emulator.http.arm.control import ControlPlane
from emulator.http.arm.environments import Environments
from emulator.http.arm.errors import ArmError, group_not_found
from emulator.http.arm.groups import Groups
from emulator.http.arm.pools import Pools
from emulator.resources.model import DEFAULT_SUBSCRIPTION
from emulator.resources.regions import DISPLAY_NAMES, normal_name

ARM_VERSIONS: Final = (
    "2026-07-01",
    "2026-01-01",
    "2025-10-02-preview",
    "2025-07-01",
    "2025-02-02-preview",
    "2025-01-01",
    "2024-10-02-preview",
    "2024-08-02-preview",
    "2024-02-02-preview",
    "2023-11-02-preview",
    "2023-08-01-preview",
)
_PROVIDERS: Final[dict[str, tuple[str, ...]]] = {
    "Microsoft.App": (
        "sessionPools",
        "managedEnvironments",
        "operations",
        "locations",
        "locations/operationResults",
        "locations/operationStatuses",
    ),
    "Microsoft.Authorization": ("roleAssignments", "roleDefinitions"),
    "Microsoft.Resources": ("resourceGroups", "subscriptions", "tenants"),
    "Microsoft.OperationalInsights": ("workspaces",),
    "Microsoft.ContainerRegistry": ("registries",),
    "Microsoft.ManagedIdentity": ("userAssignedIdentities",),
}
_EQUAL = re.compile(r"(\w+)\s+eq\s+'((?:[^']|'')*)'", re.IGNORECASE)


class Catalog:
    """Handlers."""

    def __init__(
        self, control: ControlPlane, groups: Groups, pools: Pools, environments: Environments
    ) -> None:
        self._control = control
        self._groups = groups
        self._pools = pools
        self._environments = environments

    # -- subscriptions and tenants -----------------------------------------------------------------------

    def _subscription(self, subscription: str) -> dict[str, Any]:
        return {
            "id": f"/subscriptions/{subscription}",
            "subscriptionId": subscription,
            "tenantId": self._control.identity.tenant,
            "displayName": "Dynamic Sessions Emulator",
            "state": "Enabled",
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
            "subscriptionPolicies": {
                "locationPlacementId": "Public_2014-09-01",
                "quotaId": "PayAsYouGo_2014-09-01",
                "spendingLimit": "Off",
            },
        }

    async def subscriptions(self, _: Call) -> Response:
        known = {one.lower(): one for one in (DEFAULT_SUBSCRIPTION, *self._groups.subscriptions())}
        value = [self._subscription(one) for one in known.values()]
        return answer({"value": value, "count": {"type": "Total", "value": len(value)}})

    async def subscription(self, call: Call) -> Response:
        return answer(self._subscription(call.subscription))

    async def tenants(self, _: Call) -> Response:
        tenant = self._control.identity.tenant
        one = {
            "id": f"/tenants/{tenant}",
            "tenantId": tenant,
            "tenantCategory": "Home",
            "displayName": "Dynamic Sessions Emulator",
            "defaultDomain": "localhost",
            "countryCode": "",
            "domains": ["localhost"],
        }
        return answer({"value": [one]})

    async def locations(self, call: Call) -> Response:
        return answer(
            {
                "value": [
                    {
                        "id": f"/subscriptions/{call.subscription}/locations/{normal_name(name)}",
                        "name": normal_name(name),
                        "type": "Region",
                        "displayName": name,
                        "regionalDisplayName": name,
                        "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
                    }
                    for name in self._regions()
                ]
            }
        )

    def _regions(self) -> list[str]:
        known = {normal_name(name): name for name in DISPLAY_NAMES}
        for pool in self._control.registry.pools:
            known.setdefault(normal_name(pool.spec.location), pool.spec.location)
        return list(known.values())

    # -- providers ---------------------------------------------------------------------------------------

    async def providers(self, call: Call) -> Response:
        return answer({"value": [self._provider(call, name) for name in _PROVIDERS]})

    async def provider(self, call: Call) -> Response:
        """GET, and POST register: everything is registered always."""
        asked = call.names["namespace"]
        for name in _PROVIDERS:
            if name.lower() == asked.lower():
                return answer(self._provider(call, name))
        raise ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{asked}' is invalid.")

    def _provider(self, call: Call, name: str) -> dict[str, Any]:
        prefix = f"/subscriptions/{call.subscription}" if "subscription" in call.names else ""
        regions = self._regions()
        return {
            "id": f"{prefix}/providers/{name}",
            "namespace": name,
            "registrationState": "Registered",
            "registrationPolicy": "RegistrationRequired",
            "resourceTypes": [
                {
                    "resourceType": kind,
                    "locations": regions,
                    "apiVersions": list(ARM_VERSIONS),
                    "defaultApiVersion": ARM_VERSIONS[1],
                    "capabilities": "SupportsTags, SupportsLocation",
                }
                for kind in _PROVIDERS[name]
            ],
        }

    async def operations(self, _: Call) -> Response:
        names = [f"Microsoft.App/{kind}" for kind in ("sessionPools", "managedEnvironments")]
        verbs = ("read", "write", "delete")
        return answer(
            {"value": [{"name": f"{name}/{verb}", "isDataAction": False} for name in names for verb in verbs]}
        )

    # -- every resource ----------------------------------------------------------------------------------

    async def resources(self, call: Call) -> Response:
        """`$filter`: resourceGroup, resourceType, name, location with eq and and; the rest is ignored."""
        scope, group = f"/subscriptions/{call.subscription}", call.names.get("group")
        if group is not None:
            if not self._groups.exists(call.subscription, group):
                raise group_not_found(group)
            scope += f"/resourceGroups/{group}"
        found = [self._pools.render(call, pool) for pool in self._pools.of(call.subscription, group)]
        found += self._environments.of(scope)
        wanted = {
            name.lower(): value.replace("''", "'").lower()
            for name, value in _EQUAL.findall(call.request.query_params.get("$filter", ""))
        }
        kept = ("id", "name", "type", "location", "tags", "identity", "systemData")
        return answer(
            {
                "value": [
                    {key: one[key] for key in kept if key in one} for one in found if _matches(one, wanted)
                ]
            }
        )


def _matches(resource: dict[str, Any], wanted: dict[str, str]) -> bool:
    group = resource["id"].split("/")[4]
    have = {
        "resourcegroup": group.lower(),
        "resourcetype": resource["type"].lower(),
        "name": resource["name"].lower(),
        "location": normal_name(resource["location"]),
    }
    return all(
        name not in have or have[name] == (normal_name(value) if name == "location" else value)
        for name, value in wanted.items()
    )
