"""Turns a `ServiceError` into the answer Azure would send, with the true reason beside it."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from starlette.responses import JSONResponse, Response

from emulator import tracing
from emulator.errors import ModelBindingFailed, ServiceError, Shape
from emulator.pool.events import EventLog

log = logging.getLogger("emulator.http")

REASON = "x-emulator-reason"
_PROBLEM_TYPE = "https://tools.ietf.org/html/rfc9110#section-15.5.1"


def header_text(text: str) -> str:
    """`text` as a header may carry it: one line of Latin-1, at most 1,000 characters."""
    return " ".join(text.split()).encode("latin-1", "replace").decode("latin-1")[:1000]


def error_answer(error: ServiceError) -> Response:
    """The HTTP answer for `error`.

    Nested `{"error": {code, message, target?, traceId}}`, flat `{code, message}` (built-in pools' 429),
    empty (401 and 403, observed by several users), or `application/problem+json`.
    """
    headers = {**error.headers, "x-ms-error-code": error.code}
    current = tracing.current()
    trace = current.id if current is not None else uuid.uuid4().hex
    if error.reason:
        headers[REASON] = header_text(error.reason)
    if isinstance(error, ModelBindingFailed):
        headers.pop("x-ms-error-code")
        problem = {
            "type": _PROBLEM_TYPE,
            "title": error.message,
            "status": error.status,
            "errors": error.errors,
            "traceId": f"00-{trace}-{trace[:16]}-00",
        }
        return JSONResponse(problem, error.status, headers, media_type="application/problem+json")
    if error.shape is Shape.EMPTY:
        headers.pop("x-ms-error-code")
        return Response(b"", error.status, headers)
    if error.shape is Shape.FLAT:
        return JSONResponse({"code": error.code, "message": error.message}, error.status, headers)
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.target is not None:
        body["target"] = error.target
    body["traceId"] = trace
    return JSONResponse({"error": body}, error.status, headers)


def tell(error: ServiceError, events: EventLog) -> None:
    """Say in an event, once, why the current request is answered with `error`; its log line says it too."""
    tracing.refused(error.true_reason)
    if error.told:
        return
    error.told = True
    current = tracing.current()
    about = {} if current is None else current.about
    events.emit(
        "request.refused" if error.status < 500 else "request.failed",
        error.true_reason,
        pool=about.get("pool"),
        identifier=about.get("identifier"),
        session=about.get("session"),
        status=error.status,
        code=error.code,
    )


def unexpected(error: Exception) -> Response:
    """500 for a bug of ours, with a trace id that is also in the log."""
    answer = ServiceError("The emulator failed while it served this request; its log has the traceback.")
    response = error_answer(answer)
    log.error("unexpected error", exc_info=error)
    return response
