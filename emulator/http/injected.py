"""Contract errors by their code, as faults inject them: the status and shape that the real one has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emulator import errors
from emulator.errors import ModelBindingFailed, ServiceError, Shape

# What the API inside a session answers; the emulator only passes these on.
_FROM_INSIDE = {
    "InvalidRequest": 400,
    "FilePathInvalid": 400,
    "FileNameInvalid": 400,
    "FileNotFound": 404,
    "DeleteFileError": 404,
    "ExecutionNotFound": 404,
    "RequestTooLarge": 413,
    "UnsupportedMediaType": 415,
}
UNNAMED = "InjectedFault"
"""Code of an error of which only a status was said, and the contract knows none or several of it."""


def contract_errors() -> Iterator[type[ServiceError]]:
    """The tree of `emulator.errors`, from the root down."""
    waiting = ServiceError.__subclasses__()
    while waiting:
        kind = waiting.pop(0)
        if kind.__module__ == errors.__name__:
            yield kind
            waiting += kind.__subclasses__()


def injected(options: Mapping[str, Any], reason: str, *, built_in: bool) -> ServiceError:
    """The error that `code`, `status` and `message` of a fault ask for.

    A status alone is the contract's error of that status where there is just one (401, 403, 429 …). A code
    that the contract does not have is answered with `status`, or 500.
    """
    code, status = options.get("code"), options.get("status")
    message = str(options.get("message", f"This answer was asked for by {reason}."))
    kind = _kind(code, status, built_in=built_in)
    if kind is ModelBindingFailed:
        return ModelBindingFailed({"$": [message]}, reason=reason)
    if kind is not None:
        return kind(message, reason=reason, status=status)
    status = status or _FROM_INSIDE.get(code or "", 500)
    error = ServiceError(message, code=code or UNNAMED, status=status, reason=reason)
    if status in (401, 403):
        error.shape = Shape.EMPTY
    return error


def _kind(code: str | None, status: int | None, *, built_in: bool) -> type[ServiceError] | None:
    if code is not None:
        found = [kind for kind in contract_errors() if kind.code == code]
    else:
        found = [kind for kind in contract_errors() if kind.status == status]
        if len({kind.code for kind in found}) != 1:
            return None
    if errors.PodAllocationRejected in found and not built_in:
        return errors.PodAllocationRejected  # a full pool has a body of its own there
    return found[0] if found else None
