"""Leaves in a neighbour what others must not see: files, a process, listeners; and takes it away again."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import selectors
import signal
import socket
import subprocess
from typing import Any

LIFE = 1_200
"""Seconds after which what was left ends by itself, should nobody come to end it."""
HEARD = 500
"""Datagrams remembered."""


def main(given: dict[str, Any]) -> list[list[str]]:
    """Marks as `given`, or removes them (`remove`: pids); without a `file` only tells of kernels.

    Rows: `P` port of the listeners (TCP and UDP), `I` pid of a process left behind, `K` a kernel's
    connection file (JSON).
    """
    if "file" not in given:
        return [["K", text] for text in kernels()]
    files = [f"data-{given['file']}", f"/tmp/tmp-{given['file']}"]  # noqa: S108 - to be found there
    if "remove" in given:
        for pid in given["remove"]:
            with contextlib.suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)
        for file in files:
            with contextlib.suppress(OSError):
                os.unlink(file)
        return []
    for file in files:
        with open(file, "w", encoding="ascii") as stream:
            stream.write(given["decoy"] + "\n")
    process = subprocess.Popen(
        [f"command-{given['process']}", str(LIFE)],
        executable="/bin/sleep",
        env={"DOCTOR": f"environment-{given['process']} {given['decoy']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    port, listener = listen(given["answer"])
    left = [["P", str(port)], ["I", str(process.pid)], ["I", str(listener)]]
    return left + [["K", text] for text in kernels()]


def kernels() -> list[str]:
    """Connection files of this session's own kernels."""
    found = []
    for start in ("/tmp", "/run", "."):  # noqa: S108 - where kernels keep them
        for depth in ("", "*/", "*/*/", "*/*/*/"):
            for path in glob.glob(f"{start}/{depth}connection*.json"):
                with contextlib.suppress(OSError, ValueError):
                    if os.stat(path).st_uid == os.getuid():
                        with open(path, encoding="utf-8") as stream:
                            found.append(json.dumps(json.load(stream)))
    return found


def listen(answer: str) -> tuple[int, int]:
    """A process that answers TCP with `answer` and what it heard by UDP; returns its port and pid."""
    for _ in range(20):
        tcp = socket.create_server(("0.0.0.0", 0))  # noqa: S104 - so that whoever can, reaches it
        port = int(tcp.getsockname()[1])
        with contextlib.suppress(OSError):
            datagrams = _datagrams(port)
            break
        tcp.close()
    else:
        raise OSError("no port is free for TCP and UDP")
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            signal.alarm(LIFE)
            nothing = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(nothing, number)
            _serve(tcp, datagrams, answer)
        finally:
            os._exit(0)
    return port, pid


def _datagrams(port: int) -> list[socket.socket]:
    """Sockets for whatever is broadcast or sent to all hosts, by IPv4 and, where it is there, IPv6."""
    found = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
    found[0].bind(("0.0.0.0", port))  # noqa: S104
    with contextlib.suppress(OSError):
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("::", port))
        found.append(sock)
    return found


def _serve(tcp: socket.socket, datagrams: list[socket.socket], answer: str) -> None:
    heard: list[str] = []
    waiting = selectors.DefaultSelector()
    for sock in (tcp, *datagrams):
        waiting.register(sock, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            with contextlib.suppress(OSError):
                if key.fileobj is not tcp:
                    text = key.fileobj.recv(200).decode("ascii", "replace")  # type: ignore[union-attr]
                    if len(heard) < HEARD and text not in heard:
                        heard.append(text)
                    continue
                connection, _ = tcp.accept()
                with connection:
                    connection.settimeout(2)
                    got = b""
                    while b"\r\n\r\n" not in got and (block := connection.recv(4096)):
                        got += block
                    body = "\n".join([answer, *heard])
                    connection.sendall(f"HTTP/1.0 200 OK\r\n\r\n{body}\n".encode())
