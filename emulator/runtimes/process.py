"""Sessions as child processes on Unix sockets: the default where no Docker Engine answers."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from emulator.lock import Lock
from emulator.resources.model import ContainerType, SessionPool
from emulator.runtimes import sandbox
from emulator.runtimes.base import Address, Exit, ImageMissing, Instance, RuntimeFailure, Start
from emulator.runtimes.options import StartOptions, environment, startup_probe
from emulator.runtimes.readiness import NotReady, wait_until_ready
from emulator.runtimes.tail import Tail

log = logging.getLogger("emulator.runtimes.process")

KERNELS = {ContainerType.PYTHON: "python3", ContainerType.NODE: "javascript", ContainerType.SHELL: "bash"}
TERMINATE_SECONDS = 2.0
LAST_WORDS_SECONDS = 0.25
SANDBOX_ATTEMPTS = 3
ROOT_PREFIX = "dse-"
YOUNG_SECONDS = 30.0

_CONFIG = """\
kind: CodeInterpreterConfig
apiVersion: v1
metadata:
  name: code-interpreter
spec:
  logging: {{logLevel: 1}}
  kernel: {{name: {kernel}, port: 6000, isAsynchronousExecutionSupported: true}}
  healthProbe: {{code: "1+1"}}
  codeExecution: {{enableAutoBase64Decoding: false, defaultTimeoutSeconds: 60}}
  fileOperation: {{maxUploadFileSizeLimitInMBs: 128, dataDirectoryPath: {data}}}
"""


@dataclass
class _Child:
    process: asyncio.subprocess.Process
    folder: Path
    pool_key: str
    console: Tail
    as_oom: bool = False
    reading: asyncio.Task[None] | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class ProcessRuntime:
    """The interpreter proxy as a child, inside bubblewrap where that works.

    Serves built-in pools only: a CustomContainer pool needs an engine. Children end with the emulator, so
    there is nothing to adopt after a crash.
    """

    name = "process"

    def __init__(self, options: StartOptions) -> None:
        self._options = options
        # Short, since the path of a Unix socket has at most 107 bytes.
        self._root = Path(tempfile.mkdtemp(prefix=ROOT_PREFIX))
        self._lock = Lock(self._root / "lock")
        self._lock.take()
        self._dead = _dead_roots()
        self._children: dict[str, _Child] = {}
        self._exits: asyncio.Queue[Exit] = asyncio.Queue()
        self._starts = asyncio.Semaphore(max(1, options.start_concurrency))
        self.bwrap = sandbox.bubblewrap()

    def notes(self) -> list[str]:
        if self.bwrap is None:
            return [
                "bubblewrap is not installed (or not allowed here): sessions run as plain processes that see "
                "this machine's files and network; run trusted code only",
                "/mnt/data is not mapped in such a session: its files are in the current directory",
            ]
        return [
            "sessions run as processes in bubblewrap: no limits on memory, processes and disk; with "
            "EgressEnabled they share this machine's network, loopback included"
        ]

    async def ping(self) -> None:
        return None

    async def image(self, pool: SessionPool) -> str | None:
        return await self.prepare(pool)

    async def check_limits(self) -> None:
        if self._options.disk is not None:
            raise RuntimeFailure(
                "sessions of the process runtime cannot have a disk of their own size; leave --session-disk "
                "out, or start a Docker Engine and run with --runtime docker"
            )

    async def prepare(self, pool: SessionPool) -> str:
        if pool.template is not None:
            raise ImageMissing(
                f"pool {pool.name} is a CustomContainer pool, which needs a Docker Engine; "
                "start one and run the emulator with --runtime docker"
            )
        if (
            importlib.util.find_spec("interpreter_proxy") is None
            or importlib.util.find_spec("ipykernel") is None
        ):
            raise ImageMissing(
                "the process runtime needs the session packages; "
                "pip install 'dynamic-sessions-emulator[process]', or start a Docker Engine"
            )
        if pool.container_type is ContainerType.NODE and javascript_kernel() is None:
            raise ImageMissing(
                f"pool {pool.name} needs the ijavascript kernel, which is not installed on this machine; "
                "npm install -g ijavascript && ijsinstall, or start a Docker Engine"
            )
        return f"process:{pool.container_type}"

    async def start(self, start: Start) -> Instance:
        image = await self.prepare(start.pool)
        async with self._starts:
            for attempt in range(SANDBOX_ATTEMPTS):
                folder = self._root / start.guid[:8]
                child = await self._spawn(start, folder)
                self._children[start.guid] = child
                address = Address("http://localhost", str(folder / "run" / "proxy.sock"))
                try:
                    await self._until_ready(start, child, address)
                except BaseException as error:
                    last = child.console.text(1)
                    if isinstance(error, RuntimeFailure):
                        error.console = child.console.text()
                    await asyncio.shield(self.stop(start.guid))
                    # bubblewrap walks every mount of the machine; one that vanishes meanwhile (a container
                    # being removed) makes it give up before the session has begun.
                    sandbox_failed = last.startswith("bwrap: ")
                    if isinstance(error, NotReady) and sandbox_failed and attempt + 1 < SANDBOX_ATTEMPTS:
                        continue
                    raise
                break
        child.tasks.append(asyncio.create_task(self._wait(start.guid, child)))
        return Instance(start.guid, start.pool.key, address, image, time.time(), start.identifier)

    async def _until_ready(self, start: Start, child: _Child, address: Address) -> None:
        async def ended() -> str | None:
            code = child.process.returncode
            if code is None:
                return None
            await _printed(child)
            return f"it exited with code {code}: {' | '.join(child.console.text(8).splitlines())}"

        await wait_until_ready(address, startup_probe(start.pool), self._options.start_timeout, ended)

    async def _spawn(self, start: Start, folder: Path) -> _Child:
        run, data = folder / "run", folder / "data"
        run.mkdir(parents=True)
        data.mkdir(mode=0o777)
        seen = sandbox.DATA if self.bwrap else str(data)
        kernel = KERNELS[start.pool.container_type]
        config = run / "codeInterpreterConf.yaml"
        config.write_text(_CONFIG.format(kernel=kernel, data=seen), encoding="utf-8")
        command = [sys.executable, "-m", "interpreter_proxy"]
        command += ["--uds", str(run / "proxy.sock"), "--config", str(config)]
        if self.bwrap:
            command = sandbox.wrapped(
                self.bwrap,
                command,
                run=run,
                data=data,
                hide=[self._root, *self._options.hidden],
                egress=start.pool.egress,
            )
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=data,
                env=self._environment(start.pool, kernel),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                preexec_fn=sandbox.die_with_parent,
            )
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise RuntimeFailure(f"a session process could not be started: {error}") from error
        child = _Child(process, folder, start.pool.key, Tail(self._options.log_tail))
        child.reading = asyncio.create_task(_collect(child))
        return child

    def _environment(self, pool: SessionPool, kernel: str) -> dict[str, str]:
        # Nothing of the emulator's own environment: it may hold the user's cloud credentials.
        kept = ("PATH", "LANG", "LC_ALL", "TZ", *sandbox.CERTIFICATES)
        base = {name: os.environ[name] for name in kept if name in os.environ}
        home = "/tmp" if self.bwrap else str(self._root)  # noqa: S108 - a private tmpfs in there
        mode = {"CODE_INTERPRETER_MODE": "shell"} if pool.container_type is ContainerType.SHELL else {}
        return {
            **base,
            "HOME": home,
            "PYTHONPATH": os.pathsep.join(sandbox.python_path()),
            "CODE_INTERPRETER_KERNEL_NAME": kernel,
            **mode,
            **environment(pool, self._options),
        }

    async def _wait(self, guid: str, child: _Child) -> None:
        code = await child.process.wait()
        if guid in self._children:
            # A signal is told as an engine tells it.
            self._exits.put_nowait(Exit(guid, code if code >= 0 else 128 - code, oom=child.as_oom))

    async def kill(self, guid: str, *, oom: bool = False) -> None:
        if (child := self._children.get(guid)) is not None:
            child.as_oom = oom
            # What is in bubblewrap ends with it; elsewhere nobody would be left to end kernel and commands.
            orphans = [] if self.bwrap else await asyncio.to_thread(_descendants, child.process.pid)
            _signal(child.process, signal.SIGKILL)
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    async def stop(self, guid: str) -> None:
        child = self._children.pop(guid, None)
        if child is None:
            return
        _signal(child.process, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.process.wait(), TERMINATE_SECONDS)
        _signal(child.process, signal.SIGKILL)
        await child.process.wait()
        await asyncio.to_thread(shutil.rmtree, child.folder, True)

    async def instances(self) -> list[Instance]:
        # Sessions end with their emulator, but the files of one that was killed are still there.
        dead, self._dead = self._dead, []
        await asyncio.to_thread(_remove_roots, dead)
        return []

    async def watch(self) -> AsyncIterator[Exit]:
        while True:
            yield await self._exits.get()

    async def look(self, guid: str) -> Exit | None:
        return None  # a child that ended is heard of at once

    async def tidy(self) -> list[str]:
        return []

    async def logs(self, guid: str, tail: int = 200) -> str | None:
        child = self._children.get(guid)
        if child is None:
            return None
        if child.process.returncode is not None:
            await _printed(child)
        return child.console.text(tail)

    async def metadata(self, pool: SessionPool) -> dict[str, object]:
        await self.prepare(pool)
        kernel = KERNELS[pool.container_type]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "interpreter_proxy.metadata",
            env=self._environment(pool, kernel),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        loaded: dict[str, object] = json.loads(output)
        return loaded

    async def sweep(self, tell: Callable[[str], object]) -> list[str]:
        guids = list(self._children)
        await asyncio.gather(*(self.stop(guid) for guid in guids))
        for name in [*guids, *await asyncio.to_thread(_remove_roots, self._dead)]:
            tell(name)
        return []

    async def aclose(self) -> None:
        await self.sweep(lambda _: None)
        self._lock.release()
        await asyncio.to_thread(shutil.rmtree, self._root, True)


def _dead_roots() -> list[Path]:
    """Folders of emulators that were killed: nobody holds their lock any more."""
    found = []
    for lock in Path(tempfile.gettempdir()).glob(f"{ROOT_PREFIX}*/lock"):
        with contextlib.suppress(OSError):
            young = time.time() - lock.stat().st_mtime < YOUNG_SECONDS  # it may be just about to be taken
            if not young and not Lock(lock).is_held():
                found.append(lock.parent)
    return found


def _remove_roots(roots: list[Path]) -> list[str]:
    for root in roots:
        shutil.rmtree(root, ignore_errors=True)
    return [str(root) for root in roots if not root.exists()]


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    """To the child's whole group: a session may have started processes of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _descendants(pid: int) -> list[int]:
    """Every process that comes from `pid`, where the system can tell."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text(encoding="ascii").split()):
                found += [child, *_descendants(child)]
    return found


async def _collect(child: _Child) -> None:
    assert child.process.stdout is not None  # noqa: S101 - it was asked for above
    while chunk := await child.process.stdout.read(65_536):
        child.console.add(chunk)


async def _printed(child: _Child) -> None:
    """Let what a process printed before it ended arrive; its own children may hold the pipe open."""
    if child.reading is not None:
        await asyncio.wait({child.reading}, timeout=LAST_WORDS_SECONDS)


def javascript_kernel() -> Path | None:
    """Where ijavascript's kernel spec is installed on this machine, if it is."""
    homes = [
        Path.home() / ".local/share/jupyter",
        Path("/usr/local/share/jupyter"),
        Path("/usr/share/jupyter"),
    ]
    places = (home / "kernels" / "javascript" / "kernel.json" for home in homes)
    return next((place for place in places if place.exists()), None)
