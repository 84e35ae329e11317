"""Who may come in: the data plane's door."""

from __future__ import annotations

from emulator.resources.model import SessionPool


class OpenGuard:
    """`--auth off`: everybody may use every pool."""

    def admit(self, authorization: str | None, pool: SessionPool | None) -> None:
        return None
