"""Token endpoints, asked as the published clients ask them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest

from emulator.clock import VirtualClock
from emulator.errors import ServiceError
from emulator.http.answers import error_answer
from emulator.http.issuers import IssuerSurface
from emulator.identity.audiences import Plane
from emulator.identity.keys import SigningKey, new_key
from emulator.identity.principals import DEFAULT_CLIENT_ID, DEFAULT_OID
from emulator.identity.service import Identity

HEADER = "the-header"
DATA = "https://dynamicsessions.io"
TENANT = "11111111-1111-1111-1111-111111111111"
APP = {"oid": "app-oid", "name": "app", "clientId": "app-id", "clientSecret": "s3cret", "scopes": ["/"]}

Ask = Callable[..., tuple[int, dict[str, str], Any]]


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return new_key()


@pytest.fixture
def identity(key: SigningKey) -> Identity:
    return Identity(key, VirtualClock(), principals=[APP])


@pytest.fixture
def ask(identity: Identity) -> Ask:
    """Send a request; returns status, headers and the JSON body (None where there is none)."""
    surface = IssuerSurface(identity, HEADER)

    def send(method: str, url: str, form: dict[str, str] | None = None, **headers: str) -> Any:
        parts = urlsplit(url)
        sent = {"host": "localhost:7443"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        assert surface.owns([part for part in parts.path.lower().split("/") if part]), url
        scope = {
            "type": "http",
            "scheme": "https",
            "method": method,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "server": ("localhost", 7443),
        }
        body = urlencode(form or {}).encode()
        messages: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def answer(message: Any) -> None:
            messages.append(message)

        async def run() -> None:
            try:
                await surface.app(scope, receive, answer)
            except ServiceError as error:
                await error_answer(error)(scope, receive, answer)

        asyncio.run(run())
        raw = b"".join(message.get("body", b"") for message in messages[1:])
        found = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        return messages[0]["status"], found, json.loads(raw) if raw else None

    return send


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_managed_identity(ask: Ask, identity: Identity) -> None:
    url = f"/msi/token?api-version=2019-08-01&resource={DATA}"
    status, headers, body = ask("GET", url, x_identity_header=HEADER)
    assert status == 200
    assert headers["cache-control"] == "no-store"
    assert body["resource"] == DATA
    assert identity.authenticate(f"Bearer {body['access_token']}").oid == DEFAULT_OID
    assert ask("GET", url)[0] == 401
    assert ask("GET", url, x_identity_header="wrong")[0] == 401
    assert ask("GET", "/msi/token", x_identity_header=HEADER)[0] == 400
    assert ask("POST", url, x_identity_header=HEADER)[0] == 405


def test_a_user_assigned_identity(ask: Ask) -> None:
    url = f"/msi/token?resource={DATA}&client_id=app-id"
    _, _, body = ask("GET", url, x_identity_header=HEADER)
    assert (claims(body["access_token"])["oid"], body["client_id"]) == ("app-oid", "app-id")


@pytest.mark.parametrize("slash", ["", "/"])
def test_imds(ask: Ask, identity: Identity, slash: str) -> None:
    url = (
        f"/metadata/identity/oauth2/token{slash}?api-version=2018-02-01&resource=https://management.azure.com"
    )
    status, _, body = ask("GET", url, metadata="true")
    assert status == 200
    identity.authenticate(f"Bearer {body['access_token']}", Plane.ARM)
    # DefaultAzureCredential finds out with a request without the header whether there is a service at all.
    assert ask("GET", url)[0] == 400
    assert ask("GET", url, metadata="true", x_forwarded_for="1.2.3.4")[0] == 400


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (f"/{TENANT}/oauth2/v2.0/token", {"scope": f"{DATA}/.default"}),
        (f"/{TENANT}/oauth2/token", {"resource": DATA}),
        ("/adfs/oauth2/token", {"scope": f"{DATA}/.default"}),
    ],
)
def test_client_credentials(ask: Ask, identity: Identity, path: str, form: dict[str, str]) -> None:
    form = {**form, "grant_type": "client_credentials", "client_id": "app-id", "client_secret": "s3cret"}
    status, _, body = ask("POST", path, form)
    assert (status, body["token_type"]) == (200, "Bearer")
    assert identity.authenticate(f"Bearer {body['access_token']}").oid == "app-oid"
    status, _, body = ask("POST", path, {**form, "client_secret": "guess"})
    assert (status, body["error"], body["error_codes"]) == (401, "invalid_client", [7000215])


def test_client_credentials_by_basic_authentication_and_assertion(ask: Ask) -> None:
    path, form = f"/{TENANT}/oauth2/v2.0/token", {"grant_type": "client_credentials", "scope": DATA}
    basic = base64.b64encode(b"app-id:s3cret").decode()
    assert ask("POST", path, form, authorization=f"Basic {basic}")[0] == 200
    asserted = {**form, "client_id": "app-id", "client_assertion": "a.b.c"}
    assert ask("POST", path, asserted)[0] == 200
    assert ask("POST", path, {**form, "client_id": "app-id"})[2]["error_codes"] == [7000218]
    default = {**form, "client_id": DEFAULT_CLIENT_ID, "client_secret": "any"}
    assert claims(ask("POST", path, default)[2]["access_token"])["oid"] == DEFAULT_OID


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "magic"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "invalid_request"),
        (
            {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"},
            "invalid_request",
        ),
    ],
)
def test_refusals(ask: Ask, form: dict[str, str], error: str) -> None:
    status, _, body = ask("POST", f"/{TENANT}/oauth2/v2.0/token", form)
    assert (status, body["error"]) == (400, error)
    assert body["error_description"].startswith("AADSTS")


def test_a_sign_in_by_device_code(ask: Ask, identity: Identity) -> None:
    _, _, asked = ask("POST", f"/{TENANT}/oauth2/v2.0/devicecode", {"client_id": "cli", "scope": "x"})
    assert {"user_code", "device_code", "verification_uri", "interval", "message"} <= set(asked)
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "client_id": "cli",
        "device_code": asked["device_code"],
        "scope": "https://management.core.windows.net//.default offline_access openid profile",
    }
    status, _, body = ask("POST", f"/{TENANT}/oauth2/v2.0/token", form)
    assert status == 200
    identity.authenticate(f"Bearer {body['access_token']}", Plane.ARM)
    who = claims(body["id_token"])
    assert (who["aud"], who["oid"], who["tid"]) == ("cli", DEFAULT_OID, TENANT)
    info = json.loads(base64.urlsafe_b64decode(body["client_info"] + "=="))
    assert info == {"uid": DEFAULT_OID, "utid": TENANT}
    renewed = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"], "scope": DATA}
    assert claims(ask("POST", f"/{TENANT}/oauth2/v2.0/token", renewed)[2]["access_token"])["aud"] == DATA


def test_a_sign_in_by_browser_carries_state_and_nonce(ask: Ask) -> None:
    query = urlencode({"redirect_uri": "http://localhost:1234/?x=1", "state": "st", "nonce": "n1"})
    status, headers, _ = ask("GET", f"/{TENANT}/oauth2/v2.0/authorize?{query}")
    assert status == 302
    back = urlsplit(headers["location"])
    assert back.netloc == "localhost:1234"
    found = parse_qs(back.query)
    assert (found["x"], found["state"]) == (["1"], ["st"])
    form = {"grant_type": "authorization_code", "code": found["code"][0], "client_id": "cli", "scope": DATA}
    _, _, body = ask("POST", f"/{TENANT}/oauth2/v2.0/token", form)
    assert claims(body["id_token"])["nonce"] == "n1"


def test_a_browser_is_sent_nowhere_but_to_this_machine(ask: Ask) -> None:
    query = urlencode({"redirect_uri": "https://elsewhere.example/"})
    assert ask("GET", f"/{TENANT}/oauth2/v2.0/authorize?{query}")[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        f"/{TENANT}/v2.0/.well-known/openid-configuration",
        f"/{TENANT}/.well-known/openid-configuration",
        "/adfs/.well-known/openid-configuration",
    ],
)
def test_discovery_leads_to_routes_that_exist(ask: Ask, identity: Identity, path: str) -> None:
    _, _, found = ask("GET", path)
    _, _, published = ask("GET", urlsplit(found["jwks_uri"]).path)
    (public,) = jwt.PyJWKSet.from_dict(published).keys
    jwt.api_jws.decode(identity.mint(), public.key, algorithms=["RS256"])
    form = {"grant_type": "client_credentials", "client_id": "x", "client_secret": "y", "scope": DATA}
    assert ask("POST", urlsplit(found["token_endpoint"]).path, {**form, "resource": DATA})[0] == 200


def test_instance_discovery_names_the_callers_own_authority(ask: Ask) -> None:
    endpoint = urlencode({"authorization_endpoint": f"https://localhost:7443/{TENANT}/oauth2/v2.0/authorize"})
    _, _, body = ask("GET", f"/common/discovery/instance?api-version=1.1&{endpoint}")
    assert body["tenant_discovery_endpoint"] == (
        f"https://localhost:7443/{TENANT}/v2.0/.well-known/openid-configuration"
    )


def test_the_cloud_is_one_object_under_the_callers_host(ask: Ask) -> None:
    _, _, body = ask("GET", "/metadata/endpoints?api-version=2022-09-01")
    assert isinstance(body, dict)
    assert body["resourceManager"] == body["authentication"]["loginEndpoint"] == "https://localhost:7443"
    assert "https://management.azure.com/" in body["authentication"]["audiences"]


@pytest.mark.parametrize(
    "path",
    ["/", "/msi", "/msi/token/x", "/subscriptions/s/resourceGroups/g/sessionPools/p/files", "/a/token"],
)
def test_other_paths_are_not_its_own(identity: Identity, path: str) -> None:
    segments = [part for part in path.lower().split("/") if part]
    assert not IssuerSurface(identity, HEADER).owns(segments)
