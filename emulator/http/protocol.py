"""uvicorn's HTTP protocol with the connection's transport in the scope, for faults that cut connections."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from emulator.http.faulting import TRANSPORT


class CuttableProtocol(HttpToolsProtocol):
    """Nothing but the transport is added."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[TRANSPORT] = self.transport
