"""Execution answers of the new family (2024-10-02-preview and later)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from starlette.responses import Response

from .executions import Execution, Outcome
from .languages import without_nan

TRUNCATED = "x-emulator-output-truncated"


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; half characters that code printed become `?` rather than an error."""
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(without_nan(body), ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), status, headers, "application/json; charset=utf-8")


# To the letter what the base image's guide shows: 22 bytes, and a type without a charset.
HEALTHY = b'{"message": "healthy"}'


def healthy_response() -> Response:
    """What `GET /health` answers when all is well."""
    return Response(HEALTHY, 200, media_type="application/json")


def typed_value(execution: Execution, outcome: Outcome) -> Any:
    """`executionResult`: typed JSON, or the kernel's text/plain where the request asked for it."""
    return outcome.jupyter if execution.request.jupyter_format else outcome.value


def body(execution: Execution, identifier: str) -> dict[str, Any]:
    """The full body, as recorded from the base image."""
    answer: dict[str, Any] = {
        "id": execution.id,
        "identifier": identifier,
        "sessionId": identifier,
        "executionType": execution.request.execution_type,
    }
    outcome = execution.outcome
    if outcome is None:
        # The operation id as stdout: documented oddity of the base image.
        return answer | {
            "status": "Running",
            "rawResult": _raw(execution.id, identifier, stdout=execution.id),
        }
    answer["status"] = "Succeeded" if outcome.succeeded else "Failed"
    answer["result"] = {
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
        "executionResult": typed_value(execution, outcome),
        "executionTimeInMilliseconds": outcome.milliseconds,
    }
    failure = outcome.failure
    answer["rawResult"] = _raw(
        execution.id,
        identifier,
        stdout=outcome.stdout,
        stderr=outcome.stderr,
        result=outcome.jupyter or "",
        milliseconds=outcome.milliseconds,
        error=(failure.name, failure.message, failure.trace) if failure else None,
    )
    return answer


def headers(execution: Execution, query: Mapping[str, str], began: float) -> dict[str, str]:
    """The operation's id and place and the timings in milliseconds, as recorded from the base image."""
    place = urlencode({key: query[key] for key in ("api-version", "identifier") if key in query})
    result = {
        "Operation-Id": _header(execution.id),
        "Operation-Location": f"/executions/{quote(execution.id, safe='')}" + (f"?{place}" if place else ""),
        "X-Ms-Overall-Execution-Time": f"{(time.monotonic() - began) * 1000:.4f}",
    }
    if outcome := execution.outcome:
        result["X-Ms-Container-Execution-Duration"] = str(outcome.milliseconds)
        result["X-Ms-Execution-Request-Time"] = str(outcome.milliseconds)
        result |= truncated(
            stdout=(outcome.stdout, outcome.stdout_length), stderr=(outcome.stderr, outcome.stderr_length)
        )
    return result


def truncated(**streams: tuple[str, int]) -> dict[str, str]:
    """The header that names each cut stream's full length; nothing when none was cut."""
    cut = [f"{name}={length}" for name, (text, length) in streams.items() if length > len(text)]
    return {TRUNCATED: ",".join(cut)} if cut else {}


def _header(value: str) -> str:
    return value.encode("latin-1", "replace").decode("latin-1")


def _raw(
    execution_id: str,
    identifier: str,
    *,
    stdout: str = "",
    stderr: str = "",
    result: str = "",
    milliseconds: int = 0,
    error: tuple[str, str, str] | None = None,
) -> dict[str, Any]:
    name, message, trace = error or ("", "", "")
    return {
        "hresult": 1 if error else 0,
        "result": result,
        "error_name": name,
        "error_message": message,
        "error_stack_trace": trace,
        "stdout": stdout,
        "stderr": stderr,
        "diagnosticInfo": {
            "executionRequestTimeInMilliSeconds": milliseconds,
            "executionProcessResponseTimeInMilliSeconds": 0,
            "executionDuration": milliseconds,
            "identifier": identifier,
        },
        "operationId": execution_id,
    }
