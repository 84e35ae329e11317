"""The control plane's door: which paths are its own, who may come in, and who answers."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from emulator import tracing
from emulator.errors import ServiceError, Unauthenticated
from emulator.http.answers import error_answer
from emulator.http.arm.access import Access
from emulator.http.arm.call import Call
from emulator.http.arm.catalog import ARM_VERSIONS, Catalog
from emulator.http.arm.control import ControlPlane
from emulator.http.arm.environments import Environments
from emulator.http.arm.errors import ArmError, unauthenticated, unauthorized
from emulator.http.arm.graph import Graph
from emulator.http.arm.groups import Groups
from emulator.http.arm.pools import Pools
from emulator.http.dispatch import Surface
from emulator.identity.audiences import Plane
from emulator.identity.principals import DEFAULT_CLIENT_ID, DEFAULT_OID, Principal, within
from emulator.identity.verify import Mode
from emulator.resources.rendering import parse_api_version

Handler = Callable[[Call], Awaitable[Response]]
Route = tuple[tuple[str, ...], dict[str, Handler]]

ROLES: Final = ("roleassignments", "roledefinitions")
AUTHORIZATION: Final = ["providers", "microsoft.authorization"]
GRAPH: Final = ["graph", "v1.0"]
READING: Final = ("GET", "HEAD")


class ArmSurface(Surface):
    """`/subscriptions/…`, `/tenants`, `/providers/Microsoft.*` and the bit of Graph below `/graph/v1.0`."""

    def __init__(self, control: ControlPlane) -> None:
        super().__init__(self._serve)
        self._control = control
        groups = Groups(control)
        pools, environments = Pools(control, groups), Environments(control, groups)

        async def remove_pools(group: str) -> None:
            for pool in control.registry.pools:
                if within(pool.spec.resource_id, group):
                    await pools.remove(pool.spec.key)

        groups.on_delete += [remove_pools, environments.remove_group]
        self._access = Access(control)
        catalog = Catalog(control, groups, pools, environments)
        self._routes = [
            *_pool_routes(pools),
            *_environment_routes(environments),
            *_group_routes(groups, catalog),
            *_catalog_routes(catalog, control),
            *_graph_routes(Graph(control)),
        ]

    def owns(self, segments: list[str]) -> bool:
        first = segments[0] if segments else ""
        if first == "subscriptions":
            # A pool's management endpoint has no `providers/Microsoft.App` in it; that is the data plane's.
            return not (segments[2:3] == ["resourcegroups"] and segments[4:5] == ["sessionpools"])
        if first == "providers":
            return segments[1:2] != [] and segments[1].startswith("microsoft.")
        return segments == ["tenants"] or segments[:2] == GRAPH

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ArmError(404, "NotFound", "The control plane has no WebSocket routes.")
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ServiceError as error:
            tracing.refused(error.true_reason, told=False)
            response = error_answer(error)
        number = str(uuid.uuid4())
        response.headers["x-ms-request-id"] = number
        response.headers["x-ms-correlation-request-id"] = (
            request.headers.get("x-ms-correlation-request-id") or number
        )
        response.headers.setdefault("api-supported-versions", ", ".join(reversed(ARM_VERSIONS)))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        raw = request.scope["raw_path"].decode("latin-1").split("?")[0]
        segments = tuple(unquote(part) for part in raw.split("/") if part)
        lower = [part.lower() for part in segments]
        principal = self._authenticate(request, lower)
        methods, names = self._match(segments, lower)
        handler = methods.get(request.method) or (methods.get("GET") if request.method == "HEAD" else None)
        if handler is None:
            message = f"The http method '{request.method}' is not supported for '{request.url.path}'."
            allowed = {"allow": ", ".join(methods)}
            raise ArmError(405, "MethodNotAllowed", message, headers=allowed)
        version = self._version(request, lower)
        base = f"{request.url.scheme}://{request.headers.get('host') or request.url.netloc}"
        call = Call(request, segments, names, base, version, principal)
        self._authorize(call, lower)
        return await handler(call)

    def _authenticate(self, request: Request, lower: list[str]) -> Principal:
        identity = self._control.identity
        authorization = request.headers.get("authorization")
        try:
            return identity.authenticate(authorization, Plane.ARM)
        except Unauthenticated as error:
            if lower[:2] == GRAPH and (error.reason or "").startswith("wrong audience"):
                # Its audience is the address under which the caller reaches it, so it can be any; and there
                # is but one local user.
                return Principal(DEFAULT_OID, DEFAULT_CLIENT_ID)
            raise unauthenticated(error.reason) from None

    def _authorize(self, call: Call, lower: list[str]) -> None:
        """Reading is for everyone who is known; changing needs a role that includes it."""
        identity = self._control.identity
        if call.method in READING or identity.mode is Mode.OFF or lower[:2] == GRAPH:
            return
        target = call.names.get("scope") or "/" + "/".join(call.segments)
        if not identity.principals.may_manage(call.principal, target):
            action = f"{'/'.join(call.segments[-3:-1])}/{'delete' if call.method == 'DELETE' else 'write'}"
            who = call.principal
            raise unauthorized(who.client_id or who.oid, who.oid, action, target)

    def _version(self, request: Request, lower: list[str]) -> str:
        given = next((v for k, v in request.query_params.items() if k.lower() == "api-version"), "")
        if lower[:2] == GRAPH or not self._control.strict:
            return given or ARM_VERSIONS[0]
        if not given:
            message = "The api-version query parameter (?api-version=) is required for all requests."
            raise ArmError(400, "MissingApiVersionParameter", message)
        if parse_api_version(given) is None:
            message = (
                f"The api-version '{given}' is invalid. The supported versions are "
                f"'{','.join(ARM_VERSIONS)}' and any other date."
            )
            raise ArmError(400, "InvalidApiVersionParameter", message)
        return given

    def _match(
        self, segments: tuple[str, ...], lower: list[str]
    ) -> tuple[dict[str, Handler], dict[str, str]]:
        for tail in (3, 4):  # …/providers/Microsoft.Authorization/<kind>[/<name>], at any scope
            found = lower[-tail:]
            if found[:2] == AUTHORIZATION and found[2:3] and found[2] in ROLES:
                names = {"scope": "/" + "/".join(segments[:-tail])}
                if tail == 4:
                    names["name"] = segments[-1]
                return self._role_methods(found[2], tail == 4), names
        for pattern, methods in self._routes:
            if len(pattern) == len(lower) and all(
                expected.startswith("{") or expected == part
                for expected, part in zip(pattern, lower, strict=True)
            ):
                named = zip(pattern, segments, strict=True)
                return methods, {name[1:-1]: value for name, value in named if name.startswith("{")}
        raise self._unknown(segments, lower)

    def _role_methods(self, kind: str, one: bool) -> dict[str, Handler]:
        access = self._access
        if kind == "roledefinitions":
            return {"GET": access.get_definition if one else access.list_definitions}
        return (
            {"GET": access.get, "PUT": access.put, "DELETE": access.delete} if one else {"GET": access.list}
        )

    def _unknown(self, segments: tuple[str, ...], lower: list[str]) -> ArmError:
        if "providers" in lower[:-2]:
            place = lower.index("providers") + 1
            message = (
                f"The resource type '{segments[place + 1]}' could not be found in the namespace "
                f"'{segments[place]}'. The emulator knows session pools and what belongs to them."
            )
            return ArmError(404, "InvalidResourceType", message)
        return ArmError(
            404, "NotFound", f"The emulator's control plane has nothing at '/{'/'.join(segments)}'."
        )


def _path(text: str) -> tuple[str, ...]:
    return tuple(part if part.startswith("{") else part.lower() for part in text.strip("/").split("/"))


def _pool_routes(pools: Pools) -> list[Route]:
    kind = "providers/Microsoft.App/sessionPools"
    one = f"subscriptions/{{subscription}}/resourceGroups/{{group}}/{kind}/{{name}}"
    return [
        (_path(f"subscriptions/{{subscription}}/{kind}"), {"GET": pools.list_subscription}),
        (_path(f"subscriptions/{{subscription}}/resourceGroups/{{group}}/{kind}"), {"GET": pools.list_group}),
        (_path(one), {"GET": pools.get, "PUT": pools.put, "PATCH": pools.patch, "DELETE": pools.delete}),
        (_path(f"{one}/fetchMcpServerCredentials"), {"POST": pools.fetch_mcp_credentials}),
        (_path(f"{one}/rotateMcpServerCredentials"), {"POST": pools.rotate_mcp_credentials}),
    ]


def _environment_routes(environments: Environments) -> list[Route]:
    kind = "providers/Microsoft.App/managedEnvironments"
    group = f"subscriptions/{{subscription}}/resourceGroups/{{group}}/{kind}"
    one: dict[str, Handler] = {
        "GET": environments.get,
        "PUT": environments.put,
        "PATCH": environments.patch,
        "DELETE": environments.delete,
    }
    return [
        (_path(f"subscriptions/{{subscription}}/{kind}"), {"GET": environments.list}),
        (_path(group), {"GET": environments.list}),
        (_path(f"{group}/{{name}}"), one),
    ]


def _group_routes(groups: Groups, catalog: Catalog) -> list[Route]:
    group = "subscriptions/{subscription}/resourceGroups"
    one: dict[str, Handler] = {
        "GET": groups.get,
        "HEAD": groups.head,
        "PUT": groups.put,
        "PATCH": groups.patch,
        "DELETE": groups.delete,
    }
    return [
        (_path(group), {"GET": groups.list}),
        (_path(f"{group}/{{group}}"), one),
        (_path(f"{group}/{{group}}/resources"), {"GET": catalog.resources}),
    ]


def _catalog_routes(catalog: Catalog, control: ControlPlane) -> list[Route]:
    provider = "subscriptions/{subscription}/providers/{namespace}"
    operation = "subscriptions/{subscription}/providers/Microsoft.App/locations/{location}"
    return [
        (_path("tenants"), {"GET": catalog.tenants}),
        (_path("subscriptions"), {"GET": catalog.subscriptions}),
        (_path("subscriptions/{subscription}"), {"GET": catalog.subscription}),
        (_path("subscriptions/{subscription}/locations"), {"GET": catalog.locations}),
        (_path("subscriptions/{subscription}/resources"), {"GET": catalog.resources}),
        (_path("subscriptions/{subscription}/providers"), {"GET": catalog.providers}),
        (_path(provider), {"GET": catalog.provider}),
        (_path(f"{provider}/register"), {"POST": catalog.provider}),
        (_path("providers/{namespace}"), {"GET": catalog.provider}),
        (_path("providers/Microsoft.App/operations"), {"GET": catalog.operations}),
        (_path(f"{operation}/operationStatuses/{{operation}}"), {"GET": control.operations.status}),
        (_path(f"{operation}/operationResults/{{operation}}"), {"GET": control.operations.result}),
    ]


def _graph_routes(graph: Graph) -> list[Route]:
    return [
        (_path("graph/v1.0/me"), {"GET": graph.me}),
        (_path("graph/v1.0/users"), {"GET": graph.users}),
        (_path("graph/v1.0/servicePrincipals"), {"GET": graph.service_principals}),
        (_path("graph/v1.0/servicePrincipals/{name}"), {"GET": graph.service_principal}),
        (_path("graph/v1.0/directoryObjects/getByIds"), {"POST": graph.by_ids}),
    ]
