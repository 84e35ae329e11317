"""Multipart bodies as clients write them."""

from __future__ import annotations

from emulator.conformance.row import Stream

BOUNDARY = "conformance-boundary"
LABEL = f"multipart/form-data; boundary={BOUNDARY}"


def part(
    content: bytes = b"testing",
    *,
    name: str = "f-«row».txt",
    disposition: str | None = None,
    kind: str | None = "text/plain",
    kind_first: bool = False,
) -> bytes:
    """One part; `disposition` replaces the usual quoted one, `kind` None sends no Content-Type."""
    usual = f'form-data; name="file"; filename="{name}"'
    lines = [f"Content-Disposition: {disposition or usual}"]
    if kind is not None:
        lines.insert(0 if kind_first else 1, f"Content-Type: {kind}")
    head = f"--{BOUNDARY}\r\n" + "\r\n".join(lines) + "\r\n\r\n"
    return head.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def large(size: int, *, chunked: bool) -> Stream:
    """A file of `size` bytes of zero."""
    whole = form(part(b"\x00", name="large.bin", kind="application/octet-stream"))
    head, _, tail = whole.partition(b"\x00")
    return Stream(head, size, tail, chunked)
