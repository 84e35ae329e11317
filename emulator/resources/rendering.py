"""From a `SessionPool` to the document ARM answers, in the caller's version; nothing else knows versions.

Recorded from a PythonLTS pool (2024-02-02-preview): `type` with a lower-case p, `environmentId` null, a ready
count that was sent left out, the cooldown beside `executionType`, `identity` {"type": "None"}, times of
systemData with 7 digits and no zone. The rest is documented (2025-10-02-preview, 2026-01-01).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from emulator.resources.model import LifecycleType, SessionPool
from emulator.resources.regions import display_name

_VERSION = re.compile(r"(\d{4}-\d{2}-\d{2})(-preview)?")


@dataclass(frozen=True)
class ArmVersion:
    """What one api-version of the control plane can say. Versions unseen so far sort by their date."""

    date: str
    preview: bool

    @property
    def has_lifecycle(self) -> bool:
        return self.date >= "2025-01-01"

    @property
    def has_preview_members(self) -> bool:
        """MCP servers, probes and template status: previews from 2025-02-02 on, never in a stable version."""
        return self.preview and self.date >= "2025-02-02"

    @property
    def type_name(self) -> str:
        return "Microsoft.App/sessionPools" if self.has_lifecycle else "Microsoft.App/sessionpools"


def parse_api_version(text: str) -> ArmVersion | None:
    """The version `text` names (`YYYY-MM-DD` or `YYYY-MM-DD-preview`), or None if it names none."""
    match = _VERSION.fullmatch(text.strip().lower())
    return ArmVersion(match[1], match[2] is not None) if match else None


NEWEST = ArmVersion("2025-10-02", True)


def render_pool(
    pool: SessionPool,
    *,
    api_version: str,
    endpoint: str,
    provisioning_state: str = "Succeeded",
    system_data: Mapping[str, str] | None = None,
    principal_id: str | None = None,
    tenant_id: str | None = None,
) -> dict[str, Any]:
    """The answer to GET, PUT and PATCH; without the values of secrets, and itself a valid pool file.

    `endpoint` is the poolManagementEndpoint as the caller can reach it. An `api_version` that names no
    version is answered as the newest preview. `principal_id` and `tenant_id` are those of a
    system-assigned identity.
    """
    version = parse_api_version(api_version) or NEWEST
    answer: dict[str, Any] = {
        "id": pool.resource_id,
        "name": pool.name,
        "type": version.type_name,
        "location": display_name(pool.location),
        "properties": _properties(pool, version, endpoint, provisioning_state),
        "identity": _identity(pool.document.get("identity"), principal_id, tenant_id),
    }
    if pool.document.get("tags"):
        answer["tags"] = dict(pool.document["tags"])
    if pool.document.get("x-emulator"):
        answer["x-emulator"] = deepcopy(pool.document["x-emulator"])
    if system_data is not None:
        answer["systemData"] = dict(system_data)
    return answer


def system_data(
    created: float, modified: float, *, created_by: str, modified_by: str | None = None, kind: str = "User"
) -> dict[str, str]:
    """ARM's record of who and when; `created` and `modified` in seconds since the epoch."""
    return {
        "createdBy": created_by,
        "createdByType": kind,
        "createdAt": _seven_digits(created),
        "lastModifiedBy": modified_by or created_by,
        "lastModifiedByType": kind,
        "lastModifiedAt": _seven_digits(modified),
    }


def _seven_digits(moment: float) -> str:
    time = datetime.fromtimestamp(moment, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond:06d}0"


def _properties(
    pool: SessionPool, version: ArmVersion, endpoint: str, provisioning_state: str
) -> dict[str, Any]:
    document: Mapping[str, Any] = pool.document.get("properties", {})
    custom = not pool.container_type.built_in
    answer: dict[str, Any] = {
        "provisioningState": provisioning_state,
        "environmentId": document.get("environmentId"),
        "poolManagementType": "Dynamic",
        "containerType": str(pool.container_type),
        "scaleConfiguration": _scale(pool),
        "secrets": [{"name": secret["name"]} for secret in document.get("secrets", ())] or None,
        "dynamicPoolConfiguration": _dynamic(pool, version),
        "customContainerTemplate": _template(document, version),
        "sessionNetworkConfiguration": {"status": str(pool.network)},
        "poolManagementEndpoint": endpoint,
        "managedIdentitySettings": deepcopy(document.get("managedIdentitySettings", [])),
    }
    if custom:
        answer["nodeCount"] = 1
    if version.has_preview_members:
        answer["mcpServerSettings"] = _mcp(pool, endpoint)
        if custom:
            answer["templateUpdateStatus"] = None
    return answer


def _scale(pool: SessionPool) -> dict[str, int]:
    scale = {"maxConcurrentSessions": pool.max_sessions}
    if pool.ready_sessions is not None:
        scale["readySessionInstances"] = pool.ready_sessions
    return scale


def _dynamic(pool: SessionPool, version: ArmVersion) -> dict[str, Any]:
    lifecycle = pool.lifecycle
    timed = lifecycle.type is LifecycleType.TIMED
    member = "cooldownPeriodInSeconds" if timed else "maxAlivePeriodInSeconds"
    seconds = lifecycle.cooldown if timed else lifecycle.max_alive
    period = {} if seconds is None else {member: int(seconds) if seconds == int(seconds) else seconds}
    if version.has_lifecycle:
        return {"lifecycleConfiguration": {"lifecycleType": str(lifecycle.type), **period}}
    # Before 2025-01-01 the document had no word for a longest life.
    return {"executionType": str(lifecycle.type), **(period if timed else {})}


def _template(document: Mapping[str, Any], version: ArmVersion) -> dict[str, Any] | None:
    template: dict[str, Any] | None = deepcopy(document.get("customContainerTemplate"))
    if template is not None and not version.has_preview_members:
        for container in template.get("containers", ()):
            container.pop("probes", None)
    return template


def _mcp(pool: SessionPool, endpoint: str) -> dict[str, Any] | None:
    if "mcpServerSettings" not in pool.document.get("properties", {}):
        return None
    settings: dict[str, Any] = {
        "isMcpServerEnabled": pool.mcp_enabled,
        "isMcpServerApiKeyDisabled": pool.mcp_key_disabled,
    }
    if pool.mcp_enabled:
        settings["mcpServerEndpoint"] = f"{endpoint.rstrip('/')}/mcp"
    return settings


def _identity(identity: Any, principal_id: str | None, tenant_id: str | None) -> dict[str, Any]:
    if not isinstance(identity, Mapping):
        return {"type": "None"}
    answer = dict(identity)
    if principal_id is not None and "SystemAssigned" in str(identity.get("type", "")):
        answer |= {"principalId": principal_id, "tenantId": tenant_id}
    return answer
