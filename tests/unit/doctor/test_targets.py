"""What is tried from a session, and that nothing of it is anybody else's."""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from emulator.doctor.inside import program
from emulator.doctor.session import Marks, Session
from emulator.doctor.targets import at_emulator, at_neighbour, calls, local_addresses

POOL = {"containerType": "NodeLTS", "endpoint": "/pools/node", "egress": False}
KERNEL = {
    "transport": "tcp",
    "key": "theirs",
    "shell_port": 5001,
    "iopub_port": 5002,
    "stdin_port": 5003,
    "control_port": 5004,
    "hb_port": 5005,
}


def _session(address: str | None, *kernels: dict[str, Any], name: str = "node") -> Session:
    marks = Marks("file", "process", "answer", "decoy", port=4000, kernels=list(kernels))
    return Session(POOL, "doctor", name, address, language="javascript", marks=marks)


def test_a_kernel_that_speaks_tcp_is_tried_at_the_neighbours_address() -> None:
    targets = list(at_neighbour(_session("10.0.0.2", KERNEL)))
    tried = {(host, port) for probe, _, host, port, _, _ in targets if probe == "kernel ports"}
    assert tried == {("10.0.0.2", port) for port in range(5001, 5006)}


def test_on_a_loopback_of_its_own_a_session_does_not_take_its_own_kernel_for_the_neighbours() -> None:
    own = {**KERNEL, "key": "mine", "hb_port": 6005, "shell_port": 6001}
    tried = {
        target[3] for target in at_neighbour(_session(None, KERNEL), [own]) if target[0] == "kernel ports"
    }
    assert tried == {5001, 5005}


def test_a_kernel_on_unix_sockets_has_no_ports() -> None:
    kernel = {**KERNEL, "transport": "ipc", "ip": "/tmp/kernel"}
    assert [target[0] for target in at_neighbour(_session("10.0.0.2", kernel))] == [
        "TCP to a neighbour",
        "a neighbour's own API",
    ]


def test_calls_go_to_the_wires_of_the_sessions_or_to_loopback_only() -> None:
    one, other = _session("10.0.0.2"), _session("10.0.0.10")
    sent = calls(one, [other], "mark")
    assert (sent["broadcast"], sent["groups"]) == (["10.0.0.7", "10.0.0.15"], ["10.0.0.2"])
    sent = calls(_session(None), [_session(None)], "mark")
    assert (sent["broadcast"], sent["groups"]) == (["127.255.255.255"], [])


def test_the_emulator_is_tried_on_every_address_it_may_have() -> None:
    status = {"http": "http://192.0.2.7:7480", "https": "https://192.0.2.7:7443"}
    one, other = _session("10.0.0.2"), _session("10.0.0.10")
    tried = {(host, port) for _, _, host, port, _, _ in at_emulator(status, one, [one, other])}
    for host in ("127.0.0.1", "::1", "192.0.2.7", "10.0.0.1", "10.0.0.3", "10.0.0.9", "10.0.0.11"):
        assert {(host, 7480), (host, 7443)} <= tried
    assert not {host for host, _ in tried} & {"10.0.0.2", "10.0.0.10"}, "sessions are not the emulator"
    mine = {*local_addresses(), "192.0.2.7"}
    made = ipaddress.ip_network("10.0.0.0/28")
    assert all(host in mine or ":" in host or ipaddress.ip_address(host) in made for host, _ in tried)


def test_this_hosts_addresses_are_this_hosts() -> None:
    found = local_addresses()
    assert "127.0.0.1" in found
    for address in found:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        socket.create_server((address, 0), family=family).close()


def test_a_listener_hears_what_is_called_on_loopback_and_tells_whom_it_answers(tmp_path: Path) -> None:
    given = {"file": "listener-test", "process": "x", "answer": "the answer", "decoy": "y"}
    rows = _run(tmp_path, program("mark", **given))
    port = int(next(row[1] for row in rows if row[0] == "P"))
    try:
        call = {"text": "a call", "ports": [port], "broadcast": ["127.255.255.255"], "groups": []}
        target = ["", "x", "127.0.0.1", port, "/", "the answer"]
        _run(tmp_path, program("reach", calls=call))
        heard = [row[1] for row in _run(tmp_path, program("reach", targets=[target], whole=True))]
        assert {"the answer", "a call"} <= set(heard)
        (row,) = _run(tmp_path, program("reach", targets=[["TCP", *target[1:]]]))
        assert row == ["R", "TCP", "x", f"127.0.0.1:{port} answered HTTP/1.0 200 OK"]
    finally:
        pids = [row[1] for row in rows if row[0] == "I"]
        _run(tmp_path, program("mark", file="listener-test", remove=pids))
    assert list(tmp_path.iterdir()) == []


def _run(folder: Path, text: str) -> list[list[str]]:
    command = [sys.executable, "-I", "-"]
    done = subprocess.run(command, input=text, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rows: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return rows
