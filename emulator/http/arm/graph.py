"""The few lines of Microsoft Graph that `az` asks for on the way: who am I, who is that."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from emulator.http.arm.call import Call, answer
from emulator.http.arm.control import ControlPlane
from emulator.http.arm.errors import ArmError
from emulator.identity.principals import Registered

_QUOTED = re.compile(r"'([^']*)'")


class Graph:
    """Handlers; every known principal is a service principal, the caller also answers as `me`."""

    def __init__(self, control: ControlPlane) -> None:
        self._principals = control.identity.principals

    async def me(self, call: Call) -> Response:
        known = self._principals.find(oid=call.principal.oid)
        name = known.name if known else call.principal.name or call.principal.oid
        return answer(
            {
                "@odata.context": f"{call.base}/graph/v1.0/$metadata#users/$entity",
                "@odata.type": "#microsoft.graph.user",
                "id": call.principal.oid,
                "displayName": name,
                "userPrincipalName": "user@localhost",
            }
        )

    async def service_principals(self, call: Call) -> Response:
        """`$filter`: any name or id in quotes that a principal has."""
        asked = {value.lower() for value in _QUOTED.findall(call.request.query_params.get("$filter", ""))}
        found = [
            one
            for one in self._all()
            if not asked or asked & {one.client_id.lower(), one.oid.lower(), one.name.lower()}
        ]
        return answer({"value": [_render(one) for one in found]})

    async def service_principal(self, call: Call) -> Response:
        asked = call.names["name"].lower()
        for one in self._all():
            if one.oid.lower() == asked:
                return answer(_render(one))
        message = f"Resource '{call.names['name']}' does not exist."
        raise ArmError(404, "Request_ResourceNotFound", message)

    def _all(self) -> list[Registered]:
        """Known principals, and those that are known by a role assignment only."""
        found = {one.oid.lower(): one for one in self._principals.known}
        for assignment in self._principals.assignments:
            oid = assignment.principal_id
            found.setdefault(oid.lower(), Registered(oid, oid, oid))
        return list(found.values())

    async def users(self, _: Call) -> Response:
        return answer({"value": []})

    async def by_ids(self, call: Call) -> Response:
        ids = (await call.read()).get("ids")
        asked = {str(one).lower() for one in ids} if isinstance(ids, list) else set()
        return answer({"value": [_render(one) for one in self._all() if one.oid.lower() in asked]})


def _render(one: Registered) -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.servicePrincipal",
        "id": one.oid,
        "appId": one.client_id,
        "displayName": one.name,
        "servicePrincipalNames": [one.client_id],
        "servicePrincipalType": "Application",
    }
