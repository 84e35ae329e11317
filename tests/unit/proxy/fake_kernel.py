"""A kernel of a language nobody knows: single-threaded, and it does what a real one should not.

`python fake_kernel.py CONNECTION_FILE`. Its code is one word and an argument a line.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import zmq

connection = json.loads(Path(sys.argv[1]).read_text())
key = connection["key"].encode()
context = zmq.Context()


def bind(kind: int, port: str) -> Any:
    made = context.socket(kind)
    made.bind(f"{connection['transport']}://{connection['ip']}-{connection[port]}")
    return made


shell, control, iopub = (
    bind(zmq.ROUTER, "shell_port"),
    bind(zmq.ROUTER, "control_port"),
    bind(zmq.PUB, "iopub_port"),
)


def send(out: Any, prefix: list[bytes], kind: str, content: Any, parent: Any) -> None:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "session": "s", "username": "", "version": "5.3"}
    frames = [json.dumps(part).encode() for part in (header, parent, {}, content)]
    signature = hmac.new(key, b"".join(frames), hashlib.sha256).hexdigest().encode()
    out.send_multipart([*prefix, b"<IDS|MSG>", signature, *frames])


def publish(kind: str, content: Any, parent: Any) -> None:
    send(iopub, [kind.encode()], kind, content, parent)


def perform(line: str, parent: Any) -> None:
    word, _, argument = line.partition(" ")
    if word == "value":
        publish("execute_result", {"data": {"text/plain": argument}, "metadata": {}}, parent)
    elif word == "say":
        publish("stream", {"name": "stdout", "text": argument}, parent)
    elif word == "sleep":
        time.sleep(float(argument))
    elif word == "garbage":
        iopub.send_multipart([b"junk"])
        iopub.send_multipart([b"x", b"<IDS|MSG>", b"", b"{", b"", b"", b""])
        iopub.send_multipart([b"x", b"<IDS|MSG>", b"", b"[]", b"{}", b"{}", b"5"])
        publish("stream", ["no", "object"], parent)
        publish("stream", {"text": None}, parent)
        publish("error", {"ename": 5, "traceback": "no list"}, {"msg_id": "somebody else's"})
        publish("execute_result", {"data": None}, parent)
        publish("display_data", {"data": {"image/png": 5}}, parent)


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    while True:
        try:
            prefix, (_, header, _, _, content) = split(shell.recv_multipart())
        except KeyboardInterrupt:
            continue
        parent, asked = json.loads(header), json.loads(content)
        kind = parent["msg_type"]
        publish("status", {"execution_state": "busy"}, parent)
        reply: dict[str, Any] = {"status": "ok"}
        if kind == "execute_request":
            try:
                for line in asked["code"].splitlines():
                    perform(line, parent)
            except KeyboardInterrupt:
                reply = {"status": "error", "ename": "Interrupted", "evalue": "", "traceback": []}
        send(shell, prefix, kind.replace("_request", "_reply"), reply, parent)
        if "quiet" not in asked.get("code", ""):
            publish("status", {"execution_state": "idle"}, parent)


def split(frames: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    at = frames.index(b"<IDS|MSG>")
    return frames[:at], frames[at + 1 : at + 6]


main()
