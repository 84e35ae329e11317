"""Run once, silently, inside a fresh ipykernel, in a namespace of its own (any Python from 3.8 on).

- Values that JSON can carry travel as JSON beside their text. Exact types only, with two kindnesses:
  numpy's scalars count as the Python number they stand for, and any mapping or list subclass counts as
  dict or list. A tuple, a set, a dict with keys that are not strings, a Decimal stay text.
- What a child process wrote to the inherited file descriptors is waited for before a run ends.
- A run in a subshell's thread can be interrupted, and several may end at the same moment.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from pathlib import Path
from typing import Any

from IPython import get_ipython
from IPython.core.formatters import BaseFormatter
from traitlets import ObjectName, Unicode

MIME = "application/vnd.interpreter-proxy.value"
MOST_ITEMS = 1_000_000
MOST_CHARACTERS = 16_000_000


class NotJson(Exception):
    pass


def carried(value: Any, budget: list[int]) -> Any:
    kind = type(value)
    if kind is bool or kind is int or kind is str or value is None:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    budget[0] -= 1
    if budget[0] < 0:
        raise NotJson
    if isinstance(value, list):
        budget[0] -= len(value)
        return [carried(item, budget) for item in value] if budget[0] >= 0 else None
    if isinstance(value, dict):
        budget[0] -= len(value)
        if budget[0] < 0 or any(type(key) is not str for key in value):
            raise NotJson
        return {key: carried(item, budget) for key, item in value.items()}
    generic: Any = getattr(sys.modules.get("numpy"), "generic", ())
    if isinstance(value, generic):
        item = value.item()
        if type(item) in (bool, int, float, str):
            return carried(item, budget)
    raise NotJson


class ValueFormatter(BaseFormatter):
    format_type = Unicode(MIME)
    print_method = ObjectName("_repr_interpreter_proxy_")

    def __call__(self, value: Any) -> str | None:
        try:
            budget = [MOST_ITEMS]
            text = json.dumps(carried(value, budget), ensure_ascii=False)
        except Exception:  # a hostile __class__, a cycle, a number too long to print
            return None
        return text if budget[0] >= 0 and len(text) <= MOST_CHARACTERS else None


def waiting(descriptor: int) -> int:
    import array
    import fcntl
    import termios

    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return count[0]


def reading(thread: threading.Thread) -> bool:
    """Whether the thread is back in its read, that is, has handed on what it took out of the pipe."""
    try:
        status = Path(f"/proc/self/task/{thread.native_id}/stat").read_bytes()
        return status.rpartition(b")")[2].split()[0] == b"S"
    except (OSError, AttributeError):
        return True


try:
    import resource

    def children() -> Any:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_minflt, usage.ru_utime, usage.ru_stime

except ImportError:

    def children() -> Any:
        return 0


last_children = [children()]


def settle() -> None:
    """ipykernel reads the descriptors 1 and 2 in threads: let them finish what children left in the pipes."""
    now = children()
    stream: Any
    for stream in (sys.stdout, sys.stderr):
        pipe = getattr(stream, "_fid", None)
        try:
            if not isinstance(pipe, int) or (now == last_children[0] and not waiting(pipe)):
                continue
            end = time.monotonic() + 2
            time.sleep(0.001)
            while time.monotonic() < end and (waiting(pipe) or not reading(stream.watch_fd_thread)):
                time.sleep(0.001)
        except (OSError, ValueError, AttributeError):  # the user replaced or closed something
            continue
    last_children[0] = now


def interrupt(subshell: str) -> None:
    import ctypes

    for thread in threading.enumerate():
        if thread.name == "subshell-" + subshell:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
            )


def message_of_each_thread(hook: type) -> None:
    """ipykernel keeps the result it is about to send in one place; subshells would lose each other's."""
    own = threading.local()

    def get(self: Any) -> Any:
        return getattr(own, "message", None)

    def put(self: Any, message: Any) -> None:
        own.message = message

    hook.msg = property(get, put)  # type: ignore[attr-defined]


def tolerant(pack: Any) -> Any:
    """Half a character fits in no message as it is, and would take all that was printed with it."""

    def packed(message: Any) -> Any:
        try:
            return pack(message)
        except UnicodeEncodeError:
            return json.dumps(message, default=str).encode()

    return packed


shell: Any = get_ipython()
shell.kernel.session.pack = tolerant(shell.kernel.session.pack)
message_of_each_thread(type(shell.displayhook))
formatter = ValueFormatter(parent=shell.display_formatter)
shell.display_formatter.formatters[MIME] = formatter
shell.display_formatter.active_types = [*shell.display_formatter.active_types, MIME]
shell.events.register("post_execute", settle)
object.__setattr__(shell, "_interpreter_proxy_interrupt", interrupt)
