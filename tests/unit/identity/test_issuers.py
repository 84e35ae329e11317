"""The answers of token issuers, member by member as their clients read them."""

from __future__ import annotations

import json

import jwt
import pytest

from emulator.identity.issuers import (
    imds_answer,
    instance_discovery,
    jwks,
    managed_identity_answer,
    oauth2_answer,
    openid_configuration,
)
from emulator.identity.service import Identity

AUDIENCE = "https://dynamicsessions.io"


def test_managed_identity(identity: Identity) -> None:
    minted = identity.issue(AUDIENCE)
    answer = managed_identity_answer(minted)
    assert set(answer) == {"access_token", "expires_on", "resource", "token_type", "client_id"}
    assert (answer["resource"], answer["token_type"]) == (AUDIENCE, "Bearer")
    assert answer["expires_on"] == str(minted.expires_at)
    identity.authenticate(f"Bearer {answer['access_token']}")


def test_imds(identity: Identity) -> None:
    answer = imds_answer(identity.issue(AUDIENCE))
    assert all(isinstance(value, str) for value in answer.values())
    assert answer["expires_in"] == "86400"
    assert int(answer["expires_on"]) - int(answer["not_before"]) == 86400
    assert answer["refresh_in"] == "43200"


def test_oauth2_in_both_versions(identity: Identity) -> None:
    minted = identity.issue(AUDIENCE)
    second = oauth2_answer(minted, scope="s", client_info="c")
    assert (second["expires_in"], second["token_type"], second["scope"]) == (86400, "Bearer", "s")
    assert "refresh_token" not in second
    first = oauth2_answer(minted, v2=False, refresh_token="r")
    assert (first["expires_in"], first["resource"], first["refresh_token"]) == ("86400", AUDIENCE, "r")


@pytest.mark.parametrize("v2", [True, False])
def test_discovery_stays_under_the_authority(v2: bool) -> None:
    document = openid_configuration("https://localhost:7443/", "adfs", v2=v2)
    urls = [value for value in document.values() if isinstance(value, str) and "://" in value]
    assert len(urls) >= 6
    assert all(url.startswith("https://localhost:7443/adfs/") for url in urls)
    assert document["token_endpoint"].endswith("/oauth2/v2.0/token" if v2 else "/oauth2/token")


def test_instance_discovery() -> None:
    answer = instance_discovery("https://localhost:7443", "t")
    assert answer["tenant_discovery_endpoint"].startswith("https://localhost:7443/t/v2.0/")
    assert answer["metadata"][0]["aliases"] == ["localhost:7443"]


def test_anybody_can_verify_with_the_published_keys(identity: Identity) -> None:
    published = json.loads(json.dumps(jwks([identity.key], issuer="i")))
    token = identity.mint()
    (public,) = jwt.PyJWKSet.from_dict(published).keys
    assert public.key_id == jwt.get_unverified_header(token)["kid"]
    claims = json.loads(jwt.api_jws.decode(token, public.key, algorithms=["RS256"]))
    assert claims["tid"] == identity.tenant
