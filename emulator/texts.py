"""Text that others wrote, made fit to show: one line, of bounded length, without secrets."""

from __future__ import annotations

import re

MASK = "(masked)"

_TOKEN = re.compile(r"eyJ[\w-]{6,}\.[\w-]+\.[\w-]*|(?<=[Bb]earer )[^\s\"',;]{6,}")
"""A JSON web token, wherever it stands, and whatever follows the word Bearer."""

# Control characters of both blocks, the separators that end a line as well, what turns the reading direction
# around, and half characters.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """`text` on one line that a terminal takes literally: control characters as `\\x0a`, `\\u2028`."""
    return _UNSEEN.sub(_escaped, text)


def visible_lines(text: str) -> str:
    """As `visible`, with its line ends and tabs kept."""
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in text.split("\n"))


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters of `text`; what was cut is said."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def without_tokens(text: str) -> str:
    """`text` with bearer tokens masked."""
    if "eyJ" not in text and "earer " not in text:  # a tenth of the time, and nearly always so
        return text
    return _TOKEN.sub(MASK, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
