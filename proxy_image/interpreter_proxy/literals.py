"""Reading values out of what JavaScript's `util.inspect` prints."""

from __future__ import annotations

import re
from typing import Any

_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?![\w.])")
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_SPACE = re.compile(r"\s*")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u\{[0-9a-fA-F]+\}|u[0-9a-fA-F]{4}|\n|.)", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "r": "\r", "0": "\0", "\n": ""}
# What JSON cannot say stands as null, as JSON.stringify has it.
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "NaN": None, "Infinity": None}
_DEEPEST = 100


class NotJson(ValueError):
    """The text holds something that JSON cannot carry, or that was abbreviated."""


def parse(text: str) -> Any:
    """The JSON value that an inspected number, string, boolean, null, array or object stands for.

    Raises NotJson for anything else: functions, classes, maps, dates, abbreviations, symbols, bigints.
    """
    reader = _Reader(text)
    value = reader.value(0)
    reader.space()
    if reader.position != len(text):
        raise NotJson(text[reader.position : reader.position + 20])
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0

    def space(self) -> None:
        self.position = _SPACE.match(self._text, self.position).end()  # type: ignore[union-attr]

    def value(self, depth: int) -> Any:
        self.space()
        if depth > _DEEPEST:
            raise NotJson("too deep")
        mark = self._text[self.position : self.position + 1]
        if mark in {"'", '"', "`"} and mark:
            return self._strings()
        if mark == "[":
            return self._array(depth)
        if mark == "{":
            return self._object(depth)
        if number := self._take(_NUMBER):
            value = float(number)
            return int(value) if value.is_integer() and "e" not in number and abs(value) < 2**53 else value
        word = (self._take(re.compile(r"-(?=Infinity)")) and self._take(_WORD)) or self._take(_WORD)
        if word in _WORDS:
            return _WORDS[word]
        raise NotJson(word or mark)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self.position)
        if match is None:
            return ""
        self.position = match.end()
        return match[0]

    def _eat(self, mark: str) -> bool:
        self.space()
        if self._text.startswith(mark, self.position):
            self.position += len(mark)
            return True
        return False

    def _strings(self) -> str:
        """One string, or several lines of one joined with `+`."""
        text = self._string()
        while True:
            before = self.position
            if not self._eat("+"):
                self.position = before
                return text
            self.space()
            text += self._string()

    def _string(self) -> str:
        quote = self._text[self.position : self.position + 1]
        if quote not in {"'", '"', "`"} or not quote:
            raise NotJson(quote)
        end = self.position + 1
        while end < len(self._text) and self._text[end] != quote:
            end += 2 if self._text[end] == "\\" else 1
        if end >= len(self._text):
            raise NotJson("unfinished string")
        raw = self._text[self.position + 1 : end]
        self.position = end + 1
        return _ESCAPE.sub(_unescape, raw)

    def _array(self, depth: int) -> list[Any]:
        self.position += 1
        items: list[Any] = []
        if self._eat("]"):
            return items
        while True:
            items.append(self.value(depth + 1))
            if self._eat("]"):
                return items
            if not self._eat(","):
                raise NotJson("array")

    def _object(self, depth: int) -> dict[str, Any]:
        self.position += 1
        members: dict[str, Any] = {}
        if self._eat("}"):
            return members
        while True:
            self.space()
            key = self._take(_WORD) or self._take(re.compile(r"\d+")) or self._string()
            if not self._eat(":"):
                raise NotJson("object")
            members[key] = self.value(depth + 1)
            if self._eat("}"):
                return members
            if not self._eat(","):
                raise NotJson("object")


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1:
        return chr(int(code[1:].strip("{}"), 16))
    return _SIMPLE.get(code, code)
