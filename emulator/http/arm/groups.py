"""Resource groups: made by `az group create`, or by the first pool that names one."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from emulator.http.arm.call import Call, answer, empty, text
from emulator.http.arm.control import ControlPlane
from emulator.http.arm.errors import ArmError, group_not_found
from emulator.identity.principals import within
from emulator.resources.regions import normal_name

NAME = re.compile(r"[\w().-]{0,89}[\w()-]")


class Groups:
    """`on_delete`: what else to remove with a group, given its id; awaited one after the other."""

    def __init__(self, control: ControlPlane) -> None:
        self._control = control
        self.on_delete: list[Callable[[str], Awaitable[None]]] = []

    def exists(self, subscription: str, group: str) -> bool:
        return self._find(subscription, group) is not None

    def location(self, subscription: str, group: str) -> str | None:
        found = self._find(subscription, group)
        return str(found["location"]) if found else None

    def ensure(self, subscription: str, group: str, location: str) -> None:
        """⚑ Azure answers 404 where the group is missing; here a client needs no other tool to make one."""
        if not self.exists(subscription, group):
            self._keep(subscription, group, location, {})

    def subscriptions(self) -> list[str]:
        """Every subscription something of is known, in the order it came."""
        found = [str(entry["subscription"]) for entry in self._kept.values()]
        found += [pool.spec.subscription for pool in self._control.registry.pools]
        return list({one.lower(): one for one in reversed(found)}.values())[::-1]

    @property
    def _kept(self) -> dict[str, Any]:
        return self._control.state.section("groups")

    def _find(self, subscription: str, group: str) -> dict[str, Any] | None:
        kept: dict[str, Any] | None = self._kept.get(group_id(subscription, group).lower())
        if kept is not None:
            return kept
        for pool in self._control.registry.pools:
            spec = pool.spec
            same = spec.subscription.lower() == subscription.lower()
            if same and spec.resource_group.lower() == group.lower():
                return _entry(spec.subscription, spec.resource_group, spec.location, {})
        return None

    def _keep(self, subscription: str, group: str, location: str, tags: Any) -> dict[str, Any]:
        entry = _entry(subscription, group, location, tags)
        self._kept[group_id(subscription, group).lower()] = entry
        return entry

    # -- handlers ----------------------------------------------------------------------------------------

    async def list(self, call: Call) -> Response:
        names = {str(entry["name"]).lower(): str(entry["name"]) for entry in self._kept.values()}
        for pool in self._control.registry.pools:
            names.setdefault(pool.spec.resource_group.lower(), pool.spec.resource_group)
        found = [self._find(call.subscription, name) for name in names.values()]
        tag = re.fullmatch(
            r"tagName eq '([^']*)'(?: and tagValue eq '([^']*)')?",
            call.request.query_params.get("$filter", ""),
            re.IGNORECASE,
        )
        rendered = [_render(entry) for entry in found if entry is not None]
        if tag is not None:
            rendered = [
                one for one in rendered if tag[1] in one["tags"] and tag[2] in (None, one["tags"][tag[1]])
            ]
        return answer({"value": rendered})

    async def get(self, call: Call) -> Response:
        found = self._find(call.subscription, call.group)
        if found is None:
            raise group_not_found(call.group)
        return answer(_render(found))

    async def head(self, call: Call) -> Response:
        return empty(204 if self.exists(call.subscription, call.group) else 404)

    async def put(self, call: Call) -> Response:
        body = await call.read()
        held = self._find(call.subscription, call.group)
        location = text(body, "location") or (held["location"] if held else "")
        if not location:
            message = "The location property is required for this definition."
            raise ArmError(400, "LocationRequired", message, target="location")
        if not NAME.fullmatch(call.group):
            message = (
                f"The provided resource group name '{call.group}' has these invalid characters or length."
            )
            raise ArmError(400, "InvalidResourceGroup", message)
        if held and normal_name(held["location"]) not in (normal_name(location), "local"):
            message = (
                f"Invalid resource group location '{location}'. The Resource group already exists in "
                f"location '{held['location']}'."
            )
            raise ArmError(409, "InvalidResourceGroupLocation", message)
        name = held["name"] if held else call.group
        entry = self._keep(call.subscription, name, location, body.get("tags") or {})
        await self._control.state.save()
        return answer(_render(entry), 200 if held else 201)

    async def patch(self, call: Call) -> Response:
        held = self._find(call.subscription, call.group)
        if held is None:
            raise group_not_found(call.group)
        body = await call.read()
        tags = body["tags"] if isinstance(body.get("tags"), dict) else held["tags"]
        entry = self._keep(call.subscription, held["name"], held["location"], tags)
        await self._control.state.save()
        return answer(_render(entry))

    async def delete(self, call: Call) -> Response:
        held = self._find(call.subscription, call.group)
        if held is None:
            raise group_not_found(call.group)
        operation = self._control.operations.start(
            "resourceGroups",
            call.subscription,
            held["location"],
            lambda _: empty(200),
            lambda: self._remove(group_id(held["subscription"], held["name"])),
        )
        return empty(202, self._control.operations.headers(call, operation, "location"))

    async def _remove(self, group: str) -> None:
        for remove in self.on_delete:
            await remove(group)
        principals = self._control.identity.principals
        for one in principals.assignments:
            if within(one.scope, group):
                principals.remove(one.id)
        self._kept.pop(group.lower(), None)
        await self._control.keep_assignments()


def group_id(subscription: str, group: str) -> str:
    return f"/subscriptions/{subscription}/resourceGroups/{group}"


def _entry(subscription: str, name: str, location: str, tags: Any) -> dict[str, Any]:
    kept = dict(tags) if isinstance(tags, dict) else {}
    return {"subscription": subscription, "name": name, "location": normal_name(location), "tags": kept}


def _render(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": group_id(entry["subscription"], entry["name"]),
        "name": entry["name"],
        "type": "Microsoft.Resources/resourceGroups",
        "location": entry["location"],
        "tags": entry["tags"],
        "properties": {"provisioningState": "Succeeded"},
    }
