"""Answers of the old family (2024-08-02-preview and before), as recorded from the base image."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from .content_types import content_type
from .executions import Execution
from .render import typed_value
from .storage import Entry

_LAST = "2024-08-02"
DELETED = {"message": "file deleted successfully"}


def asked_for(request: Request) -> bool:
    """Whether the api-version is one of the old family; versions compare by their date."""
    version = request.query_params.get("api-version", "")
    return bool(version) and version[:10] <= _LAST


def executed(execution: Execution) -> dict[str, Any]:
    """The answer of POST /code/execute; while an asynchronous run goes on, without a result."""
    outcome = execution.outcome
    if outcome is None:
        return {"properties": {"$id": execution.id, "status": "Running", "stdout": execution.id}}
    return {
        "properties": {
            "$id": execution.id,
            "status": "Success" if outcome.succeeded else "Failure",
            "stdout": outcome.stdout,
            "stderr": outcome.stderr,
            "executionResult": typed_value(execution, outcome),
            "executionTimeInMilliseconds": outcome.milliseconds,
        }
    }


def listed(entry: Entry) -> dict[str, Any]:
    """One element of the bare array that a listing and an upload answer."""
    return {
        "name": entry.name,
        "type": "directory" if entry.is_directory else "file",
        "filename": entry.name,
        "size": entry.size,
        "last_modified_time": _time(entry),
        "mime_type": content_type(entry.name),
    }


def described(entry: Entry) -> dict[str, Any]:
    """The answer of GET /files/{name}."""
    properties = {
        "$id": "",
        "filename": entry.name,
        "size": entry.size,
        "lastModifiedTime": _time(entry),
    }
    return {"value": [{"$id": "", "properties": properties}]}


def _time(entry: Entry) -> str:
    return datetime.fromtimestamp(entry.modified / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
