"""Whether a pool's next session could start, and from which image; asked before anybody waits for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from emulator.runtimes.base import ImageMissing, RuntimeFailure, RuntimeUnavailable

if TYPE_CHECKING:
    from emulator.pool.pool import Pool, Shared

FIRST_LOOK = 1.0
LAST_LOOK = 60.0


class Prospects:
    """Looks at a pool's image: at first, when images changed, and while it is missing.

    `failure` is why the last start outside the warm set could not be, or None.
    """

    def __init__(
        self, pool: Pool, shared: Shared, spawn: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self.failure: RuntimeFailure | None = None
        self._pool = pool
        self._shared = shared
        self._spawn = spawn
        self._looking = False
        self._stale = False
        self._image: str | None = None

    def find_out(self) -> None:
        """Look at once; while the image is missing, again after 1, 2, 4 … at most 60 s of the clock."""
        if not self._looking:
            self._looking = True
            self._spawn(self._look(FIRST_LOOK))

    async def _look(self, pause: float) -> None:
        if self._pool.closed:
            return
        try:
            await self._shared.runtime.prepare(self._pool.spec)
        except RuntimeFailure as error:
            if str(error) != str(self.failure):
                self._shared.events.emit("pool.failed", str(error), pool=self._pool.spec.name)
            self.failure = error
            moment = self._shared.clock.now() + pause
            self._shared.sweeper.at(moment, lambda: self._look(min(pause * 2, LAST_LOOK)))
        else:
            self._looking = False
            self.failure = None

    def images_changed(self) -> None:
        """Images came, went or moved: see whether the pool can start, and from what."""
        if not self._stale and not self._pool.closed:
            self._stale = True
            self._spawn(self._look_again())

    async def _look_again(self) -> None:
        self._stale = False
        try:
            image = await self._shared.runtime.image(self._pool.spec)
        except RuntimeFailure:
            return  # where the runtime is away, its return will be news as well
        before, self._image = self._image, image
        if image is None:
            self.find_out()
            return
        warm = self._pool.warm
        failure = self.failure or warm.failure
        if image != before or isinstance(failure, (ImageMissing, RuntimeUnavailable)):
            self.failure = None
            warm.recovered()
        warm.run_only(image)
        warm.fill()
