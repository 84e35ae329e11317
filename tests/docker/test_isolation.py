"""What code in a session can reach: its own machine, and the internet only where the pool says so.

Probes go to loopback, to networks that the emulator or the test made, and to this host; nowhere else.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from emulator.commands.client import Client
from emulator.doctor.inside import program
from emulator.doctor.judge import HOST, Room, Verdict, judge
from emulator.doctor.listeners import listening
from emulator.doctor.session import Session
from emulator.doctor.targets import at_emulator, at_listeners, at_neighbour
from tests.docker.engine import Lab
from tests.harness import Emulator, pool

pytestmark = pytest.mark.engine
POOLS = ("closed", "open")


@pytest.fixture(scope="module")
def emulator(lab: Lab, echo_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    containers = [{"image": echo_image, "name": "main", "resources": {"cpu": 0.5, "memory": "0.5Gi"}}]
    template = {"containers": containers, "ingress": {"targetPort": 8080}}
    pools = [
        pool("echo", "CustomContainer", template=template),
        pool("echo-open", "CustomContainer", egress=True, template=template),
        pool("closed", "PythonLTS", ready=0),
        pool("open", "PythonLTS", egress=True, ready=0),
        pool("shell", "Shell", ready=0),
        pool("node", "NodeLTS", ready=0),
    ]
    with lab.emulator(tmp_path_factory.mktemp("isolation"), pools=pools) as started:
        yield started


REACH = """
import socket
def reach(host, port, wait=1.0):
    try:
        socket.create_connection((host, port), wait).close()
        return "connected"
    except OSError as error:
        return type(error).__name__
"""


def addresses(emulator: Emulator) -> dict[tuple[str, str], tuple[str, int]]:
    """Where each session listens, by pool and identifier."""
    found = {}
    for one in emulator.ask("GET", "/sessions")["sessions"]:
        where = urlsplit(one["address"])
        found[one["pool"], one["identifier"]] = (str(where.hostname), int(where.port or 0))
    return found


def test_only_egress_reaches_a_server_outside(emulator: Emulator, outside: str) -> None:
    url = outside
    fetch = f"import urllib.request\nurllib.request.urlopen({url!r}, timeout=3).read().decode()"
    assert emulator.value("open", "explorer", fetch) == "from outside"
    found = emulator.run("closed", "explorer", fetch)
    assert found["status"] == "Failed"
    reasons = ("unreachable", "timed out", "refused")
    assert any(reason in found["result"]["stderr"].lower() for reason in reasons), found


# A question to the container's own resolver, by hand: a name that does not exist would fail either way, but
# only somebody who asked the world can say that it does not exist (code 3).
RESOLVER = """
import socket, struct
def ask(name):
    query = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0)
    query += b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\\0"
    query += struct.pack(">HH", 1, 1)
    server = next(line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        try:
            sock.sendto(query, (server, 53))
            return sock.recv(512)[3] & 15
        except OSError as error:
            return type(error).__name__
"""


def test_without_egress_no_name_is_looked_up(emulator: Emulator) -> None:
    code = RESOLVER + "ask('does-not-exist.invalid')"
    assert emulator.value("closed", "explorer", code) in (2, 5, "ConnectionRefusedError", "TimeoutError")


@pytest.mark.parametrize("one", POOLS)
@pytest.mark.parametrize("other", POOLS)
def test_no_session_reaches_another(emulator: Emulator, one: str, other: str) -> None:
    victim = f"{other}-beside-{one}"
    emulator.value(one, "attacker", REACH)
    emulator.value(other, victim, "import socket; held = socket.create_server(('0.0.0.0', 7777)); 1")
    host, port = addresses(emulator)[other, victim]
    for target in (port, 7777):
        assert emulator.value(one, "attacker", f"reach({host!r}, {target})") != "connected"
    # The same connection from where it may come from, to know that there was something to reach.
    assert emulator.value(other, victim, REACH + f"reach({host!r}, 7777)") == "connected"


def test_a_session_is_alone_on_its_wire(emulator: Emulator, lab: Lab) -> None:
    for name in POOLS:
        emulator.value(name, "attacker", "1")
        emulator.value(name, "neighbour", "1")
    instance = emulator.ask("GET", "/status")["instance"]
    for network in lab.networks(instance):
        network.reload()
        assert len(network.containers) == 1, network.name
    seen = [network.attrs["IPAM"]["Config"][0]["Subnet"] for network in lab.networks(instance)]
    assert len(seen) == len(set(seen))


HOST_ADDRESSES = """
import socket, struct
own = socket.gethostbyname(socket.gethostname())
gateways = {socket.inet_ntoa(struct.pack("<L", int(line.split()[2], 16)))
            for line in open("/proc/net/route").read().splitlines()[1:]} - {"0.0.0.0"}
sorted(gateways | {own.rsplit(".", 1)[0] + "." + str(int(own.rsplit(".", 1)[1]) - 1)})
"""


def host_addresses() -> list[str]:
    """Every IPv4 address of this host, bridges included, as a local user sees them."""
    lines = Path("/proc/net/fib_trie").read_text(encoding="ascii").splitlines()
    return sorted({before.split()[-1] for before, line in pairwise(lines) if "host LOCAL" in line})


@pytest.mark.parametrize("name", POOLS)
def test_the_emulators_api_is_out_of_reach(emulator: Emulator, lab: Lab, name: str) -> None:
    port = int(urlsplit(emulator.http).port or 0)
    emulator.value(name, "attacker", REACH)
    seen = emulator.value(name, "attacker", HOST_ADDRESSES)
    targets = sorted({*seen, *host_addresses(), lab.bridge_address()})
    assert len(targets) >= 3
    code = f"[host for host in {json.dumps(targets)} if reach(host, {port}) == 'connected']"
    assert emulator.value(name, "attacker", code) == []


POSTURE = """
import os, re
status = dict(line.split(":\\t", 1) for line in open("/proc/1/status").read().splitlines() if ":\\t" in line)
own = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
mounts = [line.split()[1] for line in open("/proc/mounts")]
{"bounding": int(own["CapBnd"], 16), "init": int(status["CapEff"], 16), "effective": int(own["CapEff"], 16),
 "nnp": own["NoNewPrivs"], "seccomp": own["Seccomp"], "mounts": mounts, "uid": os.getuid(),
 "sockets": [p for p in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd") if os.path.exists(p)],
 "devices": sorted(os.listdir("/dev"))}
"""
# chown, dac_override, fowner, fsetid, kill, setgid, setuid, net_bind_service
ALLOWED = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7, 10))


@pytest.mark.parametrize("name", POOLS)
def test_privileges(emulator: Emulator, name: str) -> None:
    found: dict[str, Any] = emulator.value(name, "attacker", POSTURE)
    assert found["bounding"] & ~ALLOWED == 0
    assert found["init"] & ~ALLOWED == 0
    assert found["effective"] == 0
    assert found["uid"] != 0
    assert (found["nnp"], found["seccomp"]) == ("1", "2")
    assert found["sockets"] == []
    unexpected = [
        path
        for path in found["mounts"]
        if not path.startswith(("/proc", "/sys", "/dev"))
        and path
        not in (
            "/",
            "/etc/hosts",
            "/etc/hostname",
            "/etc/resolv.conf",
            "/sbin/docker-init",
            "/usr/sbin/docker-init",
        )
    ]
    assert unexpected == []
    assert not {"sda", "vda", "nvme0n1", "mem", "kmsg"} & set(found["devices"])


SETTINGS = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/kernel/hostname",
    "/proc/sysrq-trigger",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory.max",
    "/sys/kernel/uevent_helper",
)


def test_kernel_settings_cannot_be_written(emulator: Emulator) -> None:
    code = f"""
import os
written = []
for path in {SETTINGS!r}:
    try:
        with open(path, "r+") as file:
            written.append(path)
    except OSError:
        pass
written
"""
    assert emulator.value("closed", "attacker", code) == []


def test_a_root_shell_is_no_way_out(emulator: Emulator) -> None:
    """Shell sessions run as root of their container; that root must be worth nothing outside."""
    script = "; ".join(
        [
            f"for f in {' '.join(SETTINGS)}; do [ -e $f ] && (: >>$f) 2>/dev/null && echo wrote $f",
            "done",
            "mount -t tmpfs none /mnt 2>/dev/null && echo mounted",
            "mknod /tmp/disk b 254 0 2>/dev/null && echo made a device",
            "unshare -m true 2>/dev/null && echo unshared",
            "chroot / true 2>/dev/null && echo changed root",
            "ip link add dummy0 type dummy 2>/dev/null && echo added a link",
            "ls /var/run/docker.sock /run/docker.sock 2>/dev/null && echo found a socket",
            "dmesg 2>/dev/null | head -c 10 | grep -q . && echo read the kernel log",
            "echo end",
        ]
    )
    query = "api-version=2025-10-02-preview&identifier=root-shell"
    body = {"shellCommand": script}
    answer = emulator.send("POST", "shell", f"/executions?{query}", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"]["stdout"] == "end\n", answer.text


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("closed", "import os, json; json.dumps(dict(os.environ))"),
        ("open", "import os, json; json.dumps(dict(os.environ))"),
        ("node", "JSON.stringify(process.env)"),
    ],
)
def test_no_secret_of_the_emulators_is_in_a_session(emulator: Emulator, name: str, code: str) -> None:
    found = emulator.value(name, "attacker", code)
    text = found if isinstance(found, str) else json.dumps(found)
    assert emulator.token not in text
    for word in ("DYNAMIC_SESSIONS", "IDENTITY_HEADER", "AZURE_", emulator.http):
        assert word not in text


@pytest.mark.parametrize("name", ["echo", "echo-open"])
def test_a_custom_container_that_runs_nothing_for_callers_is_no_nearer_to_anything(
    emulator: Emulator, lab: Lab, name: str
) -> None:
    """The doctor cannot try from it; somebody who is in it already can."""
    assert emulator.send("GET", name, "/?identifier=attacker").status_code == 200
    emulator.value("closed", f"beside-{name}", "1")
    held = "import socket; held = socket.create_server(('0.0.0.0', 7778)); open('/tmp/tmp-mark', 'w').close()"
    emulator.value("closed", f"beside-{name}", held)
    guids = {
        (one["pool"], one["identifier"]): one["guid"] for one in emulator.ask("GET", "/sessions")["sessions"]
    }
    status = Client(emulator.http).call("GET", "/.emulator/status")
    specs = {spec["name"]: spec for spec in status["pools"]}
    where = addresses(emulator)
    attacker = Session(specs[name], "attacker", name, where[name, "attacker"][0])
    neighbour = Session(specs["closed"], f"beside-{name}", "closed", where["closed", f"beside-{name}"][0])
    container = lab.container(str(status["instance"]), guids[name, "attacker"]).id
    mark = {"label": "closed", "file": "mark", "process": "mark", "kernels": []}
    with listening() as listeners:
        targets, _ = at_listeners(attacker, [attacker, neighbour], listeners)
        targets += [*at_neighbour(neighbour), *at_emulator(status, attacker, [attacker, neighbour])]
        targets.append(("TCP to a neighbour", "closed", str(neighbour.address), 7778, "/", ""))
        rows = _inside(container, program("reach", targets=targets))
    rows += _inside(
        container,
        program("look", run="tmp-mark", neighbours=[mark], canaries=[str(emulator.log)], written=[]),
    )
    room = Room(name, "docker", specs[name]["egress"], sandboxed=True, internal=name == "echo")
    cells = judge(room, rows)
    assert {
        "TCP to a neighbour",
        "a neighbour's own API",
        "the emulator's admin API",
        HOST,
        "capabilities",
    } <= {cell.probe for cell in cells}
    assert [cell for cell in cells if cell.verdict is Verdict.BROKEN] == []
    assert {cell.probe for cell in cells if cell.verdict is Verdict.LIMIT} <= {HOST}


def _inside(container: str, text: str) -> list[list[str]]:
    """Rows of a program run as the container's own user, by the engine."""
    command = ["docker", "exec", "--interactive", container, "python3", "-I", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    rows: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return rows
