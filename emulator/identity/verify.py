"""From an Authorization header to a principal, or a 401 that says exactly why.

A signature costs an RSA operation (about 50 µs and the decoding around it), so tokens whose signature was
found good are remembered; their times and audience are compared with the clock at every use.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NoReturn

import jwt

from emulator.clock import Clock
from emulator.errors import Unauthenticated
from emulator.identity.audiences import Plane, accepts
from emulator.identity.keys import SigningKey
from emulator.identity.principals import Principal
from emulator.identity.tokens import ROLE_CLAIM

REMEMBERED: Final = 1024
LONGEST: Final = 32 * 1024
FAR: Final = 10**15


class Mode(StrEnum):
    """strict: this emulator's signature and all claims; claims: any signer, claims checked; off: nothing."""

    STRICT = "strict"
    CLAIMS = "claims"
    OFF = "off"


@dataclass(frozen=True)
class _Known:
    """The claims of a token whose signature was good (or not asked for)."""

    audience: Any
    not_before: float
    expires: float
    principal: Principal


class Verifier:
    """Checks bearer tokens. `leeway`: seconds that a token's times may be off."""

    def __init__(
        self,
        keys: Iterable[SigningKey],
        clock: Clock,
        *,
        mode: Mode = Mode.STRICT,
        leeway: float = 0.0,
        anonymous: Principal,
        remembered: int = REMEMBERED,
    ) -> None:
        self._keys = {key.kid: key.public for key in keys}
        self._clock = clock
        self._mode = mode
        self._leeway = leeway
        self._anonymous = anonymous
        self._remembered = remembered
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def verify(self, header: str | None, plane: Plane = Plane.DATA) -> Principal:
        """The principal that `header` (the Authorization header's value) proves.

        Raises `Unauthenticated`; its `reason` says what is wrong. In mode `off` everyone is the default
        principal.
        """
        if self._mode is Mode.OFF:
            return self._anonymous
        known = self._known.get(header) if header is not None else None
        if known is None:
            known = self._read(_bearer(header))
            if header is not None:
                self._remember(header, known)
        self._check_times(known)
        if not accepts(plane, known.audience):
            accepted = " or ".join(plane.audiences)
            _refuse(f"wrong audience {known.audience!r}: this is accepted with {accepted}")
        return known.principal

    def _remember(self, header: str, known: _Known) -> None:
        self._known[header] = known
        if len(self._known) > self._remembered:
            self._known.popitem(last=False)

    def _check_times(self, known: _Known) -> None:
        now = self._clock.now()
        if now >= known.expires + self._leeway:
            _refuse(f"token expired {_ago(now - known.expires)} ago, by the emulator's clock")
        if now < known.not_before - self._leeway:
            _refuse(f"token not valid for another {_ago(known.not_before - now)}, by the emulator's clock")

    def _read(self, token: str) -> _Known:
        header, claims = _parts(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm.lower() == "none":
            _refuse("token is not signed (alg none)")
        if self._mode is Mode.STRICT:
            self._check_signature(token, header, algorithm)
        expires, not_before = _time(claims, "exp"), _time(claims, "nbf", 0.0)
        oid = claims.get("oid") or claims.get("sub")
        if not isinstance(oid, str):
            _refuse("token names no principal (claims oid and sub are missing)")
        role = claims.get(ROLE_CLAIM)
        principal = Principal(
            oid=oid,
            client_id=_text(claims, "appid", "azp"),
            tenant=_text(claims, "tid"),
            name=_text(claims, "upn", "unique_name", "preferred_username", "app_displayname"),
            claimed=role if isinstance(role, str) else None,
            foreign=self._mode is Mode.CLAIMS,
        )
        return _Known(claims.get("aud"), not_before, expires, principal)

    def _check_signature(self, token: str, header: Mapping[str, Any], algorithm: str) -> None:
        if algorithm != "RS256":
            _refuse(f"token is signed with {algorithm[:20]!r}; this emulator signs with RS256")
        kid = header.get("kid")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            _refuse(
                f"unknown signing key {str(kid)[:64]!r}: the token is not this emulator's own "
                "(--auth claims takes any signer)"
            )
        try:
            jwt.api_jws.decode(token, key, algorithms=["RS256"])
        except jwt.PyJWTError:
            _refuse("bad signature")


def _refuse(reason: str) -> NoReturn:
    raise Unauthenticated("The request has no valid bearer token.", reason=reason)


def _bearer(header: str | None) -> str:
    if header is None or not header.strip():
        _refuse("no Authorization header")
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        _refuse(f"Authorization scheme is {scheme[:20]!r}, not Bearer")
    token = token.strip()
    if not token:
        _refuse("Authorization header has no token after Bearer")
    if len(token) > LONGEST:
        _refuse(f"malformed token: {len(token)} characters are more than {LONGEST}")
    return token


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    pieces = token.split(".")
    if len(pieces) != 3:
        _refuse(f"malformed token: {len(pieces)} parts instead of 3")
    header, claims = (
        _decoded(piece, name) for piece, name in zip(pieces, ("header", "claims"), strict=False)
    )
    return header, claims


def _decoded(piece: str, name: str) -> dict[str, Any]:
    try:
        content = json.loads(base64.b64decode(piece + "=" * (-len(piece) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        _refuse(f"malformed token: its {name} are no JSON in base64url")
    if not isinstance(content, dict):
        _refuse(f"malformed token: its {name} are no JSON object")
    return content


def _time(claims: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(f"token has no usable {name} claim")
    if value != value:  # Python's reader takes NaN
        _refuse(f"token has no usable {name} claim")
    # JSON knows integers that no float can hold.
    return float(max(-FAR, min(FAR, value)))


def _text(claims: Mapping[str, Any], *names: str) -> str:
    return next((value for name in names if isinstance(value := claims.get(name), str)), "")


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
