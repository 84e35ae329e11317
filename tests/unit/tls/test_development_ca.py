"""The development CA: what it signs is trusted under every promised name, and kept between starts."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emulator.errors import ConfigurationError
from emulator.tls import DAY, Certificate, development_certificate, own_certificate


def make(folder: Path, *names: str, now: float | None = None) -> Certificate:
    return development_certificate(folder / "tls", folder / "one", names, now=now)


def shakes_hands(made: Certificate, name: str, ca: Path) -> bool:
    """A real TLS handshake over a socket pair, the client trusting `ca` alone and asking for `name`."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.chain, made.key)
    client = ssl.create_default_context(cafile=str(ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    near, far = socket.socketpair()
    failed = []

    def serve() -> None:
        try:
            server.wrap_socket(far, server_side=True).close()
        except (ssl.SSLError, OSError) as error:
            failed.append(error)
        finally:
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(near, server_hostname=name).close()
    except ssl.SSLCertVerificationError:
        return False
    finally:
        near.close()
        thread.join()
    return not failed


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "::1", "python.localhost", "dev.example", "10.1.2.3"]
)
def test_trusted_under_every_name(tmp_path: Path, name: str) -> None:
    made = make(tmp_path, "dev.example", "10.1.2.3", "python.localhost")
    assert made.ca is not None
    assert shakes_hands(made, name, made.ca)


def test_another_name_and_another_ca_are_refused(tmp_path: Path) -> None:
    made = make(tmp_path)
    other = make(tmp_path / "other")
    assert made.ca is not None and other.ca is not None
    assert not shakes_hands(made, "dev.example", made.ca)
    assert not shakes_hands(made, "localhost", other.ca)


def test_kept_between_starts(tmp_path: Path) -> None:
    first = make(tmp_path)
    before = first.chain.read_bytes()
    assert make(tmp_path).chain.read_bytes() == before


def test_renewed_for_new_names_and_near_its_end_by_the_same_ca(tmp_path: Path) -> None:
    first = make(tmp_path)
    assert first.ca is not None
    trusted = first.ca.read_bytes()
    leaf = first.chain.read_bytes()
    named = make(tmp_path, "dev.example").chain.read_bytes()
    assert named != leaf
    later = make(tmp_path, "dev.example", now=time.time() + 370 * DAY).chain.read_bytes()
    assert later != named
    assert first.ca.read_bytes() == trusted


def test_a_new_ca_signs_a_new_certificate(tmp_path: Path) -> None:
    first = make(tmp_path)
    assert first.ca is not None
    first.ca.unlink()
    again = make(tmp_path)
    assert again.ca is not None
    assert shakes_hands(again, "localhost", again.ca)


def test_a_ca_near_its_end_is_replaced(tmp_path: Path) -> None:
    first = make(tmp_path)
    assert first.ca is not None
    trusted = first.ca.read_bytes()
    make(tmp_path, now=time.time() + 3400 * DAY)
    assert first.ca.read_bytes() != trusted


def test_keys_are_their_owners_only(tmp_path: Path) -> None:
    made = make(tmp_path)
    for key in (made.key, tmp_path / "tls" / "ca-key.pem"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_two_starting_at_once_share_one_ca(tmp_path: Path) -> None:
    def start(number: int) -> Certificate:
        return development_certificate(tmp_path / "tls", tmp_path / str(number), ())

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(start, range(4)))
    for one in made:
        assert one.ca is not None
        assert shakes_hands(one, "localhost", one.ca)


@pytest.mark.parametrize("name", ["", "a b", "https://x", "host:1"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="tls-names"):
        make(tmp_path, name)


def test_a_certificate_of_your_own(tmp_path: Path) -> None:
    made = make(tmp_path)
    own = own_certificate(made.chain, made.key)
    assert own.ca is None
    with pytest.raises(ConfigurationError, match="own key"):
        own_certificate(made.chain, make(tmp_path / "other").key)
