"""The key of a state folder: made once, kept private, never half written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jwt
import pytest

from emulator.errors import ConfigurationError
from emulator.identity.keys import KEY_FILE, load_key, load_secret


def test_made_at_first_use_and_kept(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state"
    first = load_key(state)
    assert load_key(state).kid == first.kid
    assert sorted(path.name for path in state.iterdir()) == [KEY_FILE]


def test_readable_by_its_owner_only(tmp_path: Path) -> None:
    load_key(tmp_path / "state")
    path = tmp_path / "state" / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    path.chmod(0o644)
    load_key(path.parent)
    assert path.stat().st_mode & 0o777 == 0o600


def test_two_starting_at_once_agree(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from emulator.identity.keys import load_key; "
        "print(load_key(Path(sys.argv[1])).kid)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    racing = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({process.communicate()[0] for process in racing}) == 1
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize(
    "content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"]
)
def test_a_spoiled_file_is_named_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"{KEY_FILE}: is no RSA key.*remove it"):
        load_key(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="--state-dir"):
        load_key(tmp_path / "file" / "state")


def test_secrets_are_kept_and_differ(tmp_path: Path) -> None:
    header = load_secret(tmp_path)
    assert load_secret(tmp_path) == header
    assert len(header) == 32
    assert load_secret(tmp_path, "other") != header


def test_the_public_half_verifies(tmp_path: Path) -> None:
    key = load_key(tmp_path)
    token = jwt.encode({"a": 1}, key.private, algorithm="RS256")
    public = jwt.PyJWK(key.jwk())
    assert jwt.decode(token, public, algorithms=["RS256"]) == {"a": 1}
    assert "PRIVATE" not in repr(key)
    assert "d" not in key.jwk()
