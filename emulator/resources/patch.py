"""PATCH of a session pool: a JSON merge patch (RFC 7396), limited to what the service lets change."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from emulator.resources.document import canonical_document, carry_secrets
from emulator.resources.problems import INVALID_PATCH, Path, Report
from emulator.resources.regions import normal_name
from emulator.resources.shape import UPDATABLE

# Documented; x-emulator is ours.
UPDATABLE_TOP: Final = ("tags", "identity", "x-emulator")
_ADDRESS: Final = ("id", "name", "subscription", "resourceGroup")


def merge_patch(
    document: Mapping[str, Any], patch: Mapping[str, Any], *, where: str = "the PATCH body"
) -> dict[str, Any]:
    """A pool's `document` after `patch`, ready for `parse_pool` without `previous`; changes no argument.

    What may not change may still be sent with the value it has, as `az` does. Raises `PoolDocumentError`
    naming what may not change.
    """
    report = Report(where)
    change = canonical_document(patch, report, nulls=True)
    for key in _ADDRESS:
        change.pop(key, None)
    _refuse_fixed(document, change, report)
    _drop_opposite(document, change)
    merged: dict[str, Any] = _merge(document, change)
    carry_secrets(merged, document)
    return merged


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    result = dict(deepcopy(target)) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result


def _refuse_fixed(document: Mapping[str, Any], change: Mapping[str, Any], report: Report) -> None:
    for key, value in change.items():
        if key == "location":
            same = value is None or normal_name(value) == normal_name(str(document.get(key, "")))
            _require(same, (key,), value, report)
    held = document.get("properties", {})
    for key, value in (change.get("properties") or {}).items():
        if key not in UPDATABLE:
            same = value is None or _same(held.get(key), value)
            _require(same, ("properties", key), value, report)


def _same(held: Any, value: Any) -> bool:
    if isinstance(held, str) and isinstance(value, str):
        return held.lower() == value.lower()  # ids and enums, both compared without regard to case
    return bool((held or None) == (value or None))


def _require(same: bool, path: Path, value: Any, report: Report) -> None:
    if same:
        return
    allowed = ", ".join([*UPDATABLE_TOP[:2], *(f"properties.{key}" for key in UPDATABLE)])
    raise report.error(
        path, f"cannot be changed by PATCH (only {allowed}); use PUT", value, code=INVALID_PATCH
    )


def _drop_opposite(document: Mapping[str, Any], change: dict[str, Any]) -> None:
    """⚑ A patch that changes the lifecycle's type also removes the period of the other type."""
    step: Any = change
    for key in ("properties", "dynamicPoolConfiguration", "lifecycleConfiguration"):
        step = step.get(key) if isinstance(step, Mapping) else None
    if not isinstance(step, dict) or step.get("lifecycleType") is None:
        return
    timed = step["lifecycleType"] == "Timed"
    step.setdefault("maxAlivePeriodInSeconds" if timed else "cooldownPeriodInSeconds", None)
