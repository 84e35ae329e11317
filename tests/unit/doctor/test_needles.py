"""Looking for secrets without telling them."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest

from emulator.doctor.inside import program, search
from emulator.doctor.needles import Needle, Secret, known_secrets
from emulator.identity.keys import load_key

SECRET = Secret("the word", secrets.token_urlsafe(40).encode())


def _found(folder: Path, *needles: Needle) -> str:
    given = {
        "needles": needles,
        "first": [str(folder)],
        "everywhere": False,
        "label": "-",
        "seconds": 10,
        "bytes": 10**9,
    }
    (row,) = [row for row in search.main(given) if row[1] == "secrets in files"]
    return row[3]


@pytest.mark.parametrize("around", ["", "Bearer ", "x" * 100_000, "\0\1\2"])
def test_a_secret_is_found_wherever_it_stands_in_a_file(tmp_path: Path, around: str) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    file = tmp_path / "deep" / "er" / "notes.bin"
    file.write_bytes(around.encode() + SECRET.content + around.encode())
    assert _found(tmp_path, SECRET.needle()) == f"the word in {file}"


def test_what_is_sent_is_neither_the_secret_nor_found_by_the_search(tmp_path: Path) -> None:
    text = program("search", needles=[SECRET.needle()], first=[str(tmp_path)])
    assert SECRET.content.decode() not in text
    (tmp_path / "program").write_text(text, encoding="utf-8")
    assert _found(tmp_path, SECRET.needle()) == ""
    tail = SECRET.content[-40:].decode()
    assert all(tail[at : at + 12] not in text for at in range(len(tail) - 12))


def test_a_secret_is_not_in_its_own_name() -> None:
    assert SECRET.content.decode() not in repr(SECRET)


def test_the_signing_key_is_looked_for_as_text_and_as_number(tmp_path: Path) -> None:
    key = load_key(tmp_path)
    found = list(known_secrets("t" * 50, "identity-header", None, tmp_path))
    assert [one.name for one in found] == [
        "a bearer token",
        "the identity header",
        "the signing key",
        "the signing key's number",
    ]
    prime = key.private.private_numbers().p.to_bytes(128, "big")
    (tmp_path / "dump").mkdir()
    (tmp_path / "dump" / "core").write_bytes(b"\0" * 100 + prime + b"\0" * 100)
    (tmp_path / "dump" / "key").write_bytes((tmp_path / "signing-key.pem").read_bytes())
    seen = _found(tmp_path / "dump", *(one.needle() for one in found))
    assert "the signing key in" in seen
    assert "the signing key's number in" in seen
    assert "token" not in seen


def test_a_state_that_cannot_be_read_and_a_key_too_short_to_be_known_are_left_out(tmp_path: Path) -> None:
    assert [one.name for one in known_secrets("t" * 50, None, "short", tmp_path)] == ["a bearer token"]
    assert json.dumps([one.needle() for one in known_secrets("t" * 50, None, None, tmp_path)])
