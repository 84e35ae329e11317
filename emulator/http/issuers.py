"""Token issuers: managed identity, the virtual machine's metadata service, discovery; OAuth2 is in `oauth`.

Any client library gets a token here offline, for any audience; what the token may do is up to its roles.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from emulator.errors import MethodNotAllowed, RouteNotFound
from emulator.http.dispatch import Surface
from emulator.http.oauth import OAuth
from emulator.identity.issuers import (
    imds_answer,
    instance_discovery,
    jwks,
    managed_identity_answer,
    openid_configuration,
)
from emulator.identity.service import Identity
from emulator.identity.tokens import Minted

Handler = Callable[[Request, str], Awaitable[Response]]

NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache"}


def base_url(request: Request) -> str:
    """Scheme and host as this caller reaches the emulator."""
    return f"{request.url.scheme}://{request.headers.get('host') or request.url.netloc}"


class IssuerSurface(Surface):
    """`identity_header`: what callers of `/msi/token` must send as X-IDENTITY-HEADER (IDENTITY_HEADER)."""

    def __init__(self, identity: Identity, identity_header: str) -> None:
        super().__init__(self._serve)
        self._identity = identity
        self._header = identity_header
        self._oauth = OAuth(identity)
        tenant = r"([^/]+)"
        routes: list[tuple[str, str, Handler]] = [
            ("GET", r"msi/token", self._managed_identity),
            ("GET", r"metadata/identity/oauth2/token", self._imds),
            ("GET", r"metadata/endpoints", self._cloud),
            ("GET", rf"{tenant}/discovery/instance", self._instance),
            ("GET", rf"{tenant}/v2\.0/\.well-known/openid-configuration", self._configuration),
            ("GET", rf"{tenant}/\.well-known/openid-configuration", self._configuration),
            ("GET", rf"{tenant}/discovery/(?:v2\.0/)?keys", self._keys),
            ("POST", rf"{tenant}/oauth2/(?:v2\.0/)?token", self._oauth.token),
            ("POST", rf"{tenant}/oauth2/(?:v2\.0/)?devicecode", self._oauth.device_code),
            ("GET", rf"{tenant}/oauth2/(?:v2\.0/)?authorize", self._oauth.authorize),
        ]
        self._routes = [(method, re.compile(pattern), handler) for method, pattern, handler in routes]

    def owns(self, segments: list[str]) -> bool:
        path = "/".join(segments)
        return any(pattern.fullmatch(path) for _, pattern, _ in self._routes)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RouteNotFound("Token issuers have no WebSocket routes.")
        request = Request(scope, receive)
        path = "/".join(part for part in scope["path"].split("/") if part)
        for method, pattern, handler in self._routes:
            match = pattern.fullmatch(path.lower())
            if match is None:
                continue
            if request.method not in (method, "HEAD" if method == "GET" else method):
                raise MethodNotAllowed(
                    f"'{request.method}' is not supported here; use {method}.", headers={"allow": method}
                )
            # The tenant as it was written: it comes back in issuer and endpoints, which clients compare.
            tenant = path[match.start(1) : match.end(1)] if pattern.groups else ""
            await (await handler(request, tenant))(scope, receive, send)
            return
        raise RouteNotFound(f"'/{path}' is no token issuer's route.")

    def _issue(self, request: Request, resource: str) -> Minted:
        query = request.query_params
        oid = query.get("object_id") or query.get("principal_id")
        return self._identity.issue(resource, oid=oid, client_id=query.get("client_id"))

    async def _managed_identity(self, request: Request, _: str) -> Response:
        """App Service and Container Apps, documented: `GET ?api-version=2019-08-01&resource=…`."""
        given = request.headers.get("x-identity-header", "")
        if not secrets.compare_digest(given.encode(), self._header.encode()):
            message = (
                "X-IDENTITY-HEADER is missing or not the value of IDENTITY_HEADER (`dynamic-sessions env`)."
            )
            return JSONResponse({"statusCode": 401, "message": message}, 401, NO_STORE)
        resource = request.query_params.get("resource")
        if not resource:
            return JSONResponse(
                {"statusCode": 400, "message": "The query parameter resource is missing."}, 400
            )
        return JSONResponse(managed_identity_answer(self._issue(request, resource)), headers=NO_STORE)

    async def _imds(self, request: Request, _: str) -> Response:
        """The metadata service, documented: wants `Metadata: true` and refuses what was forwarded."""
        if request.headers.get("metadata", "").lower() != "true":
            return _imds_refusal("Required metadata header not specified")
        if "x-forwarded-for" in request.headers:
            return _imds_refusal("The request was forwarded (X-Forwarded-For)")
        resource = request.query_params.get("resource")
        if not resource:
            return _imds_refusal("Required audience parameter not specified")
        return JSONResponse(imds_answer(self._issue(request, resource)), headers=NO_STORE)

    async def _configuration(self, request: Request, tenant: str) -> Response:
        v2 = "/v2.0/" in request.url.path.lower()
        return JSONResponse(openid_configuration(base_url(request), tenant, v2=v2))

    async def _instance(self, request: Request, _: str) -> Response:
        # The caller names the authority it is about to use; its tenant is the first segment.
        asked = urlsplit(request.query_params.get("authorization_endpoint", "")).path.strip("/").split("/")[0]
        return JSONResponse(instance_discovery(base_url(request), asked or self._identity.tenant))

    async def _keys(self, _: Request, __: str) -> Response:
        return JSONResponse(jwks([self._identity.key]))

    async def _cloud(self, request: Request, _: str) -> Response:
        return JSONResponse(cloud_description(base_url(request)))


def cloud_description(base: str) -> dict[str, object]:
    """What `az cloud register --endpoint-resource-manager` reads: one cloud, all of it under `base`.

    One object, as Azure Stack answers; a list makes az fail (tried with azure-cli 2.91).
    """
    host = base.split("://", 1)[-1].split(":")[0]
    return {
        "name": "DynamicSessionsEmulator",
        "portal": f"{base}/.emulator/ui",
        "authentication": {
            "loginEndpoint": base,
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "resourceManager": base,
        "graph": f"{base}/graph",
        "graphAudience": f"{base}/graph",
        "microsoftGraphResourceId": f"{base}/graph/",
        "gallery": base,
        "batch": base,
        "media": base,
        "sqlManagement": base,
        "vmImageAliasDoc": base,
        "activeDirectoryDataLake": base,
        "logAnalyticsResourceId": base,
        "appInsightsResourceId": base,
        "synapseAnalyticsResourceId": base,
        "attestationResourceId": base,
        "ossrdbmsAadResourceId": base,
        "suffixes": {
            "storage": host,
            "keyVaultDns": f"vault.{host}",
            "sqlServerHostname": f"database.{host}",
            "acrLoginServer": f"azurecr.{host}",
            "mysqlServerEndpoint": f"mysql.{host}",
            "postgresqlServerEndpoint": f"postgres.{host}",
            "mariadbServerEndpoint": f"mariadb.{host}",
            "azureDataLakeStoreFileSystem": host,
            "azureDataLakeAnalyticsCatalogAndJob": host,
            "mhsmDns": f"managedhsm.{host}",
            "attestationEndpoint": f"attest.{host}",
            "synapseAnalytics": f"dev.{host}",
            "storageSyncEndpointSuffix": host,
        },
    }


def _imds_refusal(why: str) -> Response:
    return JSONResponse({"error": "invalid_request", "error_description": why}, 400)
