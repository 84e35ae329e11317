"""What Azure's token issuers answer, as data: managed identity, IMDS, OAuth2, OpenID, JWKS."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from emulator.identity.keys import SigningKey
from emulator.identity.tokens import Minted

HALF_LIFE = 7200
"""Seconds; a token that lives at least so long may be refreshed at half its life (documented)."""


def managed_identity_answer(minted: Minted) -> dict[str, str]:
    """App Service and Container Apps, api-version 2019-08-01: every value is a string."""
    return {
        "access_token": minted.token,
        "expires_on": str(minted.expires_at),
        "resource": minted.audience,
        "token_type": "Bearer",
        "client_id": minted.client_id,
    }


def imds_answer(minted: Minted) -> dict[str, str]:
    """The virtual machine's metadata service, api-version 2018-02-01: every value is a string."""
    return {
        "access_token": minted.token,
        "client_id": minted.client_id,
        "expires_in": str(minted.lifetime),
        "expires_on": str(minted.expires_at),
        "ext_expires_in": str(minted.lifetime),
        "not_before": str(minted.issued_at),
        "resource": minted.audience,
        "token_type": "Bearer",
        **({"refresh_in": str(minted.lifetime // 2)} if minted.lifetime >= HALF_LIFE else {}),
    }


def oauth2_answer(
    minted: Minted,
    *,
    v2: bool = True,
    scope: str | None = None,
    id_token: str | None = None,
    refresh_token: str | None = None,
    client_info: str | None = None,
) -> dict[str, Any]:
    """The token endpoint's answer. Version 1 says everything in strings and names the resource."""
    optional = {
        "scope": scope,
        "id_token": id_token,
        "refresh_token": refresh_token,
        "client_info": client_info,
    }
    given = {name: value for name, value in optional.items() if value is not None}
    if not v2:
        return {
            "token_type": "Bearer",
            "expires_in": str(minted.lifetime),
            "ext_expires_in": str(minted.lifetime),
            "expires_on": str(minted.expires_at),
            "not_before": str(minted.issued_at),
            "resource": minted.audience,
            "access_token": minted.token,
            **given,
        }
    answer = {
        "token_type": "Bearer",
        "expires_in": minted.lifetime,
        "ext_expires_in": minted.lifetime,
        "access_token": minted.token,
        **given,
    }
    if minted.lifetime >= HALF_LIFE:
        answer["refresh_in"] = minted.lifetime // 2
    return answer


def openid_configuration(authority: str, tenant: str, *, v2: bool = True) -> dict[str, Any]:
    """The discovery document of a tenant; `authority` is scheme and host as the caller reaches them.

    The issuer lies under the authority itself, because MSAL refuses one of another host.
    """
    base = f"{authority.rstrip('/')}/{tenant}"
    oauth = f"{base}/oauth2/v2.0" if v2 else f"{base}/oauth2"
    return {
        "issuer": f"{base}/v2.0" if v2 else f"{base}/",
        "authorization_endpoint": f"{oauth}/authorize",
        "token_endpoint": f"{oauth}/token",
        "device_authorization_endpoint": f"{oauth}/devicecode",
        "end_session_endpoint": f"{oauth}/logout",
        "jwks_uri": f"{base}/discovery/v2.0/keys" if v2 else f"{base}/discovery/keys",
        "userinfo_endpoint": f"{base}/openid/userinfo",
        "response_types_supported": ["code", "id_token", "code id_token", "token"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": [
            "client_secret_post",
            "private_key_jwt",
            "client_secret_basic",
        ],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nbf", "oid", "tid", "appid", "ver"],
        "tenant_region_scope": None,
        "cloud_instance_name": "microsoftonline.com",
    }


def instance_discovery(authority: str, tenant: str) -> dict[str, Any]:
    """`/common/discovery/instance`: the one authority there is, under its own host."""
    base = authority.rstrip("/")
    host = base.split("://", 1)[-1]
    return {
        "tenant_discovery_endpoint": f"{base}/{tenant}/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }


def jwks(keys: Iterable[SigningKey], *, issuer: str | None = None) -> dict[str, Any]:
    """The public keys tokens are signed with."""
    extra = {"issuer": issuer} if issuer else {}
    return {"keys": [{**key.jwk(), **extra} for key in keys]}
