"""The whole front end in this process, over ASGI, with sessions that are only names."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from emulator.http.app import Emulator
from emulator.identity.keys import KEY_FILE, load_key
from emulator.resources.model import SessionPool
from emulator.runtimes.base import Address, Exit, Instance, Start
from emulator.settings import Settings

SUB = "00000000-0000-0000-0000-000000000000"
VERSION = "2025-10-02-preview"


class NamesOnly:
    """A runtime that remembers what it was asked to start."""

    name = "names"

    def __init__(self) -> None:
        self.running: dict[str, Instance] = {}
        self.started: list[Start] = []

    async def image(self, pool: SessionPool) -> str | None:
        return "image"

    async def prepare(self, pool: SessionPool) -> str:
        return "image"

    async def start(self, start: Start) -> Instance:
        self.started.append(start)
        made = Instance(start.guid, start.pool.key, Address("http://127.0.0.1:9"), "image", time.time())
        self.running[start.guid] = made
        return made

    async def stop(self, guid: str) -> None:
        self.running.pop(guid, None)

    async def instances(self) -> list[Instance]:
        return list(self.running.values())

    async def watch(self) -> AsyncIterator[Exit]:
        await asyncio.Event().wait()
        yield Exit("", None)

    async def tidy(self) -> list[str]:
        return []

    async def look(self, guid: str) -> Exit | None:
        return None

    async def logs(self, guid: str, tail: int = 200) -> str | None:
        return ""

    async def metadata(self, pool: SessionPool) -> dict[str, object]:
        return {}

    def notes(self) -> list[str]:
        return []

    async def ping(self) -> None:
        return None

    async def sweep(self, tell: Callable[[str], object]) -> list[str]:
        return []

    async def aclose(self) -> None:
        return None


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error's code."""
        return str(self.json["error"]["code"])


class Cloud:
    """One emulator: its requests, with a good token for Azure Resource Manager unless told otherwise."""

    def __init__(self, settings: Settings) -> None:
        self.runtime = NamesOnly()
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        try:
            self.emulator = self.run(self._open(settings))
        except BaseException:
            self._runner.close()
            raise
        self.token = self.emulator.identity.mint(audience="https://management.azure.com")

    async def _open(self, settings: Settings) -> Emulator:
        emulator = Emulator(settings, self.runtime)
        await self._stack.enter_async_context(emulator.lifespan())
        return emulator

    def run(self, work: Any) -> Any:
        return self._runner.run(work)

    def close(self) -> None:
        self.run(self._stack.aclose())
        self._runner.close()

    def send(
        self,
        method: str,
        url: str,
        document: Any = None,
        *,
        version: str | None = VERSION,
        token: str | None = "",
        raw: bytes | None = None,
        **headers: str,
    ) -> Answer:
        """`url`: a path, or all of it as an answer's header gave it; `version` None leaves it out."""
        parts = urlsplit(url)
        query = parts.query
        if version is not None and "api-version=" not in query:
            query = "&".join(filter(None, (query, f"api-version={version}")))
        sent = {"host": parts.netloc or "localhost:7443"}
        if token is not None:
            sent["authorization"] = f"Bearer {token or self.token}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        body = raw if raw is not None else b"" if document is None else json.dumps(document).encode()
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": parts.scheme or "https",
            "method": method,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 5000),
            "server": ("127.0.0.1", 7443),
        }
        return self.run(_exchange(self.emulator.app, scope, body))  # type: ignore[no-any-return]

    def pool(self, name: str, group: str = "rg") -> str:
        return f"/subscriptions/{SUB}/resourceGroups/{group}/providers/Microsoft.App/sessionPools/{name}"

    def advance(self, seconds: float) -> None:
        answer = self.send("POST", "/.emulator/clock/advance", {"seconds": seconds}, version=None)
        assert answer.status == 200, answer.body

    def finish(self, url: str) -> Answer:
        """Poll as clients do until the answer is no 202 any more."""
        answer = self.send("GET", url)
        for _ in range(50):
            if answer.status != 202:
                return answer
            self.run(asyncio.sleep(0.01))
            answer = self.send("GET", answer.headers["location"])
        raise AssertionError("the operation does not end")


async def _exchange(app: Any, scope: dict[str, Any], body: bytes) -> Answer:
    messages: list[dict[str, Any]] = []
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return pending.pop(0) if pending else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start = messages[0]
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(one.get("body", b"") for one in messages[1:]))


MakeCloud = Callable[..., Cloud]


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Made once: an RSA key takes longer than the tests that need one."""
    folder = tmp_path_factory.mktemp("key")
    load_key(folder)
    return (folder / KEY_FILE).read_bytes()


@pytest.fixture
def start(tmp_path: Path, signing_key: bytes) -> Iterator[MakeCloud]:
    """Starts an emulator after ending the one before it, whose state folder it takes; settings by name."""
    clouds: list[Cloud] = []
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / KEY_FILE).write_bytes(signing_key)

    def begin(**settings: Any) -> Cloud:
        while clouds:
            clouds.pop().close()
        cloud = Cloud(Settings(**{"state_dir": tmp_path / "state", "ready_sessions": 0, **settings}))
        clouds.append(cloud)
        return cloud

    yield begin
    for cloud in clouds:
        cloud.close()


@pytest.fixture
def cloud(start: MakeCloud) -> Cloud:
    return start()


def document(container_type: str = "PythonLTS", **properties: Any) -> dict[str, Any]:
    """A pool as the SDKs send it."""
    return {
        "location": "eastus",
        "properties": {
            "containerType": container_type,
            "poolManagementType": "Dynamic",
            "scaleConfiguration": {"maxConcurrentSessions": 7},
            "dynamicPoolConfiguration": {
                "lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300}
            },
            **properties,
        },
    }


@pytest.fixture
def python_pool() -> dict[str, Any]:
    return document()


@pytest.fixture
def custom_pool() -> dict[str, Any]:
    return document(
        "CustomContainer",
        scaleConfiguration={"maxConcurrentSessions": 6, "readySessionInstances": 1},
        secrets=[{"name": "s", "value": "top-secret"}],
        customContainerTemplate={
            "containers": [
                {"name": "c", "image": "repo/c:v1", "env": [{"name": "A", "secretRef": "s"}]},
            ],
            "ingress": {"targetPort": 80},
        },
    )
