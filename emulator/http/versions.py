"""Data-plane api-versions, and the only place that tells them apart.

A request of any generation is read into an `Execution` or a `File`; the renderers here write the answer
the version's clients were recorded to get. Nothing outside this module asks which version it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from emulator.errors import RequestInvalid, RequestNotSupported

LEGACY = ("2023-08-01-preview", "2024-02-02-preview", "2024-08-02-preview")
WITHOUT_VERSION = "2024-02-02-preview"
FIRST_FLAT = "2024-10-02-preview"
WITH_SESSIONS = "2025-02-02-preview"
NEWEST = "2025-10-02-preview"
KNOWN = (*LEGACY, FIRST_FLAT, WITH_SESSIONS, NEWEST)


class Family(Enum):
    """The execute path decides the shape: each path is a generation of the service."""

    PYTHON = "/python/execute"
    CODE = "/code/execute"
    EXECUTIONS = "/executions"


@dataclass(frozen=True)
class Execution:
    """One run, whatever asked for it. `status` in the words of the inner API; `exit_code` of Shell pools.

    `running`: not finished, so there is no result yet. `duration` in whole milliseconds. `how` it ended is a
    key of `endings.CAUSES`; `truncated` names streams that were cut, with their full lengths.
    """

    id: str
    identifier: str
    execution_type: str | None
    succeeded: bool
    running: bool = False
    stdout: str = ""
    stderr: str = ""
    result: Any = ""
    duration: int = 0
    exit_code: int | None = None
    how: str = "completed"
    truncated: str | None = None


@dataclass(frozen=True)
class File:
    """One entry below the session's root. `modified` with seven fraction digits and `Z`, as recorded."""

    name: str
    kind: str
    size: int
    modified: str
    content_type: str
    directory: str


@dataclass(frozen=True)
class Version:
    """An api-version and what it can do."""

    name: str

    @property
    def legacy(self) -> bool:
        return self.name in LEGACY

    @property
    def _counts_objects(self) -> bool:
        # The .NET serializer's `$id`: in every 2024 recording, in none of 2025.
        return self.legacy or self.name == FIRST_FLAT

    @property
    def supported(self) -> str | None:
        """`api-supported-versions`, absent on the old routes (recorded)."""
        if self.legacy:
            return None
        return FIRST_FLAT if self.name == FIRST_FLAT else f"{WITH_SESSIONS}, {NEWEST}"

    @property
    def default_output_limit(self) -> bool:
        """Whether streams are cut at the default length when the request does not say."""
        return self.name == NEWEST

    def execution_status(self, *, asynchronous: bool) -> int:
        """202 on 2024-10-02-preview also for a finished run (recorded), else 200; asynchronous 202."""
        return 202 if asynchronous or self.name == FIRST_FLAT else 200

    def require_sessions(self) -> None:
        """Session routes exist from 2025-02-02-preview on."""
        if KNOWN.index(self.name) < KNOWN.index(WITH_SESSIONS):
            raise RequestNotSupported(
                f"This operation is not supported in API version {self.name}.", target="api-version"
            )

    def require_shell(self) -> None:
        """Shell execution exists from 2025-02-02-preview on; the service names another version, always."""
        if KNOWN.index(self.name) < KNOWN.index(WITH_SESSIONS):
            raise RequestNotSupported("Shell execution is not supported in API version 2023-08-01-preview.")

    # -- renderers ---------------------------------------------------------------------------------------

    def execution(self, run: Execution, family: Family) -> dict[str, Any]:
        if family is Family.EXECUTIONS:
            return self._numbered(_flat(run))
        body = _old(run)
        return self._numbered(body if family is Family.PYTHON else {"properties": body})

    def uploaded(self, file: File, *, old_route: bool) -> dict[str, Any]:
        if self.legacy or old_route:
            return self._numbered({"value": [_old_file(file)]})
        if self.name == FIRST_FLAT:  # recorded with `type` and `contentType` empty
            return self._numbered({**_new_file(file), "type": "", "contentType": ""})
        return {**_new_file(file), "directory": file.directory or "."}

    def file(self, file: File) -> dict[str, Any]:
        if self.legacy:
            return self._numbered({"value": [_old_file(file)]})
        if self.name == FIRST_FLAT:  # recorded with these three members only
            whole = _new_file(file)
            return self._numbered({key: whole[key] for key in ("name", "sizeInBytes", "lastModifiedAt")})
        return self._with_directory(file)

    def listing(self, files: list[File]) -> dict[str, Any]:
        if self.legacy:
            return self._numbered({"value": [_old_file(file) for file in files]})
        return self._numbered({"value": [self._with_directory(file) for file in files]})

    def _with_directory(self, file: File) -> dict[str, Any]:
        return {**_new_file(file), **({"directory": file.directory} if self.name == NEWEST else {})}

    def _numbered(self, body: dict[str, Any]) -> dict[str, Any]:
        return _number(body, [0]) if self._counts_objects else body


_KNOWN_VERSIONS = {name: Version(name) for name in KNOWN}


def read_version(query: Mapping[str, str], *, may_be_absent: bool, strict: bool) -> Version:
    """The request's api-version. Raises `RequestInvalid` for an unknown or missing one (strict mode)."""
    name = query.get("api-version", "").strip()
    if not name and (may_be_absent or not strict):
        return _KNOWN_VERSIONS[WITHOUT_VERSION if may_be_absent else NEWEST]
    version = _KNOWN_VERSIONS.get(name.lower())
    if version is not None:
        return version
    if not strict:
        return _KNOWN_VERSIONS[NEWEST]
    what = (
        f"The API version '{name}' is not supported"
        if name
        else "The query parameter 'api-version' is required"
    )
    raise RequestInvalid(f"{what}. Supported versions: {', '.join(KNOWN)}.", target="api-version")


def _flat(run: Execution) -> dict[str, Any]:
    body: dict[str, Any] = {"id": run.id, "identifier": run.identifier}
    if run.execution_type is not None:
        body["executionType"] = run.execution_type
    if run.running:
        return {**body, "status": "Running"}
    result: dict[str, Any] = {"stdout": run.stdout, "stderr": run.stderr}
    if run.exit_code is not None:
        body["status"] = str(run.exit_code)
    else:
        body["status"] = "Succeeded" if run.succeeded else "Failed"
        result["executionResult"] = run.result
    return {**body, "result": {**result, "executionTimeInMilliseconds": run.duration}}


def _old(run: Execution) -> dict[str, Any]:
    if run.running:
        return {"status": "Running", "stdout": "", "stderr": "", "result": "", "executionResult": ""}
    # `result` in the Python recordings, `executionResult` in the JavaScript tutorial: both, always; and
    # never null, which autogen prints as "None" and LlamaIndex.TS takes for a failure.
    value = "" if run.result is None else run.result
    return {
        "status": "Success" if run.succeeded else "Failure",
        "stdout": run.stdout,
        "stderr": run.stderr,
        "result": value,
        "executionResult": value,
        "executionTimeInMilliseconds": run.duration,
    }


def _new_file(file: File) -> dict[str, Any]:
    return {
        "name": file.name,
        "type": file.kind,
        "contentType": file.content_type,
        "sizeInBytes": file.size,
        "lastModifiedAt": file.modified,
    }


def _old_file(file: File) -> dict[str, Any]:
    return {"properties": {"filename": file.name, "size": file.size, "lastModifiedTime": file.modified}}


def _number(body: dict[str, Any], last: list[int]) -> dict[str, Any]:
    """`$id` first in each object, counted in document order; what user code returned is left alone."""
    last[0] += 1
    numbered: dict[str, Any] = {"$id": str(last[0])}
    for key, value in body.items():
        if key in ("properties", "result") and isinstance(value, dict) and "stdout" not in body:
            numbered[key] = _number(value, last)
        elif key == "value" and isinstance(value, list):
            numbered[key] = [_number(entry, last) for entry in value]
        else:
            numbered[key] = value
    return numbered
