"""What runs out: disk for the engine, disk for the emulator, addresses for sessions."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.asking import ask, causes, count, refusal, sessions
from tests.chaos.own_engine import OwnEngine, eventually
from tests.chaos.tiny_image import tiny_pool
from tests.harness import NEWEST, Emulator

pytestmark = pytest.mark.engine


def test_a_full_disk_of_the_engine_is_said_and_got_over(engine: OwnEngine, tmp_path: Path) -> None:
    emulator = engine.emulator(tmp_path, pools=[tiny_pool(max_sessions=20)])
    assert count(emulator, "alice") == 1
    engine.fill_disk()
    for number in range(3):
        status, code, message = refusal(ask(emulator, f"new-{number}", "/cgi-bin/count"))
        assert (status, code) == (500, "SessionAllocationFailed")
        assert "no space left on device" in message
        assert count(emulator, "alice") == number + 2
    failure = emulator.ask("GET", "/status")["pools"][0]["failure"]
    assert "no space left on device" in failure
    engine.free_disk()
    assert count(emulator, "new-0") == 1
    assert emulator.ask("GET", "/status")["pools"][0]["failure"] is None
    eventually(lambda: len(engine.left()) == 4, "the starts that failed left nothing")
    assert emulator.stop() == 0
    assert engine.left() == []


def test_sessions_end_on_a_full_disk_too(engine: OwnEngine, tmp_path: Path) -> None:
    emulator = engine.emulator(tmp_path, pools=[tiny_pool(max_sessions=20)])
    assert count(emulator, "alice") == 1
    assert count(emulator, "robert") == 1
    engine.fill_disk()
    engine.container(sessions(emulator)["alice"]).kill()
    eventually(lambda: "alice" not in sessions(emulator), "an exit is heard of")
    assert emulator.stop() == 0
    if engine.left():  # the engine could not write that it removed them
        assert "dynamic-sessions down" in emulator.text()
    engine.free_disk()
    following = engine.emulator(tmp_path, pools=[tiny_pool(max_sessions=20)])
    assert sessions(following) == {}
    eventually(lambda: engine.left() == [], "the next start removes what was left")


def stop(emulator: Emulator, identifier: str) -> None:
    path = f"/.management/stopSession?api-version={NEWEST}&identifier={identifier}"
    assert emulator.send("POST", "tiny", path).status_code == 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 256 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "small", str(folder)], check=True, timeout=30)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=30)


def test_a_full_disk_of_the_emulator_costs_only_what_a_crash_would_lose(
    engine: OwnEngine, tmp_path: Path, small_disk: Path
) -> None:
    flags = ("--state-dir", str(small_disk))
    emulator = engine.emulator(tmp_path, *flags, pools=[tiny_pool(max_sessions=20)])
    assert count(emulator, "before") == 1
    with (
        (small_disk / "ballast").open("wb", buffering=0) as ballast,
        pytest.raises(OSError, match="No space"),
    ):
        while True:
            ballast.write(bytes(4096))
    long = "a" * 128  # the file's last page takes some lines yet
    for _ in range(14):
        assert count(emulator, long) == 1
        stop(emulator, long)
    assert "No space left on device" in causes(emulator, "ledger.failed")[0]
    (small_disk / "ballast").unlink()
    assert count(emulator, "after") == 1
    told = len(causes(emulator, "ledger.failed"))
    stop(emulator, "after")
    assert len(causes(emulator, "ledger.failed")) == told
    before = sessions(emulator)
    emulator.process.kill()
    emulator.process.wait()
    following = engine.emulator(tmp_path, *flags, pools=[tiny_pool(max_sessions=20)])
    assert sessions(following)["before"] == before["before"]
    assert count(following, "before") == 2
    assert following.stop() == 0
    assert engine.left() == []


@pytest.mark.parametrize("prefix", [29, 28])
def test_a_range_that_is_used_up_is_said_and_an_ended_session_gives_its_part_back(
    engine: OwnEngine, tmp_path: Path, prefix: int
) -> None:
    room = 2 ** (29 - prefix)
    network = engine.subnet.split("/")[0] + f"/{prefix}"
    emulator = engine.emulator(tmp_path, "--session-subnet", network, pools=[tiny_pool(max_sessions=20)])
    for number in range(room):
        assert count(emulator, f"user-{number}") == 1
    status, code, message = refusal(ask(emulator, "one-more", "/cgi-bin/count"))
    assert (status, code) == (500, "SessionAllocationFailed")
    assert network in message
    assert f"{room} are in use here" in message
    assert "--session-subnet" in message
    assert count(emulator, "user-0") == 2
    engine.container(sessions(emulator)["user-0"]).kill()
    eventually(lambda: "user-0" not in sessions(emulator), "a session ends")
    eventually(
        lambda: ask(emulator, "one-more", "/cgi-bin/count").status_code == 200, "its addresses are free"
    )
    assert emulator.stop() == 0
    assert engine.left() == []


def test_addresses_that_others_use_are_passed_over(engine: OwnEngine, tmp_path: Path) -> None:
    """Networks of the same engine, which it refuses, and of another one, which it would not notice."""
    first, second, third, fourth = (f"{engine.subnet.rsplit('.', 1)[0]}.{last}" for last in (0, 8, 16, 24))
    other = f"{engine.bridge}x"  # another engine's, as far as this one can tell
    subprocess.run(["ip", "link", "add", other, "type", "bridge"], check=True, timeout=30)
    try:
        gateway = f"{second.rsplit('.', 1)[0]}.9/29"
        subprocess.run(["ip", "address", "add", gateway, "dev", other], check=True, timeout=30)
        subprocess.run(["ip", "link", "set", other, "up"], check=True, timeout=30)
        ipam = {"Config": [{"Subnet": f"{third}/29", "Gateway": f"{third.rsplit('.', 1)[0]}.17"}]}
        routeless = {"com.docker.network.bridge.inhibit_ipv4": "true"}
        engine.client.api.create_network("somebody", driver="bridge", ipam=ipam, options=routeless)
        emulator = engine.emulator(tmp_path, pools=[tiny_pool()])
        for identifier in ("alice", "robert"):
            assert count(emulator, identifier) == 1
        subnets = {one.attrs["IPAM"]["Config"][0]["Subnet"] for one in engine.networks()}
        assert subnets == {f"{first}/29", f"{fourth}/29"}
    finally:
        subprocess.run(["ip", "link", "delete", other], check=True, timeout=30)
