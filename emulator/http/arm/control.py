"""What the control plane's handlers share, and what of it outlives the emulator."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

from emulator.clock import Clock
from emulator.errors import ConfigurationError
from emulator.http.arm.call import Call
from emulator.http.arm.operations import Operations
from emulator.http.arm.state import State
from emulator.identity.mcp_keys import McpKeys
from emulator.identity.principals import Assignment
from emulator.identity.service import Identity
from emulator.pool.registry import Registry
from emulator.resources.document import parse_pool
from emulator.resources.model import SessionPool
from emulator.resources.rendering import system_data

log = logging.getLogger("emulator.arm")


class ControlPlane:
    """Registry, identity, kept state and operations of one emulator.

    `operation_delay`: seconds of the clock that operations take; `strict`: hold callers to Azure's ranges.
    """

    def __init__(
        self,
        registry: Registry,
        identity: Identity,
        clock: Clock,
        state: State,
        mcp_keys: McpKeys,
        *,
        strict: bool = True,
        operation_delay: float = 0.0,
    ) -> None:
        self.registry = registry
        self.identity = identity
        self.clock = clock
        self.state = state
        self.strict = strict
        self.operations = Operations(clock, registry.shared.sweeper, operation_delay)
        self.mcp_keys = mcp_keys
        self.started = clock.now()
        self.deleting: set[str] = set()
        self._declared: dict[str, str] = {}
        self._restore_assignments()

    # -- pools over restarts -----------------------------------------------------------------------------

    def merge(self, specs: Iterable[SessionPool]) -> list[SessionPool]:
        """The pools to start with: `specs` (pool files, or the default ones) and those made over ARM.

        What ARM changed about a pool of a file holds until the file's own document changes.
        """
        merged = {spec.key: spec for spec in specs}
        self._declared = {key: _digest(spec.document) for key, spec in merged.items()}
        kept = self.state.section("pools")
        for key, entry in list(kept.items()):
            if entry.get("base") != self._declared.get(key):
                if key in merged:
                    log.info("the pool file of %s has changed: what ARM changed before is dropped", key)
                    del kept[key]
                    continue
                if entry.get("base") is not None:  # of a file that is no longer given
                    continue
            try:
                merged[key] = parse_pool(
                    entry["document"],
                    where=str(entry.get("name", key)),
                    strict=self.strict,
                    name=entry["name"],
                    subscription=entry["subscription"],
                    resource_group=entry["resourceGroup"],
                )
            except (ConfigurationError, KeyError, TypeError) as error:
                log.error("a pool made over ARM cannot be taken up again: %s", error)
        return list(merged.values())

    def remember(self, spec: SessionPool, call: Call) -> None:
        """Keep a pool that `call` made or changed; the caller saves."""
        kept, now = self.state.section("pools"), self.clock.now()
        who, kind = call.who
        before = kept.get(spec.key, {})
        made = before.get("createdAt", self.started if spec.key in self._declared else now)
        kept[spec.key] = {
            "name": spec.name,
            "subscription": spec.subscription,
            "resourceGroup": spec.resource_group,
            "document": dict(spec.document),
            "base": self._declared.get(spec.key),
            "createdAt": made,
            "createdBy": before.get("createdBy", "pool file" if spec.key in self._declared else who),
            "modifiedAt": now,
            "modifiedBy": who,
            "kind": kind,
        }

    def forget(self, key: str) -> None:
        """Drop what is kept of a pool that is deleted; the caller saves."""
        self.state.section("pools").pop(key, None)
        self.mcp_keys.forget(key)

    def stamp(self, key: str) -> dict[str, str]:
        """systemData of a pool."""
        entry: Mapping[str, Any] = self.state.section("pools").get(key, {})
        created = entry.get("createdAt", self.started)
        return system_data(
            created,
            entry.get("modifiedAt", created),
            created_by=entry.get("createdBy", "pool file"),
            modified_by=entry.get("modifiedBy"),
            kind=entry.get("kind", "User"),
        )

    # -- role assignments over restarts ------------------------------------------------------------------

    def _restore_assignments(self) -> None:
        kept = self.state.section("assignments")
        self.identity.principals.restore(Assignment(**entry) for entry in kept.values())

    async def keep_assignments(self) -> None:
        """Save what was assigned over ARM; what the settings give is given anew at every start."""
        kept = self.state.section("assignments")
        kept.clear()
        for one in self.identity.principals.assignments:
            if math.isfinite(one.created_at):
                kept[one.id.lower()] = {
                    "name": one.name,
                    "principal_id": one.principal_id,
                    "role_id": one.role_id,
                    "scope": one.scope,
                    "created_at": one.created_at,
                    "principal_type": one.principal_type,
                }
        await self.state.save()


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()[:32]
