"""`Microsoft.Authorization`: role assignments that the data plane honours, and the roles there are."""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.responses import Response

from emulator.http.arm.call import Call, answer, empty, moment, text
from emulator.http.arm.control import ControlPlane
from emulator.http.arm.errors import ArmError
from emulator.identity.principals import EXECUTOR_ROLE_ID, ROLE_DEFINITIONS, Assignment, within

ASSIGNMENTS: Final = "Microsoft.Authorization/roleAssignments"
DEFINITIONS: Final = "Microsoft.Authorization/roleDefinitions"
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CONDITION = re.compile(r"(\w+)\s*(?:eq|\()\s*'([^']*)'\)?", re.IGNORECASE)


class Access:
    """Handlers; `call.names` holds `scope` (a resource id, "/" for everything) and perhaps `name`."""

    def __init__(self, control: ControlPlane) -> None:
        self._control = control
        self._principals = control.identity.principals

    # -- assignments -------------------------------------------------------------------------------------

    def _id(self, call: Call) -> str:
        return f"{call.names['scope'].rstrip('/')}/providers/{ASSIGNMENTS}/{call.names['name']}"

    async def list(self, call: Call) -> Response:
        scope, (conditions, only_above) = call.names["scope"], _filter(call)
        principal = conditions.get("principalid") or conditions.get("assignedto")
        found = [
            one
            for one in self._principals.assignments
            if (within(scope, one.scope) or (not only_above and within(one.scope, scope)))
            and (principal is None or one.principal_id.lower() == principal.lower())
        ]
        return answer({"value": [_render(one, call) for one in found], "nextLink": None})

    async def get(self, call: Call) -> Response:
        found = self._principals.get(self._id(call))
        if found is None:
            message = f"The role assignment '{call.names['name']}' is not found."
            raise ArmError(404, "RoleAssignmentNotFound", message)
        return answer(_render(found, call))

    async def put(self, call: Call) -> Response:
        body, name, scope = await call.read(), call.names["name"], call.names["scope"]
        if not _GUID.fullmatch(name):
            message = f"The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."
            raise ArmError(400, "InvalidRoleAssignmentId", message)
        role = text(body, "properties", "roleDefinitionId").rstrip("/").rsplit("/", 1)[-1].lower()
        principal = text(body, "properties", "principalId")
        if not role or not principal:
            missing = "principalId" if role else "roleDefinitionId"
            message = f"The request content has no properties.{missing}."
            raise ArmError(400, "InvalidRequestContent", message, target=f"properties.{missing}")
        if role not in ROLE_DEFINITIONS:
            message = f"The specified role definition with ID '{role}' does not exist."
            raise ArmError(400, "RoleDefinitionDoesNotExist", message)
        held = self._principals.get(self._id(call))
        if held is not None and (held.principal_id.lower(), held.role_id) != (principal.lower(), role):
            message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
            raise ArmError(400, "RoleAssignmentUpdateNotPermitted", message)
        kind = text(body, "properties", "principalType") or "ServicePrincipal"
        made = self._principals.assign(principal, scope, role_id=role, name=name, principal_type=kind)
        if made.name.lower() != name.lower():
            message = (
                "The role assignment already exists. The ID of the conflicting role assignment is "
                f"{made.name.replace('-', '')}."
            )
            raise ArmError(409, "RoleAssignmentExists", message)
        await self._control.keep_assignments()
        return answer(_render(made, call), 200 if held else 201)

    async def delete(self, call: Call) -> Response:
        removed = self._principals.remove(self._id(call))
        if removed is None:
            return empty(204)
        await self._control.keep_assignments()
        return answer(_render(removed, call))

    # -- definitions -------------------------------------------------------------------------------------

    async def list_definitions(self, call: Call) -> Response:
        conditions, _ = _filter(call)
        name = conditions.get("rolename")
        return answer(
            {
                "value": [
                    _definition(call, role)
                    for role, title in ROLE_DEFINITIONS.items()
                    if name is None or title.lower() == name.lower()
                ]
            }
        )

    async def get_definition(self, call: Call) -> Response:
        role = call.names["name"].lower()
        if role not in ROLE_DEFINITIONS:
            message = f"The specified role definition with ID '{role}' does not exist."
            raise ArmError(404, "RoleDefinitionDoesNotExist", message)
        return answer(_definition(call, role))


def _filter(call: Call) -> tuple[dict[str, str], bool]:
    """`$filter` as conditions by lower-case name, and whether it says atScope()."""
    given = call.request.query_params.get("$filter", "")
    conditions = {name.lower(): value for name, value in _CONDITION.findall(given)}
    return conditions, "atscope()" in given.lower()


def _role_id(scope: str, role: str) -> str:
    parts = scope.strip("/").split("/")
    prefix = f"/subscriptions/{parts[1]}" if parts[0].lower() == "subscriptions" and len(parts) > 1 else ""
    return f"{prefix}/providers/{DEFINITIONS}/{role}"


def _render(one: Assignment, call: Call) -> dict[str, Any]:
    created = moment(max(one.created_at, 0.0))
    return {
        "id": one.id,
        "name": one.name,
        "type": ASSIGNMENTS,
        "properties": {
            "roleDefinitionId": _role_id(
                one.scope if one.scope.strip("/") else call.names["scope"], one.role_id
            ),
            "principalId": one.principal_id,
            "principalType": one.principal_type,
            "scope": one.scope,
            "condition": None,
            "conditionVersion": None,
            "createdOn": created,
            "updatedOn": created,
            "createdBy": None,
            "updatedBy": None,
            "delegatedManagedIdentityResourceId": None,
            "description": None,
        },
    }


def _definition(call: Call, role: str) -> dict[str, Any]:
    executes = ["Microsoft.App/sessionPools/interpreters/execute/action"] if role == EXECUTOR_ROLE_ID else []
    return {
        "id": _role_id(call.names["scope"], role),
        "name": role,
        "type": DEFINITIONS,
        "properties": {
            "roleName": ROLE_DEFINITIONS[role],
            "type": "BuiltInRole",
            "description": f"Built-in role {ROLE_DEFINITIONS[role]}, as far as the emulator knows it.",
            "assignableScopes": ["/"],
            "permissions": [{"actions": [], "notActions": [], "dataActions": executes, "notDataActions": []}],
        },
    }
