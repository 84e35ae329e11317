"""How one setting's value is read, from a flag, a variable or a file; every reader says what it expects."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.resources.units import parse_bytes

_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SWITCH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


class WrongValue(ValueError):
    """The text continues the sentence "port is 'x': …"."""


@dataclass(frozen=True)
class Kind:
    """A type of setting: its name in documentation, how it is read, and whether a flag takes several."""

    name: str
    read: Callable[[Any], Any]
    many: bool = False
    separator: str = ","


def _text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise WrongValue("expected a text that is not empty")
    return raw.strip()


def _integer(raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int | str):
        raise WrongValue("expected a whole number")
    try:
        return int(raw)
    except ValueError:
        raise WrongValue("expected a whole number") from None


def _number(raw: Any) -> float:
    try:
        number = math.nan if isinstance(raw, bool) else float(raw)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise WrongValue("expected a number")
    return number


def _seconds(raw: Any) -> float:
    if isinstance(raw, str):
        match = _DURATION.fullmatch(raw.strip().lower())
        if match is None:
            raise WrongValue("expected seconds, or a duration such as 500ms, 90s, 5m or 24h")
        return float(match[1]) * _SECONDS[match[2]]
    return _number(raw)


def _size(raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int | str):
        raise WrongValue("expected a size such as 128MiB")
    try:
        return parse_bytes(str(raw))
    except ValueError as error:
        raise WrongValue(str(error)) from None


def _switch(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    found = _SWITCH.get(str(raw).strip().lower())
    if found is None:
        raise WrongValue("expected true or false")
    return found


def _path(raw: Any) -> Path:
    if isinstance(raw, Path):
        return raw
    try:
        return Path(_text(raw)).expanduser()
    except RuntimeError:
        raise WrongValue("there is no such user") from None


def _port_or_off(raw: Any) -> int | None:
    # YAML 1.1 reads a bare `off` as false.
    if raw is False or (isinstance(raw, str) and raw.strip().lower() in {"off", "none", "no"}):
        return None
    try:
        return _integer(raw)
    except WrongValue:
        raise WrongValue("expected a port, or off") from None


def _subnet(raw: Any) -> str:
    import ipaddress  # 5 ms that only a given value should cost

    try:
        network = ipaddress.IPv4Network(_text(raw))
    except ValueError as error:
        raise WrongValue(f"expected an IPv4 network such as 10.213.0.0/16 ({error})") from None
    if not 8 <= network.prefixlen <= 29:
        raise WrongValue("expected a network between /8 and /29; every session takes a /29 of it")
    return str(network)


def _records(raw: Any) -> tuple[Mapping[str, Any], ...]:
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError:
            raise WrongValue("expected JSON: a list of objects") from None
    if not isinstance(raw, list | tuple) or not all(isinstance(one, Mapping) for one in raw):
        raise WrongValue("expected a list of objects")
    return tuple(raw)


def _label(raw: Any) -> tuple[str, str]:
    name, equals, value = _text(raw).partition("=")
    if not name or not equals:
        raise WrongValue("expected KEY=VALUE")
    return name, value


def _many(read: Callable[[Any], Any], separator: str) -> Callable[[Any], tuple[Any, ...]]:
    def read_all(raw: Any) -> tuple[Any, ...]:
        if isinstance(raw, str):
            raw = [part for part in raw.split(separator) if part.strip()]
        elif not isinstance(raw, list | tuple):
            raw = [raw]
        return tuple(read(one) for one in raw)

    return read_all


TEXT = Kind("text", _text)
INTEGER = Kind("integer", _integer)
NUMBER = Kind("number", _number)
SECONDS = Kind("duration", _seconds)
SIZE = Kind("size", _size)
SWITCH = Kind("switch", _switch)
PATH = Kind("path", _path)
PORT_OR_OFF = Kind("port or off", _port_or_off)
SUBNET = Kind("network", _subnet)
RECORDS = Kind("list of objects", _records)
PATHS = Kind("paths", _many(_path, os.pathsep), many=True, separator=os.pathsep)
NAMES = Kind("names", _many(_text, ","), many=True)
LABELS = Kind("labels", _many(_label, ","), many=True)
