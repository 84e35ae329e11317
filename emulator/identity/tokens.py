"""Bearer tokens shaped like Entra's version 1.0 access tokens, good ones and deliberately bad ones."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import jwt

from emulator.identity.keys import SigningKey

DEFAULT_TENANT: Final = "11111111-1111-1111-1111-111111111111"
LIFETIME: Final = 86400.0  # what Azure's managed identities hand out
Invalid = Literal["signature", "audience", "expired", "nbf"]
INVALID_KINDS: Final[tuple[str, ...]] = get_args(Invalid)
WRONG_AUDIENCE: Final = "https://wrong-audience.invalid"

ROLE_CLAIM: Final = "emulator_role"
"""⚑ Ours: `executor` or `none`, for principals of whom the emulator knows nothing else."""


@dataclass(frozen=True)
class Minted:
    """A token and what its issuer tells about it; times in seconds since the epoch."""

    token: str = field(repr=False)
    audience: str
    oid: str
    client_id: str
    issued_at: int
    expires_at: int

    @property
    def lifetime(self) -> int:
        return self.expires_at - self.issued_at


def mint_token(
    key: SigningKey,
    *,
    now: float,
    audience: str,
    oid: str,
    client_id: str,
    tenant: str = DEFAULT_TENANT,
    expires_in: float = LIFETIME,
    invalid: str | None = None,
    claims: Mapping[str, Any] | None = None,
) -> Minted:
    """Sign a token. `invalid` spoils one thing: its signature, its audience, its end or its beginning.

    Raises ValueError for an unknown `invalid`. `claims` are added to (or replace) the usual ones.
    """
    if invalid is not None and invalid not in INVALID_KINDS:
        raise ValueError(f"invalid is {invalid!r}: expected one of {', '.join(INVALID_KINDS)}")
    issued, expires = int(now), int(now + expires_in)
    not_before = issued
    if invalid == "expired":
        issued, not_before, expires = issued - 7200, issued - 7200, issued - 3600
    elif invalid == "nbf":
        not_before, expires = issued + 3600, max(expires, issued + 7200)
    if invalid == "audience":
        audience = WRONG_AUDIENCE
    content = {
        "aud": audience,
        "iss": f"https://sts.windows.net/{tenant}/",
        "iat": issued,
        "nbf": not_before,
        "exp": expires,
        "appid": client_id,
        "appidacr": "2",
        "idp": f"https://sts.windows.net/{tenant}/",
        "idtyp": "app",
        "oid": oid,
        "sub": oid,
        "tid": tenant,
        "uti": base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode(),
        "ver": "1.0",
        **(claims or {}),
    }
    token = jwt.encode(content, key.private, algorithm="RS256", headers={"kid": key.kid, "x5t": key.kid})
    if invalid == "signature":
        token = _spoiled(token)
    return Minted(token, audience, oid, client_id, issued, expires)


def _spoiled(token: str) -> str:
    """The same token with a signature of the right form and the wrong content."""
    head, _, _ = token.rpartition(".")
    noise = b"".join(hashlib.sha256(head.encode() + bytes([turn])).digest() for turn in range(8))
    return f"{head}.{base64.urlsafe_b64encode(noise).rstrip(b'=').decode()}"
