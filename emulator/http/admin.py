"""`/.emulator/*`: the emulator about itself. Never faulted, never forwarded into a session."""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from emulator.clock import SystemClock
from emulator.errors import (
    ConfigurationError,
    Forbidden,
    PoolUnavailable,
    RequestInvalid,
    RouteNotFound,
    Unauthenticated,
)
from emulator.http.dispatch import Surface
from emulator.http.sessions import moment
from emulator.pool.pool import Pool
from emulator.pool.registry import Registry
from emulator.pool.session import Session
from emulator.runtimes.base import RuntimeFailure

ADMIN_KEY = "x-emulator-admin-key"


class Minter(Protocol):
    """Makes bearer tokens."""

    def mint(
        self, *, audience: str, oid: str | None, expires_in: float | None, invalid: str | None, role: bool
    ) -> str: ...


class Admin:
    """The routes; `ready` and `status` answer 503 until the emulator can really serve."""

    def __init__(
        self, registry: Registry, clock: SystemClock, minter: Minter, about: Callable[[], dict[str, Any]]
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._minter = minter
        self._about = about
        self.on_reset: dict[str, Callable[[], int]] = {}
        """What else a reset clears: by its name in the answer, a call that returns how many there were."""
        self.router = Router()
        add = self.router.add_route
        add("/.emulator/alive", self._alive, ["GET"])
        add("/.emulator/ready", self._ready, ["GET"])
        add("/.emulator/status", self._status, ["GET"])
        add("/.emulator/token", self._token, ["GET"])
        add("/.emulator/clock", self._show_clock, ["GET"])
        add("/.emulator/clock", self._set_clock, ["POST"])
        add("/.emulator/clock/advance", self._advance, ["POST"])
        add("/.emulator/sessions/{guid}/{action}", self._act, ["POST"])
        add("/.emulator/reset", self._reset, ["POST"])

    async def _alive(self, _: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _problems(self) -> list[str]:
        problems = []
        try:
            await self._registry.shared.runtime.ping()
        except RuntimeFailure as error:
            problems.append(str(error))
        for pool in self._registry.pools:
            if pool.failure is not None:
                problems.append(f"pool {pool.spec.name}: {pool.failure}")
            elif not pool.settled:
                problems.append(f"pool {pool.spec.name}: {pool.warm.starting} instances are still starting")
        return problems

    async def _ready(self, _: Request) -> Response:
        # A pool that cannot start does not make the others useless: ready means the runtime answers and
        # every pool has either its warm set or a reason.
        waiting = [
            problem
            for problem in await self._problems()
            if "still starting" in problem or "pool " not in problem
        ]
        return JSONResponse({"ready": not waiting, "waitingFor": waiting}, 503 if waiting else 200)

    async def _status(self, _: Request) -> Response:
        problems = await self._problems()
        pools = [_pool(pool) for pool in self._registry.pools]
        body = {**self._about(), "problems": problems, "now": moment(self._clock.now()), "pools": pools}
        return JSONResponse(body, 503 if problems else 200)

    async def _token(self, request: Request) -> Response:
        query = request.query_params
        expires = query.get("expiresIn")
        token = self._minter.mint(
            audience=query.get("audience", "https://dynamicsessions.io"),
            oid=query.get("oid"),
            expires_in=number(expires, "expiresIn") if expires else None,
            invalid=query.get("invalid"),
            role=query.get("role", "true").lower() != "false",
        )
        if "text/plain" in request.headers.get("accept", ""):
            return PlainTextResponse(token)
        return JSONResponse({"accessToken": token, "tokenType": "Bearer"})

    async def _show_clock(self, _: Request) -> Response:
        clock = self._clock
        return JSONResponse({"now": moment(clock.now()), "offsetSeconds": clock.offset, "scale": clock.scale})

    async def _set_clock(self, request: Request) -> Response:
        scale = number((await read_object(request)).get("scale"), "scale")
        try:
            self._clock.set_scale(scale)
        except ValueError as error:
            raise RequestInvalid(str(error), target="scale") from error
        self._emit("clock.scaled", f"{scale:g} emulated seconds a second, asked for over the admin API")
        return await self._show_clock(request)

    async def _advance(self, request: Request) -> Response:
        seconds = number((await read_object(request)).get("seconds"), "seconds")
        try:
            self._clock.advance(seconds)
        except ValueError as error:
            raise RequestInvalid(str(error), target="seconds") from error
        # Told first: it is the cause of what is due now.
        self._emit("clock.moved", f"advanced by {seconds:g} s over the admin API", seconds=seconds)
        await self._registry.shared.sweeper.run_due()
        return await self._show_clock(request)

    def _find(self, request: Request) -> tuple[Pool, Session]:
        guid = request.path_params["guid"]
        found = self._registry.session_by_guid(guid)
        if found is None:
            raise RouteNotFound(f"There is no session {guid}; GET /.emulator/sessions lists them.")
        return found

    async def _act(self, request: Request) -> Response:
        action = request.path_params["action"]
        if action not in ("stop", "expire", "kill"):
            raise RouteNotFound(f"'{action}' is not one of stop, expire, kill.")
        pool, session = self._find(request)
        try:
            if action == "kill":
                await pool.kill(session, "killed over the admin API")
            elif action == "expire":
                await pool.stop(session, "as if its cooldown were over, by the admin API", "expired")
            else:
                await pool.stop(session, "stopped over the admin API")
        except RuntimeFailure as error:
            raise PoolUnavailable(f"The session could not be killed: {error}", reason=str(error)) from error
        return JSONResponse({"session": session.guid, "identifier": session.identifier, "done": action})

    def _emit(self, kind: str, cause: str, **detail: Any) -> None:
        self._registry.shared.events.emit(kind, cause, **detail)

    async def _reset(self, _: Request) -> Response:
        shared, cleared = self._registry.shared, dict[str, Any]()

        def clear() -> None:
            before = self._clock.now()
            self._clock.reset()
            moved = self._clock.now() - before
            shared.sweeper.shift(moved)
            cleared.update({name: forget() for name, forget in self.on_reset.items()})
            cleared["logs"] = shared.consoles.clear()
            cleared["events"] = shared.events.clear()
            cleared["clockMovedSeconds"] = round(moved, 3)

        removed = await self._registry.reset(clear)
        resisting = [one.guid for one in removed if one.guid in shared.remover.resisting]
        body = {
            "removed": [one.guid for one in removed],
            "sessions": [
                {"pool": one.pool, "identifier": one.identifier, "guid": one.guid}
                for one in removed
                if one.identifier is not None
            ],
            "resisting": resisting,
        }
        self._emit("emulator.reset", f"{len(removed)} instances removed, asked for over the admin API")
        return JSONResponse({**body, **cleared})


class AdminSurface(Surface):
    """Lets the admin API answer on loopback; from elsewhere only with the admin key."""

    def __init__(self, router: Router, key: str | None, trusted: Iterable[str] = ()) -> None:
        super().__init__(self._serve)
        self._router = router
        self._trusted = [network for text in trusted for network in _networks(text)]
        self._key = key

    def owns(self, segments: list[str]) -> bool:
        return segments[:1] == [".emulator"]

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RouteNotFound("The admin API has no WebSocket routes.")
        self._check(Request(scope))
        await self._router(scope, receive, send)

    def _near(self, request: Request) -> bool:
        """Whether the caller is on loopback, or at an address that was said to be as good."""
        try:
            caller = ipaddress.ip_address(request.client.host if request.client else "")
        except ValueError:
            return False
        return caller.is_loopback or any(caller in network for network in self._trusted)

    def _check_host(self, request: Request) -> None:
        """Refuse a name that may only lead here because somebody's DNS says so (rebinding from a browser)."""
        name = request.url.hostname or ""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if name != "localhost" and not name.endswith(".localhost"):
                reason = f"the admin API answers to addresses and localhost, not to the name {name}"
                raise Forbidden("a foreign name", reason=reason) from None

    def _check(self, request: Request) -> None:
        # A page of another site, open in a browser on this machine, must not drive the emulator.
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            raise Forbidden("cross-origin", reason=f"the admin API refuses requests of pages from {origin}")
        if self._near(request):
            self._check_host(request)
            return
        given = request.headers.get(ADMIN_KEY, "")
        if self._key is None or not secrets.compare_digest(given.encode(), self._key.encode()):
            reason = f"off loopback the admin API needs --admin-key and its value in the header {ADMIN_KEY}"
            raise Unauthenticated("no admin key", reason=reason)


def _networks(text: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The network `text` names; `gateway` is the default gateway, if there is one."""
    if text != "gateway":
        try:
            return [ipaddress.ip_network(text, strict=False)]
        except ValueError as error:
            raise ConfigurationError(
                f"admin-from is {text!r}: expected an address, a network or gateway"
            ) from error
    try:
        rows = [line.split() for line in Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]]
    except OSError:
        return []
    gateways = (bytes.fromhex(row[2])[::-1] for row in rows if row[1] == "00000000")
    return [ipaddress.ip_network(gateway) for gateway in gateways]


def _pool(pool: Pool) -> dict[str, Any]:
    return {
        "name": pool.spec.name,
        "containerType": pool.spec.container_type.value,
        "endpoint": pool.spec.endpoint_path,
        "egress": pool.spec.egress,
        "disk": pool.spec.emulator.disk,
        "targetPort": pool.spec.template.target_port if pool.spec.template else None,
        "provisioningState": pool.provisioning_state,
        "failure": pool.failure,
        "sessions": len(pool.sessions),
        "readyInstances": pool.warm.ready,
        "startingInstances": pool.warm.starting,
        "maxConcurrentSessions": pool.spec.max_sessions,
    }


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises `RequestInvalid`."""
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise RequestInvalid(f"The body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise RequestInvalid("The body must be a JSON object.")
    return body


def number(value: object, name: str) -> float:
    """`value` as a number. Raises `RequestInvalid` naming the member."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise RequestInvalid(f"'{name}' must be a number; got {value!r}.", target=name) from error
