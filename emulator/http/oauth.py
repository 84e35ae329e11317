"""The OAuth2 endpoints of a mock authority: client credentials, and sign-in of the one local user.

Documented shapes of the Microsoft identity platform; a sign-in needs no password, since there is nobody
to ask: the device code is approved at once, `/authorize` sends the browser straight back.
"""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from emulator.identity.audiences import resource_of
from emulator.identity.issuers import oauth2_answer
from emulator.identity.principals import DEFAULT_OID
from emulator.identity.service import Identity
from emulator.identity.tokens import mint_token

LONGEST: Final = 256 * 1024
USER: Final = "user@localhost"
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
SIGN_IN: Final = (DEVICE_CODE, "device_code", "authorization_code", "refresh_token", "password")
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache"}


class OAuth:
    """`/{tenant}/oauth2[/v2.0]/{token, devicecode, authorize}`; `adfs` is a tenant like any other."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def token(self, request: Request, tenant: str) -> Response:
        form = await _form(request)
        if form is None:
            return _refusal(413, "invalid_request", 90012, "The request is too large.")
        v2 = "/v2.0/" in request.url.path.lower()
        grant = form.get("grant_type", "")
        audience = form.get("resource") or resource_of(form.get("scope", ""))
        if grant == "client_credentials":
            return self._client(request, form, audience, v2)
        if grant in SIGN_IN:
            return self._user(request, form, audience, v2, tenant)
        if not grant:
            return _refusal(400, "invalid_request", 900144, "The request body must contain 'grant_type'.")
        return _refusal(
            400, "unsupported_grant_type", 70003, f"The app requested an unsupported grant type '{grant}'."
        )

    def _client(self, request: Request, form: dict[str, str], audience: str, v2: bool) -> Response:
        client_id, secret = _credentials(request, form)
        if not client_id:
            return _refusal(400, "invalid_request", 900144, "The request body must contain 'client_id'.")
        if not audience:
            missing = "scope" if v2 else "resource"
            return _refusal(400, "invalid_request", 90014, f"The required field '{missing}' is missing.")
        if not (secret or form.get("client_assertion")):
            text = "The request body must contain 'client_assertion' or 'client_secret'."
            return _refusal(401, "invalid_client", 7000218, text)
        known = self._identity.principals.find(client_id=client_id) is not None
        # An assertion is signed by a key the emulator cannot know, so it is taken as it is.
        if known and not form.get("client_assertion") and self._identity.client(client_id, secret) is None:
            text = (
                f"Invalid client secret provided for app '{client_id}' (the emulator's setting principals)."
            )
            return _refusal(401, "invalid_client", 7000215, text)
        minted = self._identity.issue(audience, client_id=client_id)
        return JSONResponse(oauth2_answer(minted, v2=v2), headers=NO_STORE)

    def _user(self, request: Request, form: dict[str, str], audience: str, v2: bool, tenant: str) -> Response:
        client_id, _ = _credentials(request, form)
        minted = self._identity.issue(audience or "https://management.core.windows.net/")
        base = f"{request.url.scheme}://{request.headers.get('host') or request.url.netloc}"
        identifies = mint_token(
            self._identity.key,
            now=minted.issued_at,
            audience=client_id or minted.client_id,
            oid=minted.oid,
            client_id=client_id or minted.client_id,
            tenant=self._identity.tenant,
            expires_in=minted.lifetime,
            claims={
                "iss": f"{base}/{tenant}/v2.0" if v2 else f"{base}/{tenant}/",
                "preferred_username": USER,
                "upn": USER,
                "name": "Local user",
                "ver": "2.0" if v2 else "1.0",
                **_nonce(form.get("code", "")),
            },
        )
        answer = oauth2_answer(
            minted,
            v2=v2,
            scope=form.get("scope") or None,
            id_token=identifies.token,
            refresh_token=uuid.uuid4().hex,
            client_info=_encoded({"uid": minted.oid, "utid": self._identity.tenant}),
        )
        return JSONResponse(answer, headers=NO_STORE)

    async def device_code(self, request: Request, _: str) -> Response:
        base = f"{request.url.scheme}://{request.headers.get('host') or request.url.netloc}"
        code = uuid.uuid4().hex[:9].upper()
        return JSONResponse(
            {
                "user_code": code,
                "device_code": uuid.uuid4().hex,
                "verification_uri": f"{base}/.emulator/ui",
                "verification_url": f"{base}/.emulator/ui",
                "expires_in": 900,
                "interval": 1,
                "message": f"Nothing to do: the emulator has approved the code {code} already.",
            },
            headers=NO_STORE,
        )

    async def authorize(self, request: Request, _: str) -> Response:
        """Back to where the browser came from, with a code; only to this machine."""
        query = request.query_params
        target = urlsplit(query.get("redirect_uri", ""))
        if target.scheme not in ("http", "https") or target.hostname not in LOOPBACK:
            return _refusal(400, "invalid_request", 50011, "redirect_uri must lie on this machine.")
        # The id token has to carry the nonce that was asked for here; the code brings it along.
        code = _encoded({"id": uuid.uuid4().hex, "nonce": query.get("nonce")})
        answer = {"code": code, "client_info": _encoded({"uid": DEFAULT_OID, "utid": self._identity.tenant})}
        if query.get("state"):
            answer["state"] = query["state"]
        if query.get("response_mode") == "fragment":
            return RedirectResponse(urlunsplit(target._replace(fragment=urlencode(answer))), 302)
        joined = "&".join(part for part in (target.query, urlencode(answer)) if part)
        return RedirectResponse(urlunsplit(target._replace(query=joined)), 302)


async def _form(request: Request) -> dict[str, str] | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST:
            return None
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    """Client id and secret, from the form or from Basic authentication (both are documented)."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:
            return "", ""
        return name, secret
    return form.get("client_id", ""), form.get("client_secret", "")


def _encoded(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def _nonce(code: str) -> dict[str, str]:
    """The nonce inside a code of ours; nothing for a code of anyone else's."""
    try:
        content = json.loads(base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)))
        nonce = content.get("nonce")
    except (ValueError, AttributeError):
        return {}
    return {"nonce": nonce} if isinstance(nonce, str) else {}


def _refusal(status: int, error: str, number: int, text: str) -> Response:
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    moment = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"
    return JSONResponse(
        {
            "error": error,
            "error_description": f"AADSTS{number}: {text} Trace ID: {trace} Correlation ID: {correlation} "
            f"Timestamp: {moment}",
            "error_codes": [number],
            "timestamp": moment,
            "trace_id": trace,
            "correlation_id": correlation,
        },
        status,
        NO_STORE,
    )
