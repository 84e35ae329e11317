"""Who may use the admin API: this machine, under its own names, and no page of another site."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.harness import Emulator, emulator, pool


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pools = [pool("python", "PythonLTS", ready=0)]
    with emulator(tmp_path_factory.mktemp("door"), "--runtime", "process", pools=pools) as started:
        yield started


def ask(running: Emulator, **headers: str) -> requests.Response:
    return requests.get(f"{running.admin}/token", headers=headers, timeout=30)


def test_loopback_needs_no_key(running: Emulator) -> None:
    assert ask(running).status_code == 200
    port = running.http.rsplit(":", 1)[1]
    assert ask(running, Host=f"localhost:{port}").status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://elsewhere.example"}, {"Host": "rebound.example"}], ids=["origin", "host"]
)
def test_a_page_of_another_site_is_refused(running: Emulator, headers: dict[str, str]) -> None:
    refused = ask(running, **headers)
    assert refused.status_code == 403
    assert "admin API" in refused.headers["x-emulator-reason"]
