"""What a journal must not hold: credentials in headers and in the query. Names are kept, values masked."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

from emulator.texts import MASK, shortened, without_tokens

Headers = list[tuple[str, str]]

HEADERS_KEPT, NAME_KEPT = 100, 200
VALUE_KEPT = 2_048
"""Characters of a header's value, and of a URL, that are kept."""
SHORTEST_TOKEN = 20
"""No shorter value can hold a token that is worth masking."""

_SECRET_HEADER = re.compile(
    r"authorization|cookie|token|secret|password|api-?key|(?:^|-)key(?:$|-)|x-identity-header|signature"
)
_SECRET_PARAMETER = re.compile(
    r"token|secret|passw|pwd|assertion|credential|api-?_?key|(?:^|[-_.])(?:key|sig|code|jwt)(?:$|[-_.])|signature"
)
_NOT_SECRET = frozenset({"sec-websocket-key", "api-key-version", "codeinputtype", "tokentype", "token_type"})


def readable(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Names in lower case and values, masked and shortened; at most `HEADERS_KEPT` of them."""
    found: Headers = []
    for name, value in itertools.islice(headers, HEADERS_KEPT):
        key, secret = _known(name)
        found.append((key, MASK if secret else _bounded(value.decode("latin-1"))))
    return found


def query(text: str) -> str:
    """A query string with the values of secret parameters masked; everything else as it was sent."""
    if not text:
        return text
    return without_tokens("&".join(map(_parameter, text.split("&"))))


@functools.lru_cache(1024)  # most headers are the same few, at every request
def _known(name: bytes) -> tuple[str, bool]:
    """A header's name as it is shown, and whether its value is a secret."""
    key = name[:NAME_KEPT].decode("latin-1").lower()
    return key, key not in _NOT_SECRET and _SECRET_HEADER.search(key) is not None


def _bounded(value: str) -> str:
    return shortened(without_tokens(value), VALUE_KEPT) if len(value) > SHORTEST_TOKEN else value


def _parameter(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}={MASK}" if equals and _secret_parameter(name) else pair


@functools.lru_cache(1024)
def _secret_parameter(name: str) -> bool:
    plain = unquote_plus(name).lower()
    return plain not in _NOT_SECRET and _SECRET_PARAMETER.search(plain) is not None
