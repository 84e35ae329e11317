"""All pools of the emulator, and the tasks that keep them: sweeping, watching exits, adopting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from emulator.pool.ledger import Claim
from emulator.pool.pool import Pool, Shared
from emulator.pool.session import Removed, Session
from emulator.resources.model import SessionPool
from emulator.runtimes.base import Exit, ImagesChanged, RuntimeFailure

log = logging.getLogger("emulator.pool")

ADOPTION_PAUSE = 1.0
EARLY_EXITS = 1_000
"""Exits remembered for instances that nobody holds (yet)."""


class Registry:
    """Pools by resource id; the first one is the default. Open it once, close it once."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._pools: dict[str, Pool] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._closing: set[asyncio.Future[list[Removed]]] = set()
        self._resetting = asyncio.Lock()
        self._claims: dict[str, Claim] | None = None
        self._unlisted = ""

    @property
    def pools(self) -> list[Pool]:
        return list(self._pools.values())

    @property
    def default(self) -> Pool | None:
        return next(iter(self._pools.values()), None)

    def get(self, key: str) -> Pool | None:
        return self._pools.get(key.lower())

    def named(self, name: str) -> Pool | None:
        """The first pool of that name, whatever its group."""
        return next((p for p in self._pools.values() if p.spec.name.lower() == name.lower()), None)

    async def open(self, specs: Iterable[SessionPool]) -> None:
        """Adopt this emulator's own sessions, sweep what belongs to no one, start filling the pools.

        An engine that does not answer is not an error here: pools say so and recover when it does.
        """
        for spec in specs:
            self._pools[spec.key] = Pool(spec, self.shared)
        self._claims = self.shared.ledger.open()
        await self._adopt()
        self._tasks = [
            asyncio.create_task(self.shared.sweeper.run(), name="sweeper"),
            asyncio.create_task(self._watch(), name="watch"),
            asyncio.create_task(self._adopt_later(), name="adopt"),
        ]
        for pool in self._pools.values():
            pool.open()

    async def _adopt(self) -> None:
        """Give running instances back to their identifiers; what nobody claims is removed.

        An engine that does not answer is asked again when it does.
        """
        try:
            instances = await self.shared.runtime.instances()
        except RuntimeFailure as error:
            if str(error) != self._unlisted:  # it is asked every second: once is enough
                self.shared.events.emit("runtime.unavailable", f"sessions cannot be listed: {error}")
            self._unlisted = str(error)
            return
        claims, self._claims = self._claims or {}, None
        ours = {session.guid for pool in self._pools.values() for session in pool.sessions}
        ours |= {guid for pool in self._pools.values() for guid in pool.warm.guids}
        for instance in instances:
            if instance.guid in ours:
                continue
            claim = claims.pop(instance.guid, None)
            pool = self._pools.get(claim.pool) if claim else None
            if claim is not None and pool is not None and pool.adopt(instance, claim):
                continue
            # Unclaimed: it may or may not have served somebody, so nobody else may ever get it.
            self.shared.ledger.release(instance.guid)
            whose = "no session" if claim is None else f"{claim.identifier!r}, whose pool is gone"
            self.shared.events.emit("instance.swept", f"belonged to {whose}", session=instance.guid)
            await self.shared.remover.remove(instance.guid)
        for guid, claim in claims.items():
            self.shared.ledger.release(guid)
            self._lost(claim)
            await self.shared.remover.remove(guid)

    def _lost(self, claim: Claim) -> None:
        cause = "its container was gone when the emulator was started again"
        name = claim.pool.rsplit("/", 1)[-1]
        who = {"identifier": claim.identifier, "session": claim.guid}
        self.shared.events.emit("session.lost", cause, pool=name, **who)

    async def _watch(self) -> None:
        trouble = ""
        while True:
            try:
                async for news in self.shared.runtime.watch():
                    if trouble:
                        self.shared.events.emit("runtime.available", "the runtime answers again")
                        trouble = ""
                    self._heard(news)
            except RuntimeFailure as error:
                if str(error) != trouble:
                    self.shared.events.emit("runtime.unavailable", str(error))
                trouble = str(error)
            except Exception:
                log.exception("watching for exits failed; it begins again")
            await asyncio.sleep(1)  # the event stream broke: real time, since the engine lives in it

    def _heard(self, news: Exit | ImagesChanged) -> None:
        if isinstance(news, ImagesChanged):
            for pool in self._pools.values():
                pool.images_changed()
        elif not any(pool.exited(news) for pool in self._pools.values()):
            self._remember(news)

    async def doubt(self, session: Session) -> None:
        """A connection into `session` broke: end it if its instance cannot serve any more."""
        try:
            exit_ = await self.shared.runtime.look(session.guid)
        except RuntimeFailure:
            return
        if exit_ is not None:
            self._heard(exit_)

    async def _adopt_later(self) -> None:
        while self._claims is not None:
            await asyncio.sleep(ADOPTION_PAUSE)  # real time: it is the engine that is waited for
            await self._adopt()

    def _remember(self, exit_: Exit) -> None:
        """An exit of an instance nobody holds: one being stopped, or one whose start is not over yet."""
        early = self.shared.early_exits
        early[exit_.guid] = exit_
        while len(early) > EARLY_EXITS:
            del early[next(iter(early))]

    async def put(self, spec: SessionPool) -> bool:
        """Create or update a pool; True when it is new."""
        if (pool := self._pools.get(spec.key)) is not None:
            await pool.update(spec)
            return False
        pool = self._pools[spec.key] = Pool(spec, self.shared)
        self.shared.events.emit("pool.created", f"{spec.container_type} pool", pool=spec.name)
        pool.open()
        return True

    async def delete(self, key: str) -> list[Removed] | None:
        """Remove a pool and all it runs; None if there is none of that id."""
        pool = self._pools.pop(key.lower(), None)  # at once: a pool of that name can be made anew meanwhile
        if pool is None:
            return None
        removed = await self._to_the_end(pool.close("the pool was deleted"))
        self.shared.events.emit("pool.deleted", f"{len(removed)} instances removed", pool=pool.spec.name)
        return removed

    def session_by_guid(self, guid: str) -> tuple[Pool, Session] | None:
        for pool in self._pools.values():
            for session in pool.sessions:
                if session.guid == guid:
                    return pool, session
        return None

    async def reset(self, between: Callable[[], None] = lambda: None) -> list[Removed]:
        """End every session of every pool as one step; returns what was removed.

        No pool lets anybody in from the first moment until the last instance is gone and `between` was
        called, so nobody meets half a reset. It goes on to its end when its caller is cancelled.
        """
        return await self._to_the_end(self._reset(between))

    async def _reset(self, between: Callable[[], None]) -> list[Removed]:
        async with self._resetting:
            pools = self.pools
            for pool in pools:
                pool.pause()
            try:
                removed = await asyncio.gather(*(pool.reset("reset was asked for") for pool in pools))
                between()
            finally:
                for pool in pools:
                    pool.resume()
        return [one for some in removed for one in some]

    async def _to_the_end(self, work: Coroutine[Any, Any, list[Removed]]) -> list[Removed]:
        """Do `work` although whoever asked for it may go away; `close` waits for it."""
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return await asyncio.shield(task)

    async def close(self, *, keep: bool) -> None:
        """Stop working: with `keep` sessions stay for the next start, otherwise everything is removed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if keep:
            await asyncio.gather(*(pool.detach() for pool in self._pools.values()))
        else:
            await asyncio.gather(*(pool.close("the emulator stops") for pool in self._pools.values()))
        await asyncio.gather(*self._closing)
        self.shared.ledger.close()
