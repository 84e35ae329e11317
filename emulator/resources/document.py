"""From an ARM session-pool document, in any version's spelling, to a `SessionPool`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from emulator.resources.faults import read_rules
from emulator.resources.lifecycle import modernise, read_lifecycle, read_scale
from emulator.resources.model import (
    DEFAULT_LOCATION,
    DEFAULT_RESOURCE_GROUP,
    DEFAULT_SUBSCRIPTION,
    ContainerTemplate,
    ContainerType,
    EmulatorOptions,
    Network,
    SessionPool,
)
from emulator.resources.problems import (
    INVALID_MANAGEMENT,
    INVALID_NAME,
    INVALID_TYPE,
    Locate,
    Path,
    Report,
)
from emulator.resources.shape import DOCUMENT
from emulator.resources.template import (
    read_cpu,
    read_disk,
    read_memory,
    read_probes,
    read_secrets,
    read_template,
)

# The service's own list and order, as users have seen it in its message.
SERVICE_TYPES: Final = ("PythonLTS", "CustomContainer", "NodeLTS", "GpuBase", "CsharpLTS", "Shell")
WITH_MCP: Final = (ContainerType.PYTHON, ContainerType.SHELL)

_RESOURCE_ID = re.compile(
    r"/?subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<resourceGroup>[^/]+)"
    r"(?:/providers/Microsoft\.App)?/sessionPools/(?P<name>[^/]+)/?",
    re.IGNORECASE,
)
_HOST_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_AZURE_NAME = re.compile(r"[a-z][a-z0-9-]{2,62}")
_SEGMENT = re.compile(r"[\w().-]{0,89}[\w()-]")


def canonical_document(document: Any, report: Report, *, nulls: bool = False) -> dict[str, Any]:
    """The document in ARM's newest spelling, read-only members left out; `nulls` keeps null (for PATCH)."""
    result = DOCUMENT.read(document, (), report, nulls=nulls)
    properties = result.get("properties")
    if properties and properties.get("dynamicPoolConfiguration") is not None:
        properties["dynamicPoolConfiguration"] = modernise(properties["dynamicPoolConfiguration"])
    return result


def parse_pool(
    document: Mapping[str, Any],
    *,
    where: str | Locate,
    strict: bool = True,
    enforce_ranges: bool = False,
    name: str | None = None,
    subscription: str | None = None,
    resource_group: str | None = None,
    location: str | None = None,
    previous: SessionPool | None = None,
) -> SessionPool:
    """Read one document; raises `PoolDocumentError`.

    `where` names the source in messages. `name`, `subscription`, `resource_group` win over the document's
    own (ARM takes them from the URL), `location` is used where the document has none. `enforce_ranges`
    makes what Azure refuses an error, unless `strict` is off. `previous`, the pool a PUT replaces, supplies
    what its document may leave out: secret values, and the x-emulator block. The result's `warnings` say what
    Azure would refuse and what was ignored.
    """
    report = Report(where, enforce=enforce_ranges and strict)
    canonical = canonical_document(document, report)
    if previous is not None:
        carry_secrets(canonical, previous.document)
        if "x-emulator" in previous.document:
            canonical.setdefault("x-emulator", previous.document["x-emulator"])
    properties = canonical.setdefault("properties", {})
    container_type = _container_type(properties, report)
    _management_type(properties, report)
    secrets = read_secrets(properties, report)
    most, ready = read_scale(properties, container_type, report)
    lifecycle = read_lifecycle(properties, container_type, report, strict=strict)
    template = None
    if container_type is ContainerType.CUSTOM:
        template = read_template(properties, secrets, report)
    elif properties.pop("customContainerTemplate", None) is not None:
        report.warn(("properties", "customContainerTemplate"), f"is ignored: this pool is {container_type}")
    options = _options(canonical, container_type, report)
    if template is not None:
        template = _local_template(template, options, canonical, report)
    mcp = _mcp(properties, container_type, report)
    who = _names(canonical, report, name, subscription, resource_group)
    rules = read_rules(canonical.get("x-emulator", {}), who["name"], container_type, report)
    place = canonical.get("location") or location or (previous.location if previous else None)
    if place is None and report.enforce:
        raise report.verbatim(
            ("location",), "The location property is required for this definition.", code="LocationRequired"
        )
    status = properties.get("sessionNetworkConfiguration", {}).get("status", Network.DISABLED)
    kept = {
        key: value for key, value in canonical.items() if key not in {"id", "subscription", "resourceGroup"}
    }
    kept |= {"name": who["name"], "location": place or DEFAULT_LOCATION}
    return SessionPool(
        name=who["name"],
        container_type=container_type,
        subscription=who["subscription"],
        resource_group=who["resourceGroup"],
        location=place or DEFAULT_LOCATION,
        max_sessions=most,
        ready_sessions=ready,
        lifecycle=lifecycle,
        network=Network(status),
        template=template,
        emulator=replace(options, faults=rules),
        document=kept,
        mcp_enabled=mcp.get("isMcpServerEnabled", False),
        mcp_key_disabled=mcp.get("isMcpServerApiKeyDisabled", False),
        warnings=tuple(report.warnings),
    )


def carry_secrets(document: dict[str, Any], previous: Mapping[str, Any]) -> None:
    """Give the secrets of `document` that come without a value the one they had."""
    properties = document.get("properties", {})
    held = {secret.get("name"): secret for secret in previous.get("properties", {}).get("secrets", ())}
    if properties.get("secrets"):
        properties["secrets"] = [
            held.get(secret.get("name"), secret) if "value" not in secret else secret
            for secret in properties["secrets"]
        ]


def _container_type(properties: dict[str, Any], report: Report) -> ContainerType:
    path: Path = ("properties", "containerType")
    given = properties.get("containerType")
    if given is None:
        raise report.error(path, f"is missing; write one of {', '.join(ContainerType)}", code=INVALID_TYPE)
    for known in ContainerType:
        if given.lower() == known.lower():
            properties["containerType"] = str(known)
            return known
    if given.lower() in {known.lower() for known in SERVICE_TYPES}:
        problem = f"Azure knows this type, the emulator cannot run it; use one of {', '.join(ContainerType)}"
        raise report.error(path, problem, given, code=INVALID_TYPE)
    message = f"Invalid container type '{given}'. Valid types are: [{', '.join(SERVICE_TYPES)}]"
    raise report.verbatim(path, message, code=INVALID_TYPE)


def _management_type(properties: dict[str, Any], report: Report) -> None:
    given = properties.setdefault("poolManagementType", "Dynamic")
    if given.lower() != "dynamic":
        path = ("properties", "poolManagementType")
        raise report.error(path, "only Dynamic is supported", given, code=INVALID_MANAGEMENT)
    properties["poolManagementType"] = "Dynamic"


def _options(document: Mapping[str, Any], container_type: ContainerType, report: Report) -> EmulatorOptions:
    block = document.get("x-emulator", {})
    path: Path = ("x-emulator",)
    ready = block.get("ready")
    if ready is not None and not container_type.built_in:
        problem = "is for built-in pools; use properties.scaleConfiguration.readySessionInstances"
        raise report.error((*path, "ready"), problem)
    if ready is not None and ready < 0:
        raise report.error((*path, "ready"), "must not be negative", ready)
    if block.get("probes") and container_type.built_in:
        raise report.error(
            (*path, "probes"), "is for CustomContainer pools; a built-in session is watched by itself"
        )
    return EmulatorOptions(
        image=block.get("image"),
        runtime_name=block.get("runtimeName"),
        ready=ready,
        cpu=read_cpu(block, (*path, "cpu"), report),
        memory=read_memory(block, (*path, "memory"), report),
        disk=read_disk(block, (*path, "disk"), report),
        forward_authorization=block.get("forwardAuthorization", False),
        env=tuple(block.get("env", {}).items()),
    )


def _local_template(
    template: ContainerTemplate, options: EmulatorOptions, document: Mapping[str, Any], report: Report
) -> ContainerTemplate:
    """The template with the x-emulator block's image, resources, variables and probes laid over it."""
    probes = document.get("x-emulator", {}).get("probes", ())
    return replace(
        template,
        image=options.image or template.image,
        cpu=template.cpu if options.cpu is None else options.cpu,
        memory=template.memory if options.memory is None else options.memory,
        env=tuple((dict(template.env) | dict(options.env)).items()),
        probes=template.probes + read_probes(probes, ("x-emulator", "probes"), report),
    )


def _mcp(properties: dict[str, Any], container_type: ContainerType, report: Report) -> dict[str, Any]:
    settings: dict[str, Any] = properties.get("mcpServerSettings", {})
    if settings and container_type not in WITH_MCP:
        # Seen live: on a custom pool the setting silently becomes null.
        path = ("properties", "mcpServerSettings")
        report.warn(path, f"is ignored: {container_type} pools have no MCP server, as on Azure")
        del properties["mcpServerSettings"]
        return {}
    return settings


def _names(
    document: Mapping[str, Any],
    report: Report,
    name: str | None,
    subscription: str | None,
    resource_group: str | None,
) -> dict[str, str]:
    given = {"name": name, "subscription": subscription, "resourceGroup": resource_group}
    match = _RESOURCE_ID.fullmatch(document.get("id", ""))
    from_id = match.groupdict() if match else {}
    defaults = {"subscription": DEFAULT_SUBSCRIPTION, "resourceGroup": DEFAULT_RESOURCE_GROUP}
    found: dict[str, str] = {}
    for key, value in given.items():
        chosen = value or document.get(key) or from_id.get(key) or defaults.get(key)
        if not chosen:
            raise report.error((key,), "is missing; give the pool a name", code=INVALID_NAME)
        found[key] = chosen
    for key in ("subscription", "resourceGroup"):
        if not _SEGMENT.fullmatch(found[key]):
            raise report.error(
                (key,), "use letters, digits and . _ - ( ), at most 90", found[key], code=INVALID_NAME
            )
    if not _HOST_LABEL.fullmatch(found["name"]):
        problem = "use letters, digits and hyphens, at most 63, as in a host name"
        raise report.error(("name",), problem, found["name"], code=INVALID_NAME)
    if not _AZURE_NAME.fullmatch(found["name"]):
        problem = "should begin with a lower-case letter and have 3 to 63 of a-z, 0-9 and -"
        report.range(("name",), problem, found["name"], code=INVALID_NAME)
    return found
