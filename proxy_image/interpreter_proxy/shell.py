"""Shell sessions: commands run by bash in the data directory, bounded in output and in time."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
import os
import signal
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import children
from .environment import user_environment
from .errors import bad_request
from .kernel import TimeLimit
from .output import Text
from .requests import output_limit, time_limit
from .settings import Settings
from .users import KernelUser

log = logging.getLogger("interpreter_proxy")

_PIECE = 65_536
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # as a shell has it


@dataclass(frozen=True, slots=True)
class ShellRequest:
    """One checked request: the argument list to run and what to feed it."""

    argv: tuple[str, ...]
    stdin: str
    limit: TimeLimit
    output_limit: int


@dataclass(frozen=True, slots=True)
class ShellResult:
    """How a command ended; the exit code is -1 when time was up, 128 + n when signal n ended it."""

    id: str
    exit_code: int
    stdout: Text
    stderr: Text
    milliseconds: int
    timed_out: bool

    @property
    def lengths(self) -> dict[str, tuple[str, int]]:
        """Each stream as kept, and its full length in characters."""
        return {
            "stdout": (str(self.stdout), self.stdout.length),
            "stderr": (str(self.stderr), self.stderr.length),
        }

    def body(self) -> dict[str, Any]:
        """The documented answer of the shell image."""
        return {
            "id": self.id,
            "status": "Succeeded" if self.exit_code == 0 else "Failed",
            "exitCode": self.exit_code,
            "errorName": "Timeout" if self.timed_out else "",
            "stdout": str(self.stdout),
            "stderr": str(self.stderr),
            "executionTimeInMilliseconds": self.milliseconds,
        }


def parse(body: Mapping[str, Any], default_timeout: float, settings: Settings) -> ShellRequest:
    """Checks a request; raises Refused (400), also for both commands or none."""
    command, arguments = body.get("shellCommand"), body.get("execCommandAndArgs")
    if (command is None) == (arguments is None):
        raise bad_request("Give either `shellCommand` or `execCommandAndArgs`")
    if command is not None:
        if not isinstance(command, str):
            raise bad_request("`shellCommand` must be text")
        argv = ["/bin/bash", "-lc", command]
    elif isinstance(arguments, list) and arguments and all(isinstance(part, str) for part in arguments):
        argv = arguments
    else:
        raise bad_request("`execCommandAndArgs` must be a list of texts, the command first")
    if any("\0" in part for part in argv):
        raise bad_request("A command cannot hold a NUL character")
    stdin = body.get("stdin")
    if stdin is not None and not isinstance(stdin, str):
        raise bad_request("`stdin` must be text")
    return ShellRequest(
        tuple(argv), stdin or "", time_limit(body, default_timeout, settings), output_limit(body, settings)
    )


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs commands as `user` in `directory`."""

    user: KernelUser
    directory: str
    environment: Mapping[str, str]

    async def run(self, request: ShellRequest) -> ShellResult:
        """Runs one command; several may run at once."""
        began = time.monotonic()
        identifier = str(uuid.uuid4())
        out, err = _Pipe(request.output_limit), _Pipe(request.output_limit)
        try:
            process = await self._start(request.argv, out.writing, err.writing)
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError)
            err.text.write(
                f"{request.argv[0]}: {os.strerror(error.errno or 0)}\n" if isinstance(error, OSError) else ""
            )
            for pipe in (out, err):
                pipe.close()
            code = _NOT_FOUND if missing else _NOT_EXECUTABLE
            return ShellResult(identifier, code, out.text, err.text, _since(began), False)
        children.own(process.pid)
        feeding = asyncio.create_task(_feed(process, request.stdin))
        try:
            for pipe in (out, err):
                pipe.open()
            await asyncio.wait_for(process.wait(), request.limit.seconds)
        except TimeoutError:
            milliseconds = round(request.limit.seconds * 1000)  # exactly the limit, as recorded
            nothing = Text(0)
            return ShellResult(identifier, -1, nothing, nothing, milliseconds, True)
        finally:
            feeding.cancel()
            await _end(process)
            children.disown(process.pid)
            # What the command wrote is in the pipes by now, whoever else still holds them open.
            for pipe in (out, err):
                pipe.close()
        code = process.returncode or 0
        return ShellResult(
            identifier, code if code >= 0 else 128 - code, out.text, err.text, _since(began), False
        )

    async def _start(self, argv: tuple[str, ...], out: int, err: int) -> asyncio.subprocess.Process:
        user = self.user
        try:
            return await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=out,
                stderr=err,
                cwd=self.directory,
                env=user_environment(self.environment, user),
                start_new_session=True,
                user=user.uid if user.other else None,
                group=user.gid if user.other else None,
                extra_groups=user.groups if user.other else None,
            )
        finally:
            os.close(out)
            os.close(err)


class _Pipe:
    """One output stream, read as it comes."""

    def __init__(self, limit: int) -> None:
        self.text = Text(limit)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._reading, self.writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reading, False)
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        self._loop.add_reader(self._reading, self._read)

    def close(self) -> None:
        """Takes what is left and closes."""
        self._loop.remove_reader(self._reading)
        budget = 1 << 24  # a grandchild may go on writing: the pipe itself holds far less
        while budget > 0 and (taken := self._read()):
            budget -= taken
        self.text.write(self._decoder.decode(b"", final=True))
        os.close(self._reading)

    def _read(self) -> int:
        try:
            data = os.read(self._reading, _PIECE)
        except OSError:
            return 0
        if not data:
            self._loop.remove_reader(self._reading)
        self.text.write(self._decoder.decode(data))
        return len(data)


async def _feed(process: asyncio.subprocess.Process, text: str) -> None:
    if process.stdin is not None:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(text.encode("utf-8", "replace"))
            await process.stdin.drain()
        process.stdin.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
