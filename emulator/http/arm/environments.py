"""`Microsoft.App/managedEnvironments`: made, shown and deleted; nothing runs in one."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from typing import Any

from starlette.responses import Response

from emulator.http.arm.call import Call, answer, empty, text
from emulator.http.arm.control import ControlPlane
from emulator.http.arm.errors import ArmError, resource_not_found
from emulator.http.arm.groups import Groups
from emulator.identity.principals import within
from emulator.resources.regions import display_name, normal_name
from emulator.resources.rendering import system_data

TYPE = "Microsoft.App/managedEnvironments"


class Environments:
    """Handlers of the resource and its lists."""

    def __init__(self, control: ControlPlane, groups: Groups) -> None:
        self._control = control
        self._groups = groups

    @property
    def _kept(self) -> dict[str, Any]:
        return self._control.state.section("environments")

    def of(self, scope: str) -> list[dict[str, Any]]:
        """Rendered environments at or below `scope`."""
        return [_render(entry) for entry in self._kept.values() if within(entry["id"], scope)]

    async def list(self, call: Call) -> Response:
        scope = f"/subscriptions/{call.subscription}"
        if "group" in call.names:
            scope += f"/resourceGroups/{call.group}"
        return answer({"value": self.of(scope)})

    async def get(self, call: Call) -> Response:
        return answer(_render(self._find(call)))

    def _find(self, call: Call) -> dict[str, Any]:
        entry: dict[str, Any] | None = self._kept.get(_id(call).lower())
        if entry is None:
            raise resource_not_found(TYPE, call.names["name"], call.group)
        return entry

    async def put(self, call: Call) -> Response:
        body = await call.read()
        location = text(body, "location")
        if not location:
            message = "The location property is required for this definition."
            raise ArmError(400, "LocationRequired", message, target="location")
        held = self._kept.get(_id(call).lower())
        now, (who, kind) = self._control.clock.now(), call.who
        entry = {
            "id": held["id"] if held else _id(call),
            "name": call.names["name"],
            "location": location,
            "tags": body.get("tags") if isinstance(body.get("tags"), dict) else {},
            "properties": _without_secrets(body.get("properties")),
            "createdAt": held["createdAt"] if held else now,
            "createdBy": held["createdBy"] if held else who,
            "modifiedAt": now,
            "modifiedBy": who,
            "kind": kind,
        }
        self._kept[_id(call).lower()] = entry
        self._groups.ensure(call.subscription, call.group, location)
        await self._control.state.save()
        if held:
            return answer(_render(entry))
        operations = self._control.operations
        operation = operations.start(
            "managedEnvironments", call.subscription, location, lambda _: answer(_render(entry))
        )
        headers = operations.headers(call, operation, "azure-asyncoperation")
        return answer(_render(entry, "Succeeded" if operations.delay == 0 else "InProgress"), 201, headers)

    async def patch(self, call: Call) -> Response:
        entry = self._find(call)
        body = await call.read()
        if isinstance(body.get("tags"), dict):
            entry["tags"] = body["tags"]
        entry["properties"] = {**entry["properties"], **_without_secrets(body.get("properties"))}
        entry["modifiedAt"], entry["modifiedBy"] = self._control.clock.now(), call.who[0]
        await self._control.state.save()
        return answer(_render(entry))

    async def delete(self, call: Call) -> Response:
        key = _id(call).lower()
        entry = self._kept.get(key)
        if entry is None:
            return empty(204)

        async def work() -> None:
            self._kept.pop(key, None)
            await self._control.state.save()

        operations = self._control.operations
        operation = operations.start(
            "managedEnvironments", call.subscription, entry["location"], lambda _: empty(204), work
        )
        return empty(202, operations.headers(call, operation, "location"))

    async def remove_group(self, group: str) -> None:
        for key, entry in list(self._kept.items()):
            if within(entry["id"], group):
                del self._kept[key]


def _id(call: Call) -> str:
    group = f"/subscriptions/{call.subscription}/resourceGroups/{call.group}"
    return f"{group}/providers/Microsoft.App/managedEnvironments/{call.names['name']}"


def _without_secrets(properties: Any) -> dict[str, Any]:
    kept: dict[str, Any] = deepcopy(properties) if isinstance(properties, dict) else {}
    analytics = kept.get("appLogsConfiguration")
    if isinstance(analytics, dict) and isinstance(analytics.get("logAnalyticsConfiguration"), dict):
        analytics["logAnalyticsConfiguration"].pop("sharedKey", None)
    for name in ("daprAIInstrumentationKey", "daprAIConnectionString"):
        kept.pop(name, None)
    return kept


def _render(entry: dict[str, Any], state: str = "Succeeded") -> dict[str, Any]:
    unique = hashlib.sha256(entry["id"].lower().encode()).hexdigest()[:8]
    region = normal_name(entry["location"])
    return {
        "id": entry["id"],
        "name": entry["name"],
        "type": TYPE,
        "location": display_name(entry["location"]),
        "tags": entry["tags"],
        "systemData": system_data(
            entry["createdAt"],
            entry["modifiedAt"],
            created_by=entry["createdBy"],
            modified_by=entry["modifiedBy"],
            kind=entry["kind"],
        ),
        "properties": {
            "zoneRedundant": False,
            **entry["properties"],
            "provisioningState": state,
            "defaultDomain": f"local-{unique}.{region}.azurecontainerapps.io",
            "staticIp": "203.0.113.10",
            "deploymentErrors": None,
        },
    }
