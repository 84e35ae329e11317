"""Who may use a pool: principals, the roles they were assigned, and where."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from emulator.clock import Clock
from emulator.errors import ConfigurationError, Forbidden
from emulator.resources.model import SessionPool

# Documented name and id; the others are Azure's well-known roles, which do not let anyone run code.
EXECUTOR_ROLE_NAME: Final = "Azure ContainerApps Session Executor"
EXECUTOR_ROLE_ID: Final = "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0"
OWNER_ROLE_ID: Final = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
CONTRIBUTOR_ROLE_ID: Final = "b24988ac-6180-42a0-ab88-20f7382dd24c"
POOLS_CONTRIBUTOR_ROLE_ID: Final = "f7669afb-68b2-44b4-9c5f-6d2a47fddda0"
ROLE_DEFINITIONS: Final[Mapping[str, str]] = {
    EXECUTOR_ROLE_ID: EXECUTOR_ROLE_NAME,
    OWNER_ROLE_ID: "Owner",
    CONTRIBUTOR_ROLE_ID: "Contributor",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    POOLS_CONTRIBUTOR_ROLE_ID: "Container Apps SessionPools Contributor",
    "af61e8fc-2633-4b95-bed3-421ad6826515": "Container Apps SessionPools Reader",
}
MANAGING_ROLES: Final = frozenset({OWNER_ROLE_ID, CONTRIBUTOR_ROLE_ID, POOLS_CONTRIBUTOR_ROLE_ID})

DEFAULT_OID: Final = "22222222-2222-2222-2222-222222222222"
DEFAULT_CLIENT_ID: Final = "33333333-3333-3333-3333-333333333333"
NO_ROLE_OID: Final = "44444444-4444-4444-4444-444444444444"
NO_ROLE_CLIENT_ID: Final = "55555555-5555-5555-5555-555555555555"

CLAIMED_EXECUTOR: Final = "executor"
CLAIMED_NONE: Final = "none"


@dataclass(frozen=True)
class Principal:
    """Whom a token speaks for.

    `claimed`: what a token of this emulator says of the role (`executor`, `none`, or nothing). `foreign`:
    the token may be anyone's (`--auth claims`).
    """

    oid: str
    client_id: str = ""
    tenant: str = ""
    name: str = ""
    claimed: str | None = None
    foreign: bool = False


@dataclass(frozen=True)
class Registered:
    """A principal the emulator knows by itself, with the secret it may ask for tokens with."""

    oid: str
    client_id: str
    name: str
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Assignment:
    """A role given to a principal at a scope (a subscription, a group, a pool, or `/`)."""

    name: str
    principal_id: str
    role_id: str
    scope: str
    created_at: float
    principal_type: str = "ServicePrincipal"

    @property
    def id(self) -> str:
        scope = "" if self.scope == "/" else self.scope.rstrip("/")
        return f"{scope}/providers/Microsoft.Authorization/roleAssignments/{self.name}"

    def covers(self, resource_id: str) -> bool:
        return within(resource_id, self.scope)


def within(resource_id: str, scope: str) -> bool:
    """True if the resource is at or below `scope`, without regard to case."""
    outer = scope.strip("/").lower().split("/") if scope.strip("/") else []
    return resource_id.strip("/").lower().split("/")[: len(outer)] == outer


class Principals:
    """Known principals and their role assignments.

    `propagation`: seconds of the clock until a new assignment counts (Azure: up to some minutes).
    """

    def __init__(self, clock: Clock, *, propagation: float = 0.0) -> None:
        self._clock = clock
        self._propagation = propagation
        self._known: dict[str, Registered] = {}
        self._assignments: dict[str, Assignment] = {}
        self.register(Registered(DEFAULT_OID, DEFAULT_CLIENT_ID, "default"))
        self.register(Registered(NO_ROLE_OID, NO_ROLE_CLIENT_ID, "no-role"))
        for role in (EXECUTOR_ROLE_ID, OWNER_ROLE_ID):
            self._grant_at_start(DEFAULT_OID, role, "/")

    # -- principals --------------------------------------------------------------------------------------

    @property
    def known(self) -> tuple[Registered, ...]:
        return tuple(self._known.values())

    def register(self, principal: Registered) -> None:
        self._known[principal.oid.lower()] = principal

    def find(self, *, oid: str | None = None, client_id: str | None = None) -> Registered | None:
        """A known principal by its object id or its client id."""
        for one in self._known.values():
            if (oid and one.oid.lower() == oid.lower()) or (
                client_id and one.client_id.lower() == client_id.lower()
            ):
                return one
        return None

    def configure(self, entries: Iterable[Mapping[str, Any]], *, where: str = "principals") -> None:
        """Register the settings' principals: `oid`, `name`, `clientId`, `clientSecret`, `scopes`.

        `scopes`: where the principal holds the executor role ("/" is everywhere; none: nowhere). Raises
        `ConfigurationError`.
        """
        for index, entry in enumerate(entries):
            place = f"{where}[{index}]"
            unknown = set(entry) - {"oid", "name", "clientId", "clientSecret", "scopes"}
            if unknown:
                known = "oid, name, clientId, clientSecret, scopes"
                raise ConfigurationError(f"{sorted(unknown)[0]} is not known; known: {known}", where=place)
            texts = {key: entry.get(key) for key in ("oid", "name", "clientId", "clientSecret")}
            for key, value in texts.items():
                if value is not None and (not isinstance(value, str) or not value):
                    raise ConfigurationError(f"{key} must be a text", where=place)
            oid = texts["oid"]
            if oid is None:
                raise ConfigurationError("oid is missing; give the principal's object id", where=place)
            scopes = entry.get("scopes", [])
            if not isinstance(scopes, list) or not all(
                isinstance(one, str) and one.startswith("/") for one in scopes
            ):
                raise ConfigurationError('scopes must be a list of resource ids, or ["/"]', where=place)
            self.register(
                Registered(oid, texts["clientId"] or oid, texts["name"] or oid, texts["clientSecret"])
            )
            for scope in scopes:
                self._grant_at_start(oid, EXECUTOR_ROLE_ID, scope)

    # -- role assignments --------------------------------------------------------------------------------

    def assign(
        self,
        principal_id: str,
        scope: str,
        *,
        role_id: str = EXECUTOR_ROLE_ID,
        name: str | None = None,
        principal_type: str = "ServicePrincipal",
    ) -> Assignment:
        """Give a role; counts once it has propagated. The same role again at the same scope is the same."""
        for one in self._assignments.values():
            same = one.principal_id.lower() == principal_id.lower() and one.role_id.lower() == role_id.lower()
            if same and one.scope.strip("/").lower() == scope.strip("/").lower():
                return one
        return self._add(
            Assignment(
                name or str(uuid.uuid4()), principal_id, role_id, scope, self._clock.now(), principal_type
            )
        )

    def remove(self, assignment_id: str) -> Assignment | None:
        """Take a role away at once; returns it, or None if there was none."""
        return self._assignments.pop(assignment_id.lower(), None)

    def get(self, assignment_id: str) -> Assignment | None:
        return self._assignments.get(assignment_id.lower())

    @property
    def assignments(self) -> tuple[Assignment, ...]:
        return tuple(self._assignments.values())

    def restore(self, assignments: Iterable[Assignment]) -> None:
        """Put back what an earlier run kept."""
        for one in assignments:
            self._add(one)

    def _add(self, assignment: Assignment) -> Assignment:
        self._assignments[assignment.id.lower()] = assignment
        return assignment

    def _grant_at_start(self, oid: str, role_id: str, scope: str) -> None:
        # A name that stays the same over restarts, and a time long enough ago to have propagated.
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{oid} {role_id} {scope}".lower()))
        self._add(Assignment(name, oid, role_id, scope, float("-inf")))

    # -- may they? ---------------------------------------------------------------------------------------

    def authorize(self, principal: Principal, pool: SessionPool) -> None:
        """Return if `principal` may run code in `pool`; raises `Forbidden` with the reason."""
        who = f"principal {principal.name or principal.oid}"
        if principal.claimed == CLAIMED_NONE:
            raise _forbidden(f"{who} holds no role {EXECUTOR_ROLE_NAME!r}: its token was made without")
        held = [one for one in self._of(principal) if one.covers(pool.resource_id)]
        executor = [one for one in held if one.role_id.lower() == EXECUTOR_ROLE_ID]
        if any(self._propagated(one) for one in executor):
            return
        if executor:
            left = min(one.created_at for one in executor) + self._propagation - self._clock.now()
            raise _forbidden(f"{who}: the role assignment takes another {left:.0f} s to propagate")
        if not self._is_known(principal) and (principal.claimed == CLAIMED_EXECUTOR or principal.foreign):
            # Nothing says otherwise: a token made for any object id works, and one of Azure's own does
            # under `--auth claims`.
            return
        others = sorted({ROLE_DEFINITIONS.get(one.role_id.lower(), one.role_id) for one in held})
        instead = f" (it holds {', '.join(others)}, which does not include it)" if others else ""
        raise _forbidden(
            f"{who} holds no role {EXECUTOR_ROLE_NAME!r} on {pool.resource_id} or above{instead}"
        )

    def may_manage(self, principal: Principal, resource_id: str) -> bool:
        """True if `principal` may change resources at `resource_id` over the control plane."""
        if principal.claimed == CLAIMED_NONE:
            return False
        if not self._is_known(principal):
            return principal.claimed == CLAIMED_EXECUTOR or principal.foreign
        return any(
            one.role_id.lower() in MANAGING_ROLES and one.covers(resource_id) and self._propagated(one)
            for one in self._of(principal)
        )

    def _of(self, principal: Principal) -> list[Assignment]:
        oid = principal.oid.lower()
        return [one for one in self._assignments.values() if one.principal_id.lower() == oid]

    def _is_known(self, principal: Principal) -> bool:
        return principal.oid.lower() in self._known or bool(self._of(principal))

    def _propagated(self, assignment: Assignment) -> bool:
        return self._clock.now() >= assignment.created_at + self._propagation


def _forbidden(reason: str) -> Forbidden:
    return Forbidden("The principal may not use this session pool.", reason=reason)
