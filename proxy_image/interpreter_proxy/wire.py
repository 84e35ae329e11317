"""Jupyter's messages as ZeroMQ frames (protocol 5.3), in the little that a driver of one kernel needs.

jupyter_client would do it too, but costs a tenth of a second of imports before the kernel can be asked
anything, and parses dates in every message. Signatures are written, because kernels check them, and not
read: only the kernel can write to its sockets, and hostile code inside it holds the key anyway.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

DELIMITER = b"<IDS|MSG>"
_SESSION = os.urandom(16).hex()


@dataclass(frozen=True, slots=True)
class Message:
    """A message from the kernel; `body` is its content, still JSON text."""

    kind: str
    parent: str
    body: memoryview

    def content(self) -> dict[str, Any]:
        """The content, or nothing where the kernel sent something that is no JSON object."""
        try:
            value = json.loads(str(self.body, "utf-8", "replace"))
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


def new_id() -> str:
    """A fresh message id."""
    return os.urandom(16).hex()


def encode(
    key: str, kind: str, content: Mapping[str, Any], message_id: str, subshell: str | None = None
) -> list[bytes]:
    """One signed request as frames; `subshell` names the kernel's thread that shall run it."""
    header = {
        "msg_id": message_id,
        "msg_type": kind,
        "username": "interpreter_proxy",
        "session": _SESSION,
        "date": datetime.now(UTC).isoformat(),
        "version": "5.3",
    }
    if subshell is not None:
        header["subshell_id"] = subshell
    frames = [json.dumps(header).encode(), b"{}", b"{}", json.dumps(content).encode()]
    signature = hmac.new(key.encode(), digestmod=hashlib.sha256)
    for frame in frames:
        signature.update(frame)
    return [DELIMITER, signature.hexdigest().encode(), *frames]


def decode(frames: Sequence[Any]) -> Message | None:
    """Reads the frames of one message (ZeroMQ frame objects); None when they are not one."""
    try:
        start = next(index for index, frame in enumerate(frames) if frame.bytes == DELIMITER)
        header, parent = json.loads(frames[start + 2].bytes), json.loads(frames[start + 3].bytes)
        return Message(
            str(header["msg_type"]), str(parent.get("msg_id", "")), memoryview(frames[start + 5].buffer)
        )
    except (StopIteration, IndexError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
