"""Identity in one object: who is calling, may they, and tokens for those who ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hmac import compare_digest
from pathlib import Path
from typing import Any

from emulator.clock import Clock
from emulator.errors import RequestInvalid
from emulator.identity.audiences import DATA_AUDIENCES, Plane
from emulator.identity.keys import SigningKey, load_key
from emulator.identity.principals import (
    CLAIMED_EXECUTOR,
    CLAIMED_NONE,
    DEFAULT_CLIENT_ID,
    DEFAULT_OID,
    NO_ROLE_OID,
    Principal,
    Principals,
    Registered,
)
from emulator.identity.tokens import DEFAULT_TENANT, LIFETIME, ROLE_CLAIM, Minted, mint_token
from emulator.identity.verify import Mode, Verifier
from emulator.resources.model import SessionPool


class Identity:
    """Checks callers and mints tokens; `lifetime` and `leeway` in seconds."""

    def __init__(
        self,
        key: SigningKey,
        clock: Clock,
        *,
        mode: Mode | str = Mode.STRICT,
        tenant: str = DEFAULT_TENANT,
        lifetime: float = LIFETIME,
        leeway: float = 0.0,
        propagation: float = 0.0,
        principals: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self.key = key
        self.tenant = tenant
        self.mode = Mode(mode)
        self.principals = Principals(clock, propagation=propagation)
        self.principals.configure(principals)
        self._clock = clock
        self._lifetime = lifetime
        anonymous = Principal(DEFAULT_OID, DEFAULT_CLIENT_ID, tenant, "default")
        self._verifier = Verifier([key], clock, mode=self.mode, leeway=leeway, anonymous=anonymous)

    @classmethod
    def open(cls, state_dir: Path, clock: Clock, **options: Any) -> Identity:
        """With the key of `state_dir`, made at first use. Raises `ConfigurationError`."""
        return cls(load_key(state_dir), clock, **options)

    def authenticate(self, authorization: str | None, plane: Plane = Plane.DATA) -> Principal:
        """Who is calling. Raises `Unauthenticated` with the reason."""
        return self._verifier.verify(authorization, plane)

    def authorize(self, principal: Principal, pool: SessionPool) -> None:
        """Return if `principal` may run code in `pool`. Raises `Forbidden` with the reason."""
        if self.mode is not Mode.OFF:
            self.principals.authorize(principal, pool)

    def admit(self, authorization: str | None, pool: SessionPool | None) -> None:
        """Who is calling, and may they use `pool`; without a pool only the first question is asked."""
        principal = self.authenticate(authorization)
        if pool is not None:
            self.authorize(principal, pool)

    def mint(
        self,
        *,
        audience: str = DATA_AUDIENCES[0],
        oid: str | None = None,
        expires_in: float | None = None,
        invalid: str | None = None,
        role: bool = True,
    ) -> str:
        """A bearer token, good or deliberately bad (`invalid`: signature, audience, expired, nbf).

        For the default principal or `oid`. `role` False: the token is good and may do nothing. Raises
        `RequestInvalid`.
        """
        chosen = oid or (DEFAULT_OID if role else NO_ROLE_OID)
        claims = {ROLE_CLAIM: CLAIMED_EXECUTOR if role else CLAIMED_NONE}
        if expires_in is not None and not 0 < expires_in <= 10**9:
            raise RequestInvalid(
                "A token lives more than 0 and at most 1,000,000,000 seconds.", target="expiresIn"
            )
        try:
            return self._mint(chosen, audience, expires_in, invalid, claims).token
        except ValueError as error:
            raise RequestInvalid(str(error), target="invalid") from None

    def issue(self, audience: str, *, oid: str | None = None, client_id: str | None = None) -> Minted:
        """A token for a known principal, as an issuer hands it out: what it may do is up to its roles.

        Neither id: the default principal. An id nobody knows gets a token that holds no role.
        """
        if oid is None and client_id is None:
            return self._mint(DEFAULT_OID, audience, None, None, {})
        known = self.principals.find(oid=oid, client_id=client_id)
        return self._mint(known.oid if known else oid or client_id or "", audience, None, None, {}, client_id)

    def client(self, client_id: str, client_secret: str | None) -> Registered | None:
        """The principal that may ask with this secret; one configured without a secret takes any."""
        known = self.principals.find(client_id=client_id)
        if known is None or known.client_secret is None:
            return known
        return known if compare_digest(known.client_secret.encode(), (client_secret or "").encode()) else None

    def _mint(
        self,
        oid: str,
        audience: str,
        expires_in: float | None,
        invalid: str | None,
        claims: Mapping[str, Any],
        client_id: str | None = None,
    ) -> Minted:
        known = self.principals.find(oid=oid)
        return mint_token(
            self.key,
            now=self._clock.now(),
            audience=audience,
            oid=oid,
            client_id=known.client_id if known else client_id or oid,
            tenant=self.tenant,
            expires_in=self._lifetime if expires_in is None else expires_in,
            invalid=invalid,
            claims=claims,
        )
