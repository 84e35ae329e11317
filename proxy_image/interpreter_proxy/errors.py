"""Refusals of the inner API, as data.

ProxyError
 ├─ ConfigurationError   codeInterpreterConf.yaml cannot be used; the proxy does not start
 └─ Refused              an HTTP answer: status, code, message

A failing *execution* is not an error: it is an answer with status "Failed".
"""

from __future__ import annotations


class ProxyError(Exception):
    """Everything the proxy raises on purpose."""


class ConfigurationError(ProxyError):
    """The configuration or the environment is wrong; the text names every mistake and its remedy."""


class Refused(ProxyError):
    """A request is answered with an error body `{"error": {"code", "message"}}`."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def bad_request(message: str, code: str = "InvalidRequest") -> Refused:
    """A 400 with a message that names what to change."""
    return Refused(400, code, message)


def file_path_invalid(path: str) -> Refused:
    """400 `FilePathInvalid`; code and text as seen on the service in 2026."""
    return Refused(
        400,
        "FilePathInvalid",
        f"File Path '{path}' is invalid because 'path cannot contain any reserved file path characters'.",
    )


def file_name_invalid(name: str) -> Refused:
    """400 `FileNameInvalid`; code and text as seen on the service in 2026."""
    return Refused(
        400,
        "FileNameInvalid",
        f"File Name '{name}' is invalid because 'filename cannot contain any reserved file path characters'.",
    )


def file_not_found(name: str) -> Refused:
    """404 `FileNotFound` (⚑ ours: the status is known, the code is not)."""
    return Refused(404, "FileNotFound", f"File '{name}' was not found.")


def delete_file_error(name: str) -> Refused:
    """404 `DeleteFileError`: DELETE of a file that is not there."""
    return Refused(404, "DeleteFileError", f"File '{name}' could not be deleted because it was not found.")


def file_too_large(limit: int) -> Refused:
    """413 `FileTooLarge` (⚑ ours: the status is documented, the body is not); limit in bytes."""
    return Refused(413, "FileTooLarge", f"The file is larger than the limit of {limit // 2**20} MB.")


def execution_not_found(execution_id: str) -> Refused:
    """404 for an unknown execution, with the base image's documented text."""
    return Refused(404, "ExecutionNotFound", f"No execution available for operation Id: {execution_id}")
