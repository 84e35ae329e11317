"""Faults that end a session, its container or its kernel while it serves."""

from __future__ import annotations

from emulator.errors import ServiceError
from emulator.faults import Fault
from emulator.http.context import Call
from emulator.http.mixing import Missed
from emulator.pool.session import Session, State
from emulator.resources.faults import impossible
from emulator.runtimes.base import RuntimeFailure

KERNEL_DEATH = "/faults/kernelDeath"
"""Route inside a session; nothing that the data plane of a built-in pool takes leads there."""
_PATIENCE = 30.0
_RUNS_CODE = (["executions"], ["code", "execute"], ["python", "execute"], ["mcp"])


async def end(fault: Fault, call: Call, session: Session) -> str:
    """Let `fault` happen to `session`, which serves `call`; returns what happened, in words.

    Raises `Missed`.
    """
    if session.state is not State.ACTIVE:
        raise Missed(f"the session of {session.identifier!r} had ended before")
    match fault.effect:
        case "kill":
            oom = fault.options.get("oom", False)
            try:
                await call.pool.kill(session, f"fault {fault.id}", oom=oom)
            except RuntimeFailure as error:
                raise Missed(f"the container could not be killed: {error}") from error
            return f"the container was killed{', as for want of memory' if oom else ''}"
        case "expire":
            await call.pool.stop(session, f"as if its cooldown were over (fault {fault.id})", "expired")
            return "the session expired"
        case _:
            return await _kill_kernel(fault, call, session)


async def _kill_kernel(fault: Fault, call: Call, session: Session) -> str:
    """End the kernel's process; without `after` it dies as it takes the call's code."""
    if (why := impossible(fault.rule, call.pool.spec.container_type)) is not None:
        raise Missed(why)
    runs = call.method == "POST" and [part.lower() for part in call.segments] in _RUNS_CODE
    when = "next" if runs and not fault.options.get("after") else "now"
    target = f"{KERNEL_DEATH}?when={when}"
    try:
        async with call.plane.upstreams.request(session, "POST", target, at_most=_PATIENCE) as answer:
            said = (await answer.read())[:500].decode("utf-8", "replace")
    except ServiceError as error:
        raise Missed(error.message) from error
    if answer.status == 404:
        raise Missed("the session's image is too old to know kernelDeath; build it with scripts/images")
    if answer.status >= 400:
        raise Missed(f"the session answered {answer.status}: {said}")
    return "the kernel dies as it takes the code" if when == "next" else "the kernel was killed"
