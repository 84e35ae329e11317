"""`GET /.emulator/ca.pem`: the certificate that clients must trust to use HTTPS."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from emulator.errors import RouteNotFound


class Trust:
    """`ca` is None while HTTPS is off or served with a certificate of the user's own."""

    def __init__(self) -> None:
        self.ca: Path | None = None

    def add_to(self, router: Router) -> None:
        router.add_route("/.emulator/ca.pem", self._serve, ["GET"])

    async def _serve(self, _: Request) -> Response:
        if self.ca is None:
            raise RouteNotFound(
                "There is no development CA: HTTPS is off (--tls-port) or has a certificate of your own."
            )
        return Response(await asyncio.to_thread(self.ca.read_bytes), media_type="application/x-pem-file")
