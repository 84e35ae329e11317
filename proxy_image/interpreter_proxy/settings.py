"""What the environment says: the settings that the configuration file does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import ConfigurationError

PREFIX = "CODE_INTERPRETER_"
_TRUE = {"1", "true", "yes", "y", "on"}
_FALSE = {"", "0", "false", "no", "n", "off"}


@dataclass(frozen=True, slots=True)
class Settings:
    """The proxy's own settings; times in seconds, output in characters, uploads in bytes.

    `default_timeout` and `max_upload` are above the configuration file: what starts a session for a pool
    decides them, whatever the image's file says.
    """

    kernel_name: str | None = None
    kernel_user: str | None = None
    config_path: str | None = None
    max_timeout: float | None = None
    default_timeout: float | None = None
    max_upload: int | None = None
    executions_kept: int = 1_000
    interrupt_grace: float = 3.0
    start_timeout: float = 60.0
    output_limit: int = 1_048_576
    shell: bool = False
    relative_root: str | None = None
    faults: bool = False
    jupyter: bool = False
    jupyter_port: int = 8888


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Reads `CODE_INTERPRETER_*`; raises ConfigurationError naming the variable and its value."""

    def text(name: str) -> str | None:
        return environment.get(PREFIX + name, "").strip() or None

    def number(name: str, default: float) -> float:
        raw = text(name)
        if raw is None:
            return default
        try:
            value = float(raw)
        except ValueError:
            value = -1.0
        if not 0 < value < float("inf"):
            raise ConfigurationError(f"{PREFIX}{name}={raw!r} must be a number above 0")
        return value

    def flag(name: str) -> bool:
        raw = (text(name) or "").lower()
        if raw not in _TRUE | _FALSE:
            raise ConfigurationError(f"{PREFIX}{name}={raw!r} must be 1/true/yes/y or 0/false/no/n")
        return raw in _TRUE

    mode = text("MODE")
    if mode not in (None, "kernel", "shell"):
        raise ConfigurationError(f"{PREFIX}MODE={mode!r} must be 'kernel' or 'shell'")
    return Settings(
        kernel_name=text("KERNEL_NAME"),
        kernel_user=text("KERNEL_USER"),
        config_path=text("CONFIG_FILE_PATH"),
        max_timeout=number("MAX_TIMEOUT_SECONDS", 0.0) or None,
        default_timeout=number("DEFAULT_TIMEOUT_SECONDS", 0.0) or None,
        max_upload=int(number("MAX_UPLOAD_BYTES", 0.0)) or None,
        executions_kept=int(number("EXECUTIONS_KEPT", 1_000)),
        interrupt_grace=number("INTERRUPT_GRACE_SECONDS", 3.0),
        start_timeout=number("START_TIMEOUT_SECONDS", 60.0),
        output_limit=int(number("OUTPUT_LIMIT_CHARACTERS", 1_048_576)),
        shell=mode == "shell",
        relative_root=text("RELATIVE_ROOT"),
        faults=flag("FAULTS"),
        jupyter=flag("JUPYTER"),
        jupyter_port=int(number("JUPYTER_PORT", 8888)),
    )
