"""The end of a stream of bytes: what a console printed last, in bounded memory."""

from __future__ import annotations


class Tail:
    """Keeps the last `limit` bytes of what is added."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()

    def add(self, chunk: bytes) -> None:
        self._kept += chunk
        if len(self._kept) > 2 * self._limit:  # cut now and then, not at every chunk
            del self._kept[: len(self._kept) - self._limit]

    def text(self, lines: int | None = None) -> str:
        """The last `lines` lines (None: all that is kept); the first may lack its beginning."""
        text = bytes(self._kept[-self._limit :]).decode("utf-8", "replace")
        if lines is None:
            return text
        end = "\n" if text.endswith("\n") else ""
        return "\n".join(text.removesuffix("\n").split("\n")[-lines:]) + end if lines > 0 else ""
