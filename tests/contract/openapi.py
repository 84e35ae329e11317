"""Response shapes of the published OpenAPI files, retyped, and closed to members they do not name."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jsonschema import Draft202012Validator, FormatChecker

from emulator.conformance.row import FLAT

_STRING = {"type": "string"}
_INTEGER = {"type": "integer"}
_MOMENT = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT[\d:]+(\.\d+)?(Z|[+-]\d\d:\d\d)?$",
}
FIRST, SECOND, THIRD = FLAT


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required.split(),
        # The recordings of 2024 carry the serializer's own member beside those of the file.
        "properties": {"$id": _STRING, **properties},
        "additionalProperties": False,
    }


_NAMED = _object("name version", name=_STRING, version=_STRING)
_INNER_ERROR: dict[str, Any] = {"type": "object", "properties": {"code": _STRING}}
_ERROR = _object(
    "error",
    error=_object(
        "code message",
        code=_STRING,
        message=_STRING,
        target=_STRING,
        details={"type": "array"},
        innererror=_INNER_ERROR,
        traceId=_STRING,  # seen live, not in the file
    ),
)
_SESSION = _object(
    "identifier createdAt lastAccessedAt expireAt etag",
    identifier=_STRING,
    createdAt=_MOMENT,
    lastAccessedAt=_MOMENT,
    expireAt=_MOMENT,
    etag=_STRING,
)
_SESSIONS = _object("sessions", sessions={"type": "array", "items": _SESSION}, nextLink=_STRING)


def _execution(version: str) -> dict[str, Any]:
    result = {
        "type": "object",
        "properties": {
            "$id": _STRING,
            "stdout": _STRING,
            "stderr": _STRING,
            "executionResult": {},
            "executionTimeInMilliseconds": _INTEGER,
        },
        "additionalProperties": False,
    }
    required = "id identifier status" if version == THIRD else "id identifier executionType status"
    members = {"id": _STRING, "identifier": _STRING, "executionType": _STRING, "status": _STRING}
    return _object(required, **members, error=_ERROR, result=result)


def _file(version: str, *, alone: bool = False) -> dict[str, Any]:
    members: dict[str, Any] = {
        "name": _STRING,
        "type": _STRING,
        "contentType": _STRING,
        "sizeInBytes": _INTEGER,
        "lastModifiedAt": _MOMENT,
    }
    if version != FIRST:
        members["directory"] = _STRING
    # The file requires `type`; the recorded answer to GET /files/{name} of 2024-10-02-preview has none.
    required = "name lastModifiedAt" if alone and version == FIRST else "name type lastModifiedAt"
    return _object(required, **members)


def _metadata(container_type: str) -> dict[str, Any]:
    kernel = _object(
        "name version projectUrl description",
        name=_STRING,
        version=_STRING,
        projectUrl={"type": "string", "format": "uri"},
        description=_STRING,
    )
    required = "runtimes preInstalledPackages createdAt lastUpdatedAt"
    if container_type != "Shell":  # the recorded Shell pool has none
        required += " jupyterKernel"
    arrays = {"type": "array", "items": _NAMED}
    return _object(
        required,
        runtimes=arrays,
        preInstalledPackages=arrays,
        createdAt=_MOMENT,
        lastUpdatedAt=_MOMENT,
        jupyterKernel=kernel,
    )


def _shape(method: str, path: str, version: str, container_type: str) -> dict[str, Any] | None:
    """The schema of a successful answer with a JSON body; None for what has none in the file."""
    if path == "/executions" or re.fullmatch("/executions/[^/]+", path):
        # Shell answers without executionType on 2025-02-02 too, as recorded.
        return _execution(THIRD if container_type == "Shell" else version)
    if path == "/files":
        if method == "POST":
            return _file(version)
        return _object("value", value={"type": "array", "items": _file(version)}, nextLink=_STRING)
    if path.startswith("/files/") and method == "GET" and path != "/files/upload":
        return (
            None
            if path.endswith("/content") or path.startswith("/files/content/")
            else _file(version, alone=True)
        )
    plain = {"/session": _SESSION, "/listsessions": _SESSIONS, "/metadata": _metadata(container_type)}
    return plain.get(path.lower()) if method == "GET" else None


def violations(
    method: str,
    target: str,
    pool_path: str,
    container_type: str,
    status: int,
    content_type: str,
    document: Any,
) -> list[str]:
    """What of an answer's JSON the published shape does not allow, as text."""
    parts = urlsplit(target)
    version = parse_qs(parts.query).get("api-version", [""])[0]
    if version not in FLAT or not parts.path.startswith(pool_path) or "problem+json" in content_type:
        return []
    path = re.sub("/+", "/", parts.path[len(pool_path) :]).rstrip("/")
    if status >= 400:
        schema: dict[str, Any] | None = _ERROR if status != 429 else None
    else:
        schema = _shape(method, path, version, container_type)
    if schema is None:
        return []
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    return [
        f"{method} {path} {version}: {error.json_path}: {error.message}"
        for error in validator.iter_errors(document)
    ]
