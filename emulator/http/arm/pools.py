"""`Microsoft.App/sessionPools`: pools of files and pools made here are the same pools."""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from emulator.http.answers import header_text
from emulator.http.arm.call import Call, answer, empty
from emulator.http.arm.control import ControlPlane
from emulator.http.arm.errors import ArmError, group_not_found, invalid_document, resource_not_found
from emulator.http.arm.groups import Groups
from emulator.http.arm.operations import Operation
from emulator.pool.pool import Pool
from emulator.resources.document import parse_pool
from emulator.resources.model import DEFAULT_LOCATION, SessionPool
from emulator.resources.patch import merge_patch
from emulator.resources.problems import PoolDocumentError
from emulator.resources.regions import normal_name
from emulator.resources.rendering import render_pool

log = logging.getLogger("emulator.arm")

TYPE = "Microsoft.App/sessionPools"
WARNING = "x-emulator-warning"


class Pools:
    """Handlers of the resource and its lists."""

    def __init__(self, control: ControlPlane, groups: Groups) -> None:
        self._control = control
        self._groups = groups
        self._changing: dict[str, Operation] = {}

    # -- reading -----------------------------------------------------------------------------------------

    async def get(self, call: Call) -> Response:
        pool = self._find(call)
        return answer(self.render(call, pool), headers={"etag": self._etag(pool)})

    async def list_group(self, call: Call) -> Response:
        if not self._groups.exists(call.subscription, call.group):
            raise group_not_found(call.group)
        return answer({"value": [self.render(call, pool) for pool in self.of(call.subscription, call.group)]})

    async def list_subscription(self, call: Call) -> Response:
        return answer({"value": [self.render(call, pool) for pool in self.of(call.subscription)]})

    def of(self, subscription: str, group: str | None = None) -> list[Pool]:
        """Pools of a subscription or of one of its groups."""
        return [
            pool
            for pool in self._control.registry.pools
            if pool.spec.subscription.lower() == subscription.lower()
            and (group is None or pool.spec.resource_group.lower() == group.lower())
        ]

    def render(self, call: Call, pool: Pool, state: str | None = None) -> dict[str, Any]:
        spec = pool.spec
        return render_pool(
            spec,
            api_version=call.version,
            endpoint=call.base + spec.endpoint_path,
            provisioning_state=state or self._state(pool),
            system_data=self._control.stamp(spec.key),
            principal_id=str(uuid.uuid5(uuid.NAMESPACE_URL, spec.key)),
            tenant_id=self._control.identity.tenant,
        )

    def _state(self, pool: Pool) -> str:
        key = pool.spec.key
        if key in self._control.deleting:
            return "Deleting"
        operation = self._changing.get(key)
        if operation is not None and not operation.done:
            return "InProgress"
        self._changing.pop(key, None)
        return "Failed" if pool.failure is not None else "Succeeded"

    def _etag(self, pool: Pool) -> str:
        stamp = self._control.stamp(pool.spec.key)
        content = json.dumps([pool.spec.key, dict(pool.spec.document), stamp], sort_keys=True, default=str)
        return f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'

    def _key(self, call: Call) -> str:
        group = f"/subscriptions/{call.subscription}/resourceGroups/{call.group}"
        return f"{group}/providers/Microsoft.App/sessionPools/{call.names['name']}".lower()

    def _find(self, call: Call) -> Pool:
        pool = self._control.registry.get(self._key(call))
        if pool is not None:
            return pool
        if not self._groups.exists(call.subscription, call.group):
            raise group_not_found(call.group)
        raise resource_not_found(TYPE, call.names["name"], call.group)

    # -- writing -----------------------------------------------------------------------------------------

    async def put(self, call: Call) -> Response:
        body = await call.read()
        existing = self._control.registry.get(self._key(call))
        call.check_match(self._etag(existing) if existing else None)
        self._refuse_while_deleting(call)
        held = existing.spec if existing else None
        group = self._groups.location(call.subscription, call.group)
        spec = self._parse(
            body,
            held,
            name=held.name if held else call.names["name"],
            subscription=held.subscription if held else call.subscription,
            resource_group=held.resource_group if held else call.group,
            location=None if self._control.strict else group,
            previous=held,
        )
        if held is not None:
            spec = self._keep_fixed(held, spec)
        self._groups.ensure(spec.subscription, spec.resource_group, spec.location)
        return await self._apply(call, spec, 201 if held is None else 200)

    async def patch(self, call: Call) -> Response:
        pool = self._find(call)
        body = await call.read()
        call.check_match(self._etag(pool))
        self._refuse_while_deleting(call)
        held = pool.spec
        try:
            merged = merge_patch(held.document, body, where="")
        except PoolDocumentError as error:
            raise invalid_document(error) from None
        spec = self._parse(
            merged,
            held,
            name=held.name,
            subscription=held.subscription,
            resource_group=held.resource_group,
            location=held.location,
        )
        return await self._apply(call, spec, 202)

    def _parse(self, document: dict[str, Any], held: SessionPool | None, **who: Any) -> SessionPool:
        # A pool file may leave Azure's ranges on purpose (a cooldown of one second); a later change over ARM
        # is then not held to them either.
        enforce = held is None or self._within_ranges(held)
        try:
            return parse_pool(document, where="", strict=self._control.strict, enforce_ranges=enforce, **who)
        except PoolDocumentError as error:
            raise invalid_document(error) from None

    def _within_ranges(self, held: SessionPool) -> bool:
        try:
            parse_pool(held.document, where="", strict=self._control.strict, enforce_ranges=True)
        except PoolDocumentError:
            return False
        return True

    def _keep_fixed(self, held: SessionPool, spec: SessionPool) -> SessionPool:
        """What a PUT may not change. Raises 409 for another location, 400 for another type."""
        if held.container_type is not spec.container_type:
            message = (
                f"properties.containerType of pool '{held.name}' is {held.container_type} and cannot become "
                f"{spec.container_type}; delete the pool first."
            )
            target = "properties.containerType"
            raise ArmError(400, "SessionPoolPropertyNotUpdatable", message, target=target)
        if normal_name(held.location) == normal_name(spec.location) or held.location == DEFAULT_LOCATION:
            return spec
        if not self._control.strict:
            return replace(spec, location=held.location)
        message = (
            f"The resource '{held.name}' already exists in location '{normal_name(held.location)}' in "
            f"resource group '{held.resource_group}'. A resource with the same name cannot be created in "
            f"location '{normal_name(spec.location)}'. Please select a new resource name."
        )
        raise ArmError(409, "InvalidResourceLocation", message)

    def _refuse_while_deleting(self, call: Call) -> None:
        if self._key(call) in self._control.deleting:
            message = f"Session pool '{call.names['name']}' is being deleted."
            raise ArmError(409, "Conflict", message)

    async def _apply(self, call: Call, spec: SessionPool, status: int) -> Response:
        """`status`: 201 for a new pool, 200 for a replaced one, 202 for a patched one."""
        control = self._control
        control.remember(spec, call)
        await control.registry.put(spec)
        await control.state.save()
        pool = control.registry.get(spec.key)
        assert pool is not None  # noqa: S101 - just put
        headers = {"etag": self._etag(pool)}
        if spec.warnings:
            headers[WARNING] = header_text(" | ".join(spec.warnings))
            log.warning("pool %s: %s", spec.name, "; ".join(spec.warnings))
        operations = control.operations
        # Recorded: a new PythonLTS pool is 200 and Succeeded at once; documented: a custom one is 201 and
        # InProgress.
        slow = operations.delay > 0
        if not slow and (status != 201 or spec.container_type.built_in):
            return answer(self.render(call, pool), 200, headers)
        operation = operations.start(
            "sessionPools",
            spec.subscription,
            spec.location,
            lambda later: answer(self.render(later, pool, "Succeeded")),
        )
        self._changing[spec.key] = operation
        kinds = ("azure-asyncoperation", "location") if status == 202 else ("azure-asyncoperation",)
        headers |= operations.headers(call, operation, *kinds)
        return answer(self.render(call, pool, "InProgress"), status, headers)

    async def delete(self, call: Call) -> Response:
        key = self._key(call)
        pool = self._control.registry.get(key)
        if pool is None:
            return empty(204)
        call.check_match(self._etag(pool))
        control, spec = self._control, pool.spec
        if key in control.deleting:
            raise ArmError(409, "Conflict", f"Session pool '{spec.name}' is being deleted.")
        control.deleting.add(key)
        operation = control.operations.start(
            "sessionPools", spec.subscription, spec.location, lambda _: empty(204), lambda: self.remove(key)
        )
        return empty(202, control.operations.headers(call, operation, "location"))

    async def remove(self, key: str) -> None:
        """The pool, its containers and what is kept of it."""
        try:
            self._control.forget(key)
            await self._control.state.save()
            await self._control.registry.delete(key)
        finally:
            self._control.deleting.discard(key)

    # -- MCP credentials ---------------------------------------------------------------------------------

    async def fetch_mcp_credentials(self, call: Call) -> Response:
        return answer({"apiKey": self._control.mcp_keys.fetch(self._with_mcp(call))})

    async def rotate_mcp_credentials(self, call: Call) -> Response:
        return answer({"apiKey": self._control.mcp_keys.rotate(self._with_mcp(call))})

    def _with_mcp(self, call: Call) -> str:
        pool = self._find(call)
        if not pool.spec.mcp_enabled:
            message = f"Session pool '{pool.spec.name}' does not have MCP Server enabled."
            raise ArmError(400, "SessionMCPServerNotEnabled", message)
        return pool.spec.key
