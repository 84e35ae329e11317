"""Reading an execution request: a flat JSON object in which only `code` is required."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .config import CodeExecution
from .errors import bad_request
from .kernel import TimeLimit
from .settings import Settings

CODE_MISSING = "`Code` field is required in the request"
_INPUT_TYPES = {"", "inline", "inlinetext", "inlinebase64"}


@dataclass(frozen=True, slots=True)
class ExecutionRequest:
    """One request to run code, checked. `execution_type` is spelled as the caller did."""

    code: str
    limit: TimeLimit
    output_limit: int
    execution_type: str = "Synchronous"
    asynchronous: bool = False
    empty_kernel: bool = False
    jupyter_format: bool = False


def parse(body: Mapping[str, Any], config: CodeExecution, settings: Settings) -> ExecutionRequest:
    """Checks the fields; raises Refused (400) naming the first that is wrong. Unknown keys are ignored."""
    code = body.get("code")
    if not isinstance(code, str) or not code:
        raise bad_request(CODE_MISSING)
    execution_type = _text(body, "executionType") or "Synchronous"
    if execution_type.lower() not in {"synchronous", "asynchronous"}:
        raise bad_request(f"`executionType` is '{execution_type}' and must be Synchronous or Asynchronous")
    return ExecutionRequest(
        code=_decoded(code, _text(body, "codeInputType"), config.auto_base64),
        limit=time_limit(body, config.default_timeout, settings),
        output_limit=output_limit(body, settings),
        execution_type=execution_type,
        asynchronous=execution_type.lower() == "asynchronous",
        empty_kernel=_flag(body, "useEmptyKernel"),
        jupyter_format=_flag(body, "returnJupyterFormatExecutionResult")
        or _flag(body, "returnJupyterFormat"),
    )


def time_limit(body: Mapping[str, Any], default: float, settings: Settings) -> TimeLimit:
    """`timeoutInSeconds`, or the default, no more than the setting allows."""
    value = body.get("timeoutInSeconds")
    given = value is not None
    if value is None:
        value = default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**9:
        raise bad_request(f"`timeoutInSeconds` is {value!r} and must be a number above 0")
    return TimeLimit(min(value, settings.max_timeout or value), given)


def output_limit(body: Mapping[str, Any], settings: Settings) -> int:
    """`outputStreamsMaxLength`, or the setting, in characters a stream."""
    value = body.get("outputStreamsMaxLength")
    if value is None:
        return settings.output_limit
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise bad_request(f"`outputStreamsMaxLength` is {value!r} and must be a whole number, 0 or more")
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise bad_request(f"`{name}` must be text")
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise bad_request(f"`{name}` must be true or false")
    return bool(value)


def _decoded(code: str, input_type: str, automatic: bool) -> str:
    kind = input_type.lower()
    if kind not in _INPUT_TYPES:
        raise bad_request(f"`codeInputType` is '{input_type}' and must be Inline, InlineText or InlineBase64")
    if kind == "inlinebase64":
        try:
            return base64.b64decode("".join(code.split()), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            raise bad_request(
                "`code` is not base64 of UTF-8 text, as codeInputType InlineBase64 says"
            ) from None
    if not kind and automatic:
        return _guessed(code)
    return code


def _guessed(code: str) -> str:
    """⚑ ours: without a codeInputType, canonical base64 of printable text is taken for base64."""
    try:
        raw = base64.b64decode(code, validate=True)
        text = raw.decode("utf-8")
    except (binascii.Error, ValueError):
        return code
    canonical = base64.b64encode(raw).decode() == code
    printable = all(mark.isprintable() or mark in "\n\r\t" for mark in text)
    return text if canonical and printable and text.strip() else code
