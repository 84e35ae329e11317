"""The container of a CustomContainer pool: image, port, resources, environment, probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from emulator.resources import problems
from emulator.resources.model import ContainerTemplate, Probe
from emulator.resources.problems import INVALID_PROBE, INVALID_SECRET, INVALID_TEMPLATE, Path, Report
from emulator.resources.units import parse_bytes

SMALLEST_MEMORY: Final = 6 * 1024**2  # a Docker Engine takes no less
SMALLEST_DISK: Final = 16 * 1024**2

TEMPLATE_PATH: Final[Path] = ("properties", "customContainerTemplate")
SECRETS_PATH: Final[Path] = ("properties", "secrets")

# member: (least that makes sense, Azure's least, Azure's most); documented with the resource.
_PROBE_RANGES: Final[dict[str, tuple[int, int, int]]] = {
    "failureThreshold": (1, 1, 10),
    "initialDelaySeconds": (0, 1, 60),
    "periodSeconds": (1, 1, 240),
    "successThreshold": (1, 1, 1),
    "terminationGracePeriodSeconds": (0, 0, 3600),
    "timeoutSeconds": (1, 1, 240),
}


def read_secrets(properties: Mapping[str, Any], report: Report) -> dict[str, str | None]:
    """Secrets by name; None where the document does not carry the value (a GET never does)."""
    secrets: dict[str, str | None] = {}
    for index, secret in enumerate(properties.get("secrets", ())):
        path = (*SECRETS_PATH, index)
        name = secret.get("name")
        if not name:
            raise report.error(path, "has no name; give the secret one", code=INVALID_SECRET)
        if name in secrets:
            raise report.error(
                (*path, "name"), "is the name of two secrets; keep one", name, code=INVALID_SECRET
            )
        secrets[name] = secret.get("value")
    return secrets


def read_template(
    properties: Mapping[str, Any], secrets: Mapping[str, str | None], report: Report
) -> ContainerTemplate:
    """The template of a CustomContainer pool, secrets resolved."""
    template = properties.get("customContainerTemplate")
    if template is None:
        raise report.error(
            TEMPLATE_PATH,
            "is missing; a CustomContainer pool needs an image and a port",
            code=INVALID_TEMPLATE,
        )
    reference = template.get("registryCredentials", {}).get("passwordSecretRef")
    if reference is not None:
        _secret((*TEMPLATE_PATH, "registryCredentials", "passwordSecretRef"), reference, secrets, report)
    containers = template.get("containers", [])
    path = (*TEMPLATE_PATH, "containers")
    if len(containers) != 1:
        raise report.error(
            path, f"holds {len(containers)} containers; a session runs exactly one", code=INVALID_TEMPLATE
        )
    container, path = containers[0], (*path, 0)
    image = container.get("image", "")
    if not image or any(sign.isspace() for sign in image):
        raise report.error(
            (*path, "image"),
            "is no image; write repository[:tag]",
            image or problems.MISSING,
            code=INVALID_TEMPLATE,
        )
    resources = container.get("resources", {})
    return ContainerTemplate(
        image=image,
        target_port=_target_port(template, report),
        name=container.get("name") or "main",
        command=tuple(container.get("command", ())),
        args=tuple(container.get("args", ())),
        env=read_environment(container.get("env", ()), (*path, "env"), secrets, report),
        cpu=read_cpu(resources, (*path, "resources", "cpu"), report),
        memory=read_memory(resources, (*path, "resources", "memory"), report),
        probes=read_probes(container.get("probes", ()), (*path, "probes"), report),
    )


def _target_port(template: Mapping[str, Any], report: Report) -> int:
    path = (*TEMPLATE_PATH, "ingress", "targetPort")
    port = template.get("ingress", {}).get("targetPort")
    if port is None:
        raise report.error(path, "is missing; name the port the container listens on", code=INVALID_TEMPLATE)
    return _port(port, path, report, INVALID_TEMPLATE)


def _port(port: int, path: Path, report: Report, code: str) -> int:
    if not 1 <= port <= 65535:
        raise report.error(path, "a port is 1 to 65535", port, code=code)
    return port


def read_cpu(resources: Mapping[str, Any], path: Path, report: Report) -> float | None:
    cpu = resources.get("cpu")
    if cpu is None:
        return None
    if cpu <= 0:
        raise report.error(path, "write the number of cores, such as 0.5", cpu, code=INVALID_TEMPLATE)
    return float(cpu)


def read_memory(resources: Mapping[str, Any], path: Path, report: Report) -> int | None:
    smallest = (SMALLEST_MEMORY, "an engine takes no less than 6Mi")
    return _read_size(resources.get("memory"), path, report, *smallest)


def read_disk(options: Mapping[str, Any], path: Path, report: Report) -> int | None:
    smallest = (SMALLEST_DISK, "a session needs at least 16Mi")
    return _read_size(options.get("disk"), path, report, *smallest)


def _read_size(text: Any, path: Path, report: Report, smallest: int, remedy: str) -> int | None:
    if text is None:
        return None
    try:
        size = parse_bytes(text)
    except ValueError as error:
        raise report.error(path, str(error), text, code=INVALID_TEMPLATE) from None
    if size < smallest:
        raise report.error(path, remedy, text, code=INVALID_TEMPLATE)
    return size


def read_environment(
    entries: Any, path: Path, secrets: Mapping[str, str | None], report: Report
) -> tuple[tuple[str, str], ...]:
    """Name and value of each variable, secrets looked up; the last of two equal names wins."""
    result: dict[str, str] = {}
    for index, entry in enumerate(entries):
        place = (*path, index)
        name = entry.get("name", "")
        if not name or "=" in name or "\0" in name:
            raise report.error((*place, "name"), "is no name of a variable", name, code=INVALID_TEMPLATE)
        if "secretRef" not in entry:
            result[name] = entry.get("value", "")
        elif entry.get("value"):
            raise report.error(place, "has both value and secretRef; keep one", code=INVALID_TEMPLATE)
        else:
            result[name] = _secret((*place, "secretRef"), entry["secretRef"], secrets, report)
    return tuple(result.items())


def _secret(path: Path, name: str, secrets: Mapping[str, str | None], report: Report) -> str:
    if name not in secrets:
        known = ", ".join(secrets) or "none"
        raise report.error(
            path, f"no secret has this name (properties.secrets: {known})", name, code=INVALID_SECRET
        )
    value = secrets[name]
    if value is None:
        # What GET answers carries names only, and yet is a valid pool file.
        problem = (
            f"the secret has no value in {problems.dotted(SECRETS_PATH)} and counts as empty; add its value"
        )
        report.range(path, problem, name, code=INVALID_SECRET)
    return value or ""


def read_probes(entries: Any, path: Path, report: Report) -> tuple[Probe, ...]:
    return tuple(_probe(entry, (*path, index), report) for index, entry in enumerate(entries))


def _probe(entry: Mapping[str, Any], path: Path, report: Report) -> Probe:
    if "tcpSocket" in entry:
        raise report.error((*path, "tcpSocket"), "is not yet supported; use httpGet", code=INVALID_PROBE)
    if "type" not in entry:
        raise report.error((*path, "type"), "is missing; write Liveness or Startup", code=INVALID_PROBE)
    get = entry.get("httpGet")
    if get is None or "port" not in get:
        raise report.error(
            (*path, "httpGet"), "is missing, or has no port; a probe needs both", code=INVALID_PROBE
        )
    if get.get("host"):
        report.warn((*path, "httpGet", "host"), "is ignored: a probe asks its own session", get["host"])
    for member, (least, low, high) in _PROBE_RANGES.items():
        _probe_range(entry, member, (least, low, high), path, report)
    return Probe(
        type=entry["type"],
        path="/" + get.get("path", "").removeprefix("/"),
        port=_port(get["port"], (*path, "httpGet", "port"), report, INVALID_PROBE),
        scheme=get.get("scheme", "HTTP"),
        headers=tuple(
            (header.get("name", ""), header.get("value", "")) for header in get.get("httpHeaders", ())
        ),
        failure_threshold=entry.get("failureThreshold", 3),
        initial_delay=float(entry.get("initialDelaySeconds", 0)),
        period=float(entry.get("periodSeconds", 10)),
        success_threshold=entry.get("successThreshold", 1),
        timeout=float(entry.get("timeoutSeconds", 1)),
    )


def _probe_range(
    entry: Mapping[str, Any], member: str, bounds: tuple[int, int, int], path: Path, report: Report
) -> None:
    value = entry.get(member)
    if value is None:
        return
    least, low, high = bounds
    if value < least:
        raise report.error((*path, member), f"must be at least {least}", value, code=INVALID_PROBE)
    if not low <= value <= high:
        allowed = f"must be {low}" if low == high else f"is outside {low} to {high}"
        report.range((*path, member), allowed, value, code=INVALID_PROBE)
