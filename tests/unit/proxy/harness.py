"""A real interpreter_proxy in front of a real ipykernel, spoken to over its Unix socket."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
NEW = "2025-10-02-preview"
OLD = "2024-02-02-preview"

CONFIG = """\
kind: CodeInterpreterConfig
apiVersion: v1
metadata:
  name: code-interpreter
spec:
  logging:
    logLevel: 0
  kernel:
    name: {kernel}
    port: 6000
    isAsynchronousExecutionSupported: true
  healthProbe:
    code: 1+1
{execution}
  fileOperation:
    maxUploadFileSizeLimitInMBs: 2
    dataDirectoryPath: {data}
"""


@dataclass
class Answer:
    """One HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float = 60) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass
class Proxy:
    """A running proxy; `stop` ends it. Its folder holds the socket `s` and the data directory."""

    folder: Path
    kernel: str = "python3"
    execution: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    wait: bool = True

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.data.mkdir(exist_ok=True)
        self.socket = str(self.folder / "s")
        config = self.folder / "conf.yaml"
        config.write_text(CONFIG.format(kernel=self.kernel, data=self.data, execution=self.execution))
        # ipykernel does not look at descriptors 1 and 2 where it believes that pytest captures them.
        inherited = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "interpreter_proxy", "--uds", self.socket, "--config", str(config)],
            env={**inherited, "PYTHONPATH": str(ROOT / "proxy_image"), **self.environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if self.wait:
            self.wait_for(200, "healthy")

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.log.append(line.rstrip())

    def wait_for(self, status: int, text: str) -> str:
        """Waits until /health answers so; returns its message."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self.process.poll() is not None:
                self._reader.join(5)
                raise AssertionError(f"the proxy ended: {self.log}")
            try:
                answer = self.call("GET", "/health")
                message = str(answer.json["message"])
                if answer.status == status and text in message:
                    return message
            except OSError:
                pass
            time.sleep(0.01)
        raise AssertionError(f"/health did not answer {status} {text!r}: {self.log}")

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        return self.call(
            "POST", path, json.dumps(body), {"Content-Type": "application/json", **(headers or {})}
        )

    def execute(self, code: str, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
        path = f"/executions?api-version={NEW}&identifier=test"
        return self.post(path, {"code": code, **fields}, headers)

    def run(self, code: str, **fields: Any) -> dict[str, Any]:
        """Runs code and returns its result; fails unless it succeeded."""
        body = self.execute(code, **fields).json
        assert body["status"] == "Succeeded", body
        result: dict[str, Any] = body["result"]
        return result

    def fail(self, code: str, **fields: Any) -> str:
        """Runs code that must fail; returns stderr."""
        body = self.execute(code, **fields).json
        assert body["status"] == "Failed", body
        return str(body["result"]["stderr"])

    def value(self, code: str, **fields: Any) -> Any:
        return self.run(code, **fields)["executionResult"]

    def poll(self, execution_id: str) -> dict[str, Any]:
        """Waits for an asynchronous run."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            body: dict[str, Any] = self.call("GET", f"/executions/{execution_id}?api-version={NEW}").json
            if body["status"] not in {"Running", "NotStarted"}:
                return body
            time.sleep(0.02)
        raise AssertionError(f"execution {execution_id} did not end")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self._reader.join(5)
        return code
