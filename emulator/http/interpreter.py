"""Executions on built-in pools: three generations in, one `Execution`, the version's answer out."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.responses import JSONResponse, Response

from emulator import tracing
from emulator.errors import ModelBindingFailed, PropertiesMissing, RequestInvalid, RouteNotFound, ServiceError
from emulator.http.bodies import read_object, take
from emulator.http.commands import Ran
from emulator.http.context import Call
from emulator.http.executions import Running, how_code_ended, how_command_ended, running
from emulator.http.versions import NEWEST, Execution, Family, Version, read_version
from emulator.pool.session import Lease, Session
from emulator.resources.model import ContainerType

POLL_SECONDS = 0.5
_INPUT_TYPES = {"inline", "inlinetext", "inlinebase64"}
_EXECUTION_TYPES = {"synchronous", "asynchronous"}
_TRUNCATED = "x-emulator-output-truncated"


@dataclass(frozen=True)
class Run:
    """What is asked for: the inner request, how it was labelled, how long it may take (seconds)."""

    inner: dict[str, Any]
    execution_type: str | None
    asynchronous: bool
    timeout: int


async def execute(call: Call, family: Family) -> Response:
    """POST on one of the three execute paths."""
    may_be_absent = family is not Family.EXECUTIONS
    version = read_version(call.query, may_be_absent=may_be_absent, strict=call.plane.strict)
    body = unwrap(await read_object(call), family, strict=call.plane.strict)
    named = body.get("identifier") if isinstance(body.get("identifier"), str) else None
    identifier = call.identifier(fallback=named if may_be_absent else None)
    shell = call.pool.spec.container_type is ContainerType.SHELL
    run = (_read_shell if shell else _read_code)(call, version, body)
    prepared = time.perf_counter()
    async with call.session(identifier) as lease:
        allocated = time.perf_counter()
        (execution, inner_headers, times), teller = await _run(call, lease, run)
        if execution.running and teller is not None:
            _hold_until_finished(call, lease, execution.id, teller)
        execution = await told(call, lease.session, execution)
        headers = {**call.session_headers(), **_operation_headers(call, execution.id)}
    done = time.perf_counter()
    headers |= _timing(call, prepared, allocated, done, times, inner_headers)
    if version.supported is not None:
        headers["api-supported-versions"] = version.supported
    if _TRUNCATED in inner_headers:
        headers[_TRUNCATED] = inner_headers[_TRUNCATED]
    status = version.execution_status(asynchronous=execution.running)
    return JSONResponse(version.execution(execution, family), status, headers)


async def run_in(call: Call, identifier: str, body: dict[str, Any]) -> Execution:
    """Run a flat body of the newest version in `identifier`'s session, whatever the caller's own dialect.

    Raises the service errors of `execute`.
    """
    version = read_version({"api-version": NEWEST}, may_be_absent=False, strict=True)
    shell = call.pool.spec.container_type is ContainerType.SHELL
    run = (_read_shell if shell else _read_code)(call, version, body)
    async with call.session(identifier) as lease:
        (execution, _, _), _ = await _run(call, lease, run)
        return await told(call, lease.session, execution)


def unwrap(body: dict[str, Any], family: Family, *, strict: bool) -> dict[str, Any]:
    """The old paths want `properties`, `/executions` must not have it; loose mode takes either."""
    wrapped = body.get("properties")
    if family is Family.EXECUTIONS:
        if isinstance(wrapped, dict):
            if strict:
                raise PropertiesMissing(
                    "The request must hold its members at the top level, without 'properties'.",
                    target="properties",
                )
            return wrapped
        return body
    if isinstance(wrapped, dict):
        return wrapped
    if not strict:
        return body
    raise PropertiesMissing("The request must hold its members in 'properties'.", target="properties")


def _read_code(call: Call, version: Version, body: dict[str, Any]) -> Run:
    limits = call.plane.limits
    code = take(body, "code", str, "A string")
    if code is None:
        code = take(body, "pythonCode", str, "A string")
    if not code:  # an empty one is a missing one, as to ASP.NET's [Required]
        raise PropertiesMissing("The request must hold 'code'.", target="code")
    input_type, execution_type, asynchronous = _labels(body)
    if (input_type or "").lower() == "inlinebase64":
        _check_base64(code)
    inner: dict[str, Any] = {"code": code, "codeInputType": input_type or "Inline"}
    inner["executionType"] = execution_type or "Synchronous"  # kept as written, for who polls
    for name in ("useEmptyKernel", "returnJupyterFormatExecutionResult", "returnJupyterFormat"):
        if (flag := take(body, name, bool, "A boolean")) is not None:
            inner[name] = flag
    timeout = _limits_of(call, version, body, inner, limits.code_timeout)
    return Run(inner, execution_type, asynchronous, timeout)


def _read_shell(call: Call, version: Version, body: dict[str, Any]) -> Run:
    version.require_shell()
    command = take(body, "shellCommand", str, "A string")
    arguments = take(body, "execCommandAndArgs", list, "An array of strings")
    if command is None and arguments is None and take(body, "code", str, "A string") is not None:
        raise PropertiesMissing(
            "A Shell pool takes 'shellCommand' or 'execCommandAndArgs', not 'code'.", target="shellCommand"
        )
    if (command is None) == (arguments is None):
        what = "exactly one of 'shellCommand' and 'execCommandAndArgs' must be given"
        raise ModelBindingFailed({"$": [f"In a request to a Shell pool {what}."]})
    if arguments is not None and (not arguments or not all(isinstance(part, str) for part in arguments)):
        raise ModelBindingFailed({"$.execCommandAndArgs": ["A non-empty array of strings is expected."]})
    inner: dict[str, Any] = (
        {"shellCommand": command} if command is not None else {"execCommandAndArgs": arguments}
    )
    if (stdin := take(body, "stdin", str, "A string")) is not None:
        inner["stdin"] = stdin
    _, execution_type, asynchronous = _labels(body)
    if asynchronous:
        raise RequestInvalid(
            "Shell pools run commands synchronously; 'Asynchronous' is not supported.", target="executionType"
        )
    timeout = _limits_of(call, version, body, inner, call.plane.limits.shell_timeout)
    inner.setdefault("timeoutInSeconds", timeout)
    return Run(inner, execution_type, asynchronous, timeout)


def _labels(body: dict[str, Any]) -> tuple[str | None, str | None, bool]:
    input_type = take(body, "codeInputType", str, "A string")
    if input_type is not None and input_type.lower() not in _INPUT_TYPES:
        raise RequestInvalid(
            f"The value '{input_type}' of codeInputType is not one of Inline, InlineText, InlineBase64.",
            target="codeInputType",
        )
    execution_type = take(body, "executionType", str, "A string")
    if execution_type is not None and execution_type.lower() not in _EXECUTION_TYPES:
        raise RequestInvalid(
            f"The value '{execution_type}' of executionType is not one of Synchronous, Asynchronous.",
            target="executionType",
        )
    return input_type, execution_type, (execution_type or "").lower() == "asynchronous"


def _limits_of(call: Call, version: Version, body: dict[str, Any], inner: dict[str, Any], cap: int) -> int:
    """Put timeout and output length into `inner`; returns the timeout that holds, in seconds."""
    limits = call.plane.limits
    timeout = take(body, "timeoutInSeconds", int, "A whole number")
    if timeout is not None:
        if timeout <= 0:
            raise RequestInvalid(
                f"The value {timeout} of timeoutInSeconds must be greater than 0.", target="timeoutInSeconds"
            )
        timeout = inner["timeoutInSeconds"] = min(timeout, cap)
    length = take(body, "outputStreamsMaxLength", int, "A whole number")
    if length is None and version.default_output_limit:
        length = limits.output
    if length is not None:
        if length < 0:
            raise RequestInvalid(
                f"The value {length} of outputStreamsMaxLength must not be negative.",
                target="outputStreamsMaxLength",
            )
        inner["outputStreamsMaxLength"] = length
    return timeout or min(limits.default_timeout, cap)


def _check_base64(code: str) -> None:
    try:
        base64.b64decode("".join(code.split()), validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise RequestInvalid(f"The code is not base64 of UTF-8 text: {error}", target="code") from error


async def told(call: Call, session: Session, execution: Execution) -> Execution:
    """The execution that the caller is told about: a fault may confuse it with another one."""
    return execution if call.fate is None else await call.fate.answered(session, execution)


async def _run(call: Call, lease: Lease, run: Run) -> tuple[Ran, Running | None]:
    """Run it, unless the session knows the caller's operation id; with it, who tells of its end."""
    given = call.header("operation-id")
    operation = given or str(uuid.uuid4())
    tracing.note(operation=operation)
    session, plane = lease.session, call.plane
    facts = {"pool": call.pool.spec.name, "identifier": session.identifier, "session": session.guid}
    teller: Running | None = None
    repeated = given is not None and plane.repeats.is_one(session, given)
    if repeated:
        cause = "its operation id was given before: the stored execution is the answer"
        plane.events.emit("execution.repeated", cause, **facts)

    async def start() -> Ran:
        nonlocal teller
        if repeated:
            return await _run_inside(call, lease, run, operation)
        with running(plane.events, operation, **facts) as teller:
            ran = await _run_inside(call, lease, run, operation)
            teller.end(ran[0])
            return ran

    try:
        shell = call.pool.spec.container_type is ContainerType.SHELL
        ran = await (plane.commands.once(session, operation, start) if shell else start())
    except BaseException:
        plane.repeats.forget(session, operation)
        raise
    plane.latest[session] = ran[0].id
    return ran, teller


async def _run_inside(call: Call, lease: Lease, run: Run, operation: str) -> Ran:
    shell = call.pool.spec.container_type is ContainerType.SHELL
    query = urlencode({"api-version": NEWEST, "identifier": lease.session.identifier})
    path = "/shellExecute" if shell else "/executions"
    headers = {"content-type": "application/json", "operation-id": operation}
    sent = time.perf_counter()
    patience = run.timeout + call.plane.limits.upstream_grace
    async with call.plane.upstreams.request(
        lease.session,
        "POST",
        f"{path}?{query}",
        data=json.dumps(run.inner),
        headers=headers,
        at_most=patience,
    ) as answer:
        answered = time.perf_counter()
        raw = await answer.read()
        read = time.perf_counter()
        if answer.status >= 400:
            raise inner_error(answer.status, raw)
        inner = json.loads(raw)
        found = {name.lower(): value for name, value in answer.headers.items()}
        named = (lease.session.identifier, run.execution_type, found.get(_TRUNCATED))
        execution = _shell_execution(inner, operation, *named) if shell else _code_execution(inner, *named)
        return execution, found, (answered - sent, read - answered)


def _code_execution(
    inner: dict[str, Any], identifier: str, execution_type: str | None, truncated: str | None
) -> Execution:
    result = inner.get("result") or {}
    return Execution(
        id=inner["id"],
        identifier=identifier,
        execution_type=execution_type or "Synchronous",
        succeeded=inner["status"] == "Succeeded",
        running=inner["status"] in ("Running", "NotStarted"),
        stdout=result.get("stdout", ""),
        stderr=result.get("stderr", ""),
        result=result.get("executionResult", ""),
        duration=result.get("executionTimeInMilliseconds", 0),
        how=how_code_ended(inner),
        truncated=truncated,
    )


def _shell_execution(
    inner: dict[str, Any],
    operation: str,
    identifier: str,
    execution_type: str | None,
    truncated: str | None,
) -> Execution:
    return Execution(
        id=operation,
        identifier=identifier,
        execution_type=execution_type,
        succeeded=inner["exitCode"] == 0,
        stdout=inner["stdout"],
        stderr=inner["stderr"],
        duration=inner["executionTimeInMilliseconds"],
        exit_code=inner["exitCode"],
        how=how_command_ended(inner),
        truncated=truncated,
    )


def inner_error(status: int, raw: bytes) -> ServiceError:
    """An error of the proxy inside, in the envelope of the outside."""
    try:
        error = json.loads(raw)["error"]
        return ServiceError(error["message"], code=error["code"], status=status, target=error.get("target"))
    except (ValueError, KeyError, TypeError):
        text = raw[:500].decode("utf-8", "replace")
        return ServiceError(f"The session answered {status}: {text}", status=502, code="SessionUpstreamError")


async def get_execution(call: Call, execution_id: str) -> Response:
    """GET `/executions/{id}`: never allocates, does not extend the cooldown of a session it finds none of."""
    version = read_version(call.query, may_be_absent=False, strict=call.plane.strict)
    identifier = call.identifier()
    if call.pool.find(identifier) is None:
        raise _no_execution(execution_id)
    async with call.session(identifier) as lease:
        execution = await stored(call, lease.session, execution_id)
        headers = call.session_headers()
    if version.supported is not None:
        headers["api-supported-versions"] = version.supported
    return JSONResponse(version.execution(execution, Family.EXECUTIONS), 200, headers)


def latest(call: Call, session: Session) -> str | None:
    """The id of what `session` ran last, if anything."""
    return call.plane.latest.get(session)


async def stored(call: Call, session: Session, execution_id: str) -> Execution:
    """An execution that `session` knows. Raises `ServiceError` (404) for others."""
    if call.pool.spec.container_type is not ContainerType.SHELL:
        return await _fetch(call, session, execution_id)
    found = call.plane.commands.find(session, execution_id)
    if found is None:
        raise _no_execution(execution_id)
    return found


def _no_execution(execution_id: str) -> RouteNotFound:
    return RouteNotFound(f"No execution available for operation Id: {execution_id}", code="ExecutionNotFound")


async def _fetch(call: Call, session: Session, execution_id: str) -> Execution:
    query = urlencode({"api-version": NEWEST, "identifier": session.identifier})
    target = f"/executions/{quote(execution_id, safe='')}?{query}"
    async with call.plane.upstreams.request(session, "GET", target, at_most=30.0) as answer:
        raw = await answer.read()
        if answer.status >= 400:
            raise inner_error(answer.status, raw)
        inner = json.loads(raw)
        cut = answer.headers.get(_TRUNCATED)
        return _code_execution(inner, session.identifier, inner.get("executionType"), cut)


def _hold_until_finished(call: Call, lease: Lease, execution_id: str, teller: Running) -> None:
    """An asynchronous run counts as a request in flight until it is over; then its end is told."""
    held = lease.hold()

    async def follow() -> None:
        try:
            while (execution := await _fetch(call, held.session, execution_id)).running:  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
            teller.end(execution)
        except ServiceError as error:
            teller.fail(error)  # the session is gone, or the run was pushed out of the store
        finally:
            held.release()

    task = asyncio.create_task(follow(), name=f"execution {execution_id}")
    call.plane.background.add(task)
    task.add_done_callback(call.plane.background.discard)


def _operation_headers(call: Call, execution_id: str) -> dict[str, str]:
    kept = {name: call.query[name] for name in ("api-version", "identifier") if name in call.query}
    base = (
        call.raw_path.rsplit("/code/execute", 1)[0]
        .rsplit("/python/execute", 1)[0]
        .rsplit("/executions", 1)[0]
    )
    scheme, host = call.scope["scheme"], call.header("host") or "localhost"
    location = f"{scheme}://{host}{base}/executions/{quote(execution_id, safe='')}?{urlencode(kept)}"
    return {"operation-id": execution_id, "Operation-Location": location}


def _timing(
    call: Call,
    prepared: float,
    allocated: float,
    done: float,
    times: tuple[float, float],
    inner: dict[str, str],
) -> dict[str, str]:
    """The documented timing headers: milliseconds, up to four fraction digits, all measured here."""
    request, read = times
    values = {
        "x-ms-preparation-time": prepared - call.began,
        "x-ms-allocation-time": allocated - prepared,
        "x-ms-execution-read-response-time": read,
        "x-ms-overall-execution-time": done - allocated,
        "x-ms-total-execution-service-time": done - call.began,
    }
    headers = {name: f"{seconds * 1000:.4f}" for name, seconds in values.items()}
    headers["x-ms-allocation-retries"] = "0"
    headers["x-ms-execution-request-time"] = str(round(request * 1000))
    headers["x-ms-container-execution-duration"] = inner.get("x-ms-container-execution-duration", "0")
    return headers
