"""How many sessions a pool holds and when they end, by either spelling of the document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from emulator.resources.model import ContainerType, Lifecycle, LifecycleType
from emulator.resources.problems import INVALID_LIFECYCLE, INVALID_READY, INVALID_SCALE, Path, Report

DEFAULT_MAX_SESSIONS: Final = 10  # az's own defaults, recorded
DEFAULT_COOLDOWN: Final = 300

_LIFECYCLE: Final[Path] = ("properties", "dynamicPoolConfiguration", "lifecycleConfiguration")
_SCALE: Final[Path] = ("properties", "scaleConfiguration")


def modernise(dynamic: Mapping[str, Any]) -> dict[str, Any]:
    """`executionType` and the bare cooldown of 2024's versions, moved where 2025's put them."""
    lifecycle = dict(dynamic.get("lifecycleConfiguration") or {})
    for old, new in (
        ("executionType", "lifecycleType"),
        ("cooldownPeriodInSeconds", "cooldownPeriodInSeconds"),
    ):
        if old in dynamic:
            lifecycle.setdefault(new, dynamic[old])
    if "lifecycleConfiguration" in dynamic and dynamic["lifecycleConfiguration"] is None and not lifecycle:
        return {"lifecycleConfiguration": None}
    return {"lifecycleConfiguration": lifecycle} if lifecycle else {}


def read_lifecycle(
    properties: Mapping[str, Any], container_type: ContainerType, report: Report, *, strict: bool
) -> Lifecycle:
    """Timed with a cooldown, or OnContainerExit with a longest life; the other's member is refused."""
    document = properties.get("dynamicPoolConfiguration", {}).get("lifecycleConfiguration", {})
    kind = LifecycleType(document.get("lifecycleType", LifecycleType.TIMED))
    cooldown, max_alive = document.get("cooldownPeriodInSeconds"), document.get("maxAlivePeriodInSeconds")
    if kind is LifecycleType.TIMED:
        _foreign(document, "maxAlivePeriodInSeconds", kind, LifecycleType.ON_CONTAINER_EXIT, report, strict)
        return Lifecycle(kind, float(_cooldown(DEFAULT_COOLDOWN if cooldown is None else cooldown, report)))
    if container_type.built_in:
        problem = f"only CustomContainer pools end this way; this one is {container_type}. Use Timed"
        raise report.error((*_LIFECYCLE, "lifecycleType"), problem, str(kind), code=INVALID_LIFECYCLE)
    _foreign(document, "cooldownPeriodInSeconds", kind, LifecycleType.TIMED, report, strict)
    if max_alive is None:
        return Lifecycle(kind, None, None)
    if max_alive <= 0:
        problem = "write a number of seconds above 0"
        raise report.error(
            (*_LIFECYCLE, "maxAlivePeriodInSeconds"), problem, max_alive, code=INVALID_LIFECYCLE
        )
    return Lifecycle(kind, None, float(max_alive))


def _cooldown(cooldown: int | float, report: Report) -> int | float:
    path = (*_LIFECYCLE, "cooldownPeriodInSeconds")
    if cooldown <= 0:
        raise report.error(path, "write a number of seconds above 0", cooldown, code=INVALID_LIFECYCLE)
    if not 300 <= cooldown <= 3600:
        report.range(path, "is outside 300 to 3600 seconds", cooldown, code=INVALID_LIFECYCLE)
    return cooldown


def _foreign(
    document: Mapping[str, Any],
    member: str,
    kind: LifecycleType,
    other: LifecycleType,
    report: Report,
    strict: bool,
) -> None:
    if member not in document:
        return
    problem = f"does not go with lifecycleType {kind}; remove it, or use {other}"
    if strict:
        raise report.error((*_LIFECYCLE, member), problem, document[member], code=INVALID_LIFECYCLE)
    report.warn((*_LIFECYCLE, member), f"is ignored: it {problem}", document[member])


def read_scale(
    properties: Mapping[str, Any], container_type: ContainerType, report: Report
) -> tuple[int, int | None]:
    """The most sessions at a time and, for a custom pool, how many instances wait ready."""
    scale = properties.get("scaleConfiguration", {})
    most = scale.get("maxConcurrentSessions", DEFAULT_MAX_SESSIONS)
    path = (*_SCALE, "maxConcurrentSessions")
    if most < 1:
        raise report.error(path, "a pool holds at least 1 session", most, code=INVALID_SCALE)
    if not 5 <= most <= 600:
        report.range(path, "is outside 5 to 600", most, code=INVALID_SCALE)
    ready = scale.get("readySessionInstances")
    path = (*_SCALE, "readySessionInstances")
    if ready is None:
        return most, None
    if container_type.built_in:
        # Recorded: the service drops it silently. az always sends 5, so this is no reason to refuse.
        report.warn(path, "is ignored on a built-in pool, as on Azure; x-emulator.ready sets it here", ready)
        return most, None
    if ready < 0:
        raise report.error(path, "must not be negative", ready, code=INVALID_READY)
    if not 0 < ready < most:
        azure = "Supported values should be greater than 0 and smaller than maxConcurrentSessions."
        problem = f"should be greater than 0 and smaller than maxConcurrentSessions ({most})"
        report.range(path, problem, ready, code=INVALID_READY, azure=azure)
    return most, min(ready, most)
