"""One engine for all tests of this folder; their leftovers are removed whatever happens."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from docker.errors import DockerException, ImageNotFound

from tests.docker.engine import Lab

_lab: Lab | None = None


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The engine and what the tests have on it."""
    global _lab
    try:
        _lab = Lab()
    except DockerException as error:
        pytest.fail(f"no Docker Engine answers ({error}); start one with scripts/engine start")
    for target in ("python", "node", "shell", "base"):
        try:
            _lab.engine.images.get(f"dynamic-sessions/{target}:latest")
        except ImageNotFound:
            pytest.fail(f"there is no image dynamic-sessions/{target}; build it with scripts/images")
    _lab.sweep_old()
    try:
        yield _lab
    finally:
        _lab.sweep_own()


@pytest.fixture
def instance(lab: Lab) -> Iterator[str]:
    """A name for emulators that the test starts and ends by itself."""
    name = lab.new_instance()
    yield name
    for one in list(lab.emulators):
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        lab.emulators.remove(one)
    lab.sweep(name)


@pytest.fixture(scope="session")
def echo_image(lab: Lab) -> str:
    """A custom container without an interpreter, port 8080."""
    return lab.build("echo")


@pytest.fixture(scope="session")
def javascript_image(lab: Lab) -> str:
    """The tutorial's own image: our base, ijavascript from the registry, its configuration."""
    return lab.build("javascript")


Serve = Callable[[bytes], str]


@pytest.fixture
def host_server(lab: Lab) -> Iterator[Serve]:
    """Serves a document on the default bridge's host address; `host_server(body)` returns its URL."""
    gateway = lab.bridge_address()
    servers: list[ThreadingHTTPServer] = []

    def serve(body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer((gateway, 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://{gateway}:{server.server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def outside() -> Iterator[str]:
    """URL of a server beyond this host: in a network namespace of the test's own, one hop away.

    Addresses of the host itself are no measure of egress: an engine leaves them to the host's own firewall.
    """
    name, host, far = f"dt-{os.getpid()}", "10.231.255.253", "10.231.255.254"
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.fail("a network namespace is needed: run as root, with iproute2 installed")
    server = None
    try:
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("address", "add", f"{host}/30", "dev", name)
        _ip("link", "set", name, "up")
        for rest in (
            ["address", "add", f"{far}/30", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
            ["route", "add", "default", "via", host],
        ):
            _ip("-n", name, *rest)
        script = (
            "import http.server as h\n"
            "class Handler(h.BaseHTTPRequestHandler):\n"
            "    def do_GET(self):\n"
            "        self.send_response(200); self.end_headers(); self.wfile.write(b'from outside')\n"
            f"server = h.HTTPServer(('{far}', 8000), Handler)\n"
            "print('listening', flush=True)\n"
            "server.serve_forever()\n"
        )
        command = ["ip", "netns", "exec", name, sys.executable, "-c", script]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert server.stdout is not None and server.stdout.readline() == b"listening\n"
        yield f"http://{far}:8000/"
    finally:
        if server is not None:
            server.kill()
            server.communicate()
        _ip("link", "delete", name, check=False)
        _ip("netns", "delete", name, check=False)


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True, timeout=30)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the emulator and its sessions printed belongs to a failure."""
    report = yield
    if report.failed and _lab is not None:
        report.sections.extend(_lab.logs())
    return report
