"""What is wrong with a pool document, said with place, path, value and remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from emulator.errors import ConfigurationError

Path = tuple[str | int, ...]
Locate = Callable[[Path], str]

# Azure's own codes, as users have seen them in answers of the control plane.
INVALID_READY: Final = "SessionPoolInvalidReadySessionInstances"
INVALID_MANAGEMENT: Final = "SessionPoolInvalidPoolManagementType"
# ⚑ ours: what the service answers to these is not known.
INVALID_DOCUMENT: Final = "InvalidRequestContent"
INVALID_TYPE: Final = "SessionPoolInvalidContainerType"
INVALID_LIFECYCLE: Final = "SessionPoolInvalidLifecycleConfiguration"
INVALID_SCALE: Final = "SessionPoolInvalidScaleConfiguration"
INVALID_TEMPLATE: Final = "SessionPoolInvalidCustomContainerTemplate"
INVALID_PROBE: Final = "SessionPoolInvalidProbe"
INVALID_NAME: Final = "SessionPoolInvalidName"
INVALID_SECRET: Final = "SessionPoolInvalidSecret"  # noqa: S105 (an error code)
INVALID_PATCH: Final = "SessionPoolPropertyNotUpdatable"

MISSING: Final = object()
HIDDEN: Final = object()


def dotted(path: Path) -> str:
    """`("properties", "containers", 0, "image")` → `properties.containers[0].image`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def shown(value: Any) -> str:
    """A value as the user wrote it, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


class PoolDocumentError(ConfigurationError):
    """A pool document is wrong.

    `code` is what the ARM control plane answers, `target` the JSON path, `message` the text without its
    place.
    """

    def __init__(self, message: str, *, code: str, target: str | None, where: str | None = None) -> None:
        super().__init__(message, where=where)
        self.message = message
        self.code = code
        self.target = target


class Report:
    """Collects warnings and raises errors while one document is read.

    `enforce`: what lies outside Azure's ranges is an error instead of a warning.
    """

    def __init__(self, where: str | Locate, *, enforce: bool = False) -> None:
        self._where = where
        self.enforce = enforce
        self.warnings: list[str] = []

    def place(self, path: Path) -> str:
        return self._where if isinstance(self._where, str) else self._where(path)

    def error(
        self, path: Path, problem: str, value: Any = MISSING, *, code: str = INVALID_DOCUMENT
    ) -> PoolDocumentError:
        """The error to raise for `path`; `problem` continues the sentence that path and value begin."""
        return self.verbatim(path, self._sentence(path, problem, value), code=code)

    def verbatim(self, path: Path, message: str, *, code: str) -> PoolDocumentError:
        """The error to raise with the service's own wording, untouched."""
        where = self.place(path) or None
        return PoolDocumentError(message, code=code, target=dotted(path) or None, where=where)

    def warn(self, path: Path, problem: str, value: Any = MISSING) -> None:
        place = self.place(path)
        sentence = self._sentence(path, problem, value)
        self.warnings.append(f"{place}: {sentence}" if place else sentence)

    def range(self, path: Path, problem: str, value: Any = MISSING, *, code: str, azure: str = "") -> None:
        """Azure would refuse this: an error where Azure's ranges are enforced, a warning elsewhere.

        `azure` is the service's own message where it is known.
        """
        if not self.enforce:
            self.warn(path, f"{problem}; Azure refuses it, the emulator goes on", value)
        elif azure:
            raise self.verbatim(path, azure, code=code)
        else:
            raise self.error(path, problem, value, code=code)

    @staticmethod
    def _sentence(path: Path, problem: str, value: Any) -> str:
        subject = dotted(path) or "the document"
        if value is MISSING:
            return f"{subject} {problem}"
        if value is HIDDEN:
            return f"{subject} (not shown) {problem}"
        return f"{subject} is {shown(value)}: {problem}"
