"""What is particular to a kernel's language: preparing it, and reading the value of a run.

Any kernel works without an entry here: its values are then read from application/json or, where
text/plain is a JSON literal, from that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import literals

# The representation that python_setup.py adds to a value that JSON can carry.
PYTHON_MIME = "application/vnd.interpreter-proxy.value"
NO_VALUE = ""
_TEXTS = ("text/plain", "text/markdown", "text/html", "text/latex")


class Language:
    """A kernel of any language.

    `interruptible`: whether SIGINT (or an interrupt_request) ends the running code and leaves its state.
    `worker`: whether the code runs in a child of the kernel's process, whose end the kernel does not tell.
    """

    interruptible = True
    worker = False

    def setup(self) -> str | None:
        """Code run once, silently, in a fresh kernel."""
        return None

    def interrupt(self, subshell: str) -> str | None:
        """Code that interrupts what a kernel thread runs, or None where that cannot be done."""
        return None

    def value(self, data: Mapping[str, Any]) -> Any:
        """The typed value of an execute_result's representations; `""` for none."""
        if "application/json" in data:
            return without_nan(data["application/json"])
        text = plain(data)
        try:
            return without_nan(json.loads(text))
        except (ValueError, RecursionError):
            return text


class Python(Language):
    """ipykernel: the kernel itself says what JSON can carry, because text/plain is not exact enough."""

    def setup(self) -> str:
        source = Path(__file__).with_name("python_setup.py").read_text()
        return (
            f"__import__('builtins').exec(compile({source!r}, '<interpreter_proxy>', 'exec'), "
            "{'__name__': '_interpreter_proxy'})"
        )

    def interrupt(self, subshell: str) -> str:
        return f"get_ipython()._interpreter_proxy_interrupt({subshell!r})"

    def value(self, data: Mapping[str, Any]) -> Any:
        carried = data.get(PYTHON_MIME)
        if isinstance(carried, str):
            try:
                return json.loads(carried)
            except (ValueError, RecursionError):
                pass
        return plain(data)


class JavaScript(Language):
    """ijavascript: text/plain is what util.inspect printed.

    Its SIGINT handler ends the interpreter and never answers the request; so does `process.exit()`.
    """

    interruptible = False
    worker = True

    def value(self, data: Mapping[str, Any]) -> Any:
        if "application/json" in data:
            return without_nan(data["application/json"])
        text = plain(data)
        if text == "undefined":
            return NO_VALUE
        try:
            return literals.parse(text)
        except (literals.NotJson, RecursionError):
            return text


_LANGUAGES: dict[str, type[Language]] = {
    "python": Python,
    "python3": Python,
    "javascript": JavaScript,
}


def language(name: str) -> Language:
    """The language that a kernel.json or a kernel_info_reply names."""
    return _LANGUAGES.get(name.lower(), Language)()


def plain(data: Mapping[str, Any]) -> str:
    """The text/plain representation, or the next best text where there is none."""
    text = next((data[mime] for mime in _TEXTS if mime in data), "")
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def without_nan(value: Any) -> Any:
    """The value with null for every float that JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    return value
