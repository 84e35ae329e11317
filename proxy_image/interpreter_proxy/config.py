"""The values of codeInterpreterConf.yaml, with the documented defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

SHELL_NAME = "shell"


@dataclass(frozen=True, slots=True)
class Logging:
    """`spec.logging`: level 0 debug, 1 info, 2 warn, 3 error."""

    level: int = 0
    iso_dates: bool = True


@dataclass(frozen=True, slots=True)
class KernelConfig:
    """`spec.kernel`: which kernel, the port of the REST proxy, whether asynchronous runs are allowed."""

    name: str = "python3"
    port: int = 6000
    asynchronous: bool = False


@dataclass(frozen=True, slots=True)
class HealthProbe:
    """`spec.healthProbe`; times in seconds."""

    endpoint: str = "/health"
    success_threshold: float = 120
    initial_delay: float = 0
    period: float = 15
    timeout: float = 15
    failure_threshold: int = 3
    code: str = "1+1"


@dataclass(frozen=True, slots=True)
class Snippets:
    """Code put before and after what the user sent."""

    before: str = ""
    after: str = ""

    def wrap(self, code: str) -> str:
        """The user's code between the snippets, each on lines of its own."""
        return "\n".join(part for part in (self.before, code, self.after) if part)


@dataclass(frozen=True, slots=True)
class CodeExecution:
    """`spec.codeExecution`; the time-out in seconds. `kept`: how many finished executions are remembered."""

    auto_base64: bool = True
    kept: int = 1_000
    default_timeout: float = 120
    synchronous: Snippets = field(default_factory=Snippets)
    asynchronous: Snippets = field(default_factory=Snippets)


@dataclass(frozen=True, slots=True)
class FileOperation:
    """`spec.fileOperation`; the limit in bytes."""

    max_upload: int = 250 * 2**20
    data_directory: str = "/mnt/data"


@dataclass(frozen=True, slots=True)
class Config:
    """One whole configuration; without a file, asynchronous runs are allowed and all else is the default."""

    logging: Logging = field(default_factory=Logging)
    kernel: KernelConfig = field(default_factory=KernelConfig)
    probe: HealthProbe = field(default_factory=HealthProbe)
    execution: CodeExecution = field(default_factory=CodeExecution)
    files: FileOperation = field(default_factory=FileOperation)
