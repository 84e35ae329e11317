"""Content types by file name, in the spelling of the base image: text has its charset."""

from __future__ import annotations

from functools import cache

_DEFAULT = "application/octet-stream"
# Where Python's own table says something else, or nothing.
_OURS = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".log": "text/plain",
    ".py": "text/x-python",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".webp": "image/webp",
    ".ipynb": "application/x-ipynb+json",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@cache
def _table() -> dict[str, str]:
    from mimetypes import MimeTypes

    # Python's built-in table only: the answer shall not depend on what the image has in /etc.
    return {**MimeTypes().types_map[True], **_OURS}


def content_type(name: str) -> str:
    """The type for a name's extension, e.g. `text/plain; charset=utf-8`; octet-stream when unknown."""
    _, dot, extension = name.rpartition(".")
    kind = _table().get(f".{extension.lower()}", _DEFAULT) if dot else _DEFAULT
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
