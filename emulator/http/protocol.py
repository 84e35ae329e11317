"""uvicorn's HTTP protocol with the connection's transport in the scope, for faults that cut connections."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from emulator.http.tampering import TRANSPORT


class CuttableProtocol(HttpToolsProtocol):
    """Nothing but the transport is added: to the state, which the protocol of a WebSocket takes over."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}
