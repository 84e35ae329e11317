"""What can go wrong, as data.

EmulatorError                     anything the emulator says about itself
├── ConfigurationError            a setting, flag or pool file is wrong (names key, value, remedy)
└── ServiceError                  becomes an HTTP answer: status, code, shape
    ├── RequestInvalid            400 SessionRequestValidationFailed
    ├── RequestNotSupported       400 SessionRequestNotSupported
    ├── PropertiesMissing         400 SessionPropertiesMissing
    ├── IdentifierLengthInvalid   400 InvalidLengthOfSessionIdentifier
    ├── SessionNotFound           404 NoSessionFoundError            (GET/DELETE /session)
    ├── ManagedSessionNotFound    400 SessionWithIdentifierNotFound  (/.management/*)
    ├── PoolNotFound              404 SessionPoolNotFound
    ├── RouteNotFound             404 NotFound
    ├── MethodNotAllowed          405 MethodNotAllowed
    ├── FileTooLarge              413 FileTooLarge
    ├── ModelBindingFailed        400 problem+json
    ├── Unauthenticated           401, empty body
    ├── Forbidden                 403, empty body
    ├── SessionsCountExceedsLimit 429, unnested body (built-in pools)
    ├── PodAllocationRejected     429, nested body (custom pools)
    ├── AllocationFailed          500 SessionAllocationFailed
    ├── PoolUnavailable           503 SessionPoolUnavailable
    └── UpstreamError             502 / 504, something inside the session went away or did not answer
        ├── SessionContainerExited  502 SessionContainerExited
        ├── UpstreamUnreachable     502 SessionUpstreamUnreachable
        └── UpstreamTimeout         504 SessionUpstreamTimeout
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Shape(Enum):
    """How an error is written: nested in `error`, flat, empty, or RFC 9110 problem+json."""

    NESTED = "nested"
    FLAT = "flat"
    EMPTY = "empty"
    PROBLEM = "problem"


class EmulatorError(Exception):
    """Base of everything the emulator raises on purpose."""


class ConfigurationError(EmulatorError):
    """A value the user gave is wrong.

    `where` names the file, flag or variable; the message names key, value and remedy.
    """

    def __init__(self, message: str, *, where: str | None = None) -> None:
        self.where = where
        super().__init__(f"{where}: {message}" if where else message)


class ServiceError(EmulatorError):
    """An error a caller sees over HTTP.

    `reason` is for the log, the journal and the `x-emulator-reason` header; it may say more than the
    body does (Azure's 401 and 403 have an empty body, recorded by several users). `told`: an event says so
    already.
    """

    status: int = 500
    code: str = "InternalServerError"
    shape: Shape = Shape.NESTED

    def __init__(
        self,
        message: str,
        *,
        target: str | None = None,
        reason: str | None = None,
        headers: Mapping[str, str] | None = None,
        code: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.target = target
        self.reason = reason
        self.headers = dict(headers or {})
        self.told = False
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status

    @property
    def true_reason(self) -> str:
        """The reason, or else what the caller is told as well."""
        return self.reason or self.message


class RequestInvalid(ServiceError):
    status, code = 400, "SessionRequestValidationFailed"


class RequestNotSupported(ServiceError):
    status, code = 400, "SessionRequestNotSupported"


class PropertiesMissing(ServiceError):
    status, code = 400, "SessionPropertiesMissing"


class IdentifierLengthInvalid(ServiceError):
    status, code = 400, "InvalidLengthOfSessionIdentifier"


class SessionNotFound(ServiceError):
    status, code = 404, "NoSessionFoundError"


class ManagedSessionNotFound(ServiceError):
    status, code = 400, "SessionWithIdentifierNotFound"


class PoolNotFound(ServiceError):
    status, code = 404, "SessionPoolNotFound"


class RouteNotFound(ServiceError):
    status, code = 404, "NotFound"


class MethodNotAllowed(ServiceError):
    status, code = 405, "MethodNotAllowed"


class FileTooLarge(ServiceError):
    status, code = 413, "FileTooLarge"


class ModelBindingFailed(ServiceError):
    """ASP.NET's own validation answer: `application/problem+json` with `errors`."""

    status, code, shape = 400, "ValidationFailed", Shape.PROBLEM

    def __init__(self, errors: Mapping[str, list[str]], *, reason: str | None = None) -> None:
        super().__init__("One or more validation errors occurred.", reason=reason)
        self.errors = dict(errors)

    @property
    def true_reason(self) -> str:
        found = [f"{name or 'body'}: {' '.join(texts)}" for name, texts in self.errors.items()]
        return self.reason or "; ".join(found)


class Unauthenticated(ServiceError):
    status, code, shape = 401, "Unauthorized", Shape.EMPTY


class Forbidden(ServiceError):
    status, code, shape = 403, "Forbidden", Shape.EMPTY


class SessionsCountExceedsLimit(ServiceError):
    status, code, shape = 429, "SessionsCountExceedsLimit", Shape.FLAT


class PodAllocationRejected(ServiceError):
    status, code = 429, "SessionsCountExceedsLimit"


class AllocationFailed(ServiceError):
    status, code = 500, "SessionAllocationFailed"


class PoolUnavailable(ServiceError):
    status, code = 503, "SessionPoolUnavailable"


class UpstreamError(ServiceError):
    status, code = 502, "SessionUpstreamError"


class SessionContainerExited(UpstreamError):
    code = "SessionContainerExited"


class UpstreamUnreachable(UpstreamError):
    code = "SessionUpstreamUnreachable"


class UpstreamTimeout(UpstreamError):
    status, code = 504, "SessionUpstreamTimeout"
