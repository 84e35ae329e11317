"""The file in a multipart body, as it streams by, in every dialect that real clients speak."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from .errors import bad_request

_BOUNDARY = re.compile(
    rb'multipart/[^;]+;(?:.*;)?\s*boundary=(?:"([^"]+)"|([^\s;]+))', re.IGNORECASE | re.DOTALL
)
_FIRST_LINE = re.compile(rb"\s*--([^\r\n]{1,200}?)[ \t]*\r?\n")
_PARAMETER = re.compile(r';\s*([\w!#$%&\'+.^`|~*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))')
# What a client that percent-encodes the whole name (aiohttp) leaves: nothing else looks like it by accident.
_ENCODED = re.compile(r"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+")


def boundary(content_type: str, first: bytes) -> bytes:
    """The boundary that the header gives, or the body's first line where the header says something else.

    One widely used client labels its uploads application/json. Raises Refused (400) when there is none.
    """
    if match := _BOUNDARY.match(content_type.encode("latin-1", "replace").strip()):
        return match[1] or match[2]
    if match := _FIRST_LINE.match(first):
        return match[1]
    raise bad_request("The body must be multipart/form-data with one file part")


class FileReader:
    """Fed with the body's bytes, gives back those of the first part that has a file name."""

    def __init__(self, separator: bytes) -> None:
        self.filename: str | None = None
        self.complete = False
        self._header = b""
        self._value = b""
        self._disposition = ""
        self._inside = False
        self._out: list[bytes] = []
        try:
            self._parser = MultipartParser(
                separator,
                {
                    "on_part_begin": self._part,
                    "on_header_field": self._on_field,
                    "on_header_value": self._on_value,
                    "on_header_end": self._on_header,
                    "on_headers_finished": self._on_headers,
                    "on_part_data": self._on_data,
                    "on_part_end": self._on_part_end,
                },
            )
        except FormParserError as error:
            raise bad_request(f"The multipart boundary cannot be used: {error}") from None

    def feed(self, data: bytes) -> bytes:
        """The file's bytes in this piece of the body; raises Refused (400) when it is not multipart."""
        self._out = []
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise bad_request(f"The multipart body is broken: {error}") from None
        return b"".join(self._out)

    def check(self) -> None:
        """At the end of the body: raises Refused (400) when no whole file was in it."""
        if self.filename is None:
            raise bad_request("The multipart body has no part with a file name")
        if not self.complete:
            raise bad_request("The multipart body ends in the middle of the file")

    def _part(self) -> None:
        self._disposition = ""
        self._inside = False

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if self._header.strip().lower() == b"content-disposition":
            self._disposition = _text(self._value)
        self._header = self._value = b""

    def _on_headers(self) -> None:
        if self.filename is None and (name := file_name(self._disposition)) is not None:
            self.filename = name
            self._inside = True

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._out.append(data[start:end])

    def _on_part_end(self) -> None:
        if self._inside:
            self.complete = True
            self._inside = False


def file_name(disposition: str) -> str | None:
    """The file name of a Content-Disposition: `filename*`, quoted, bare, raw UTF-8 or percent-encoded."""
    parameters: dict[str, str] = {}
    for match in _PARAMETER.finditer(disposition):
        value = match[2] if match[2] is not None else match[3].strip()
        # A backslash is kept unless it escapes a quote: some clients send Windows paths unescaped.
        parameters.setdefault(match[1].lower(), value.replace('\\"', '"'))
    extended = parameters.get("filename*")
    if extended is not None and extended.count("'") >= 2:
        charset, _, value = extended.split("'", 2)
        try:
            return unquote_to_bytes(value).decode(charset or "utf-8")
        except (LookupError, ValueError):
            return _text(unquote_to_bytes(value))
    name = parameters.get("filename")
    if name is None:
        return None
    if "%" in name and _ENCODED.fullmatch(name):
        try:
            return unquote_to_bytes(name).decode("utf-8")
        except ValueError:
            return name
    # The two characters that browsers encode in an otherwise raw name are '"' and line ends.
    return name.replace("%22", '"')


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
