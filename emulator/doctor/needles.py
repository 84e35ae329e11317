"""What no session may know, in a form that can be looked for in one without telling it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SHORTEST = 12
"""Bytes below which a text is no secret that could be recognised."""
SHOWN = 6
LONGEST = 48

Needle = tuple[str, str, int, str, str]
"""Name, first bytes, length of the rest, salt, SHA-256 of salt and rest; bytes as hexadecimal."""


@dataclass(frozen=True)
class Secret:
    """A secret by its name; `content` is never sent anywhere."""

    name: str
    content: bytes

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"

    def needle(self) -> Needle:
        """The last `LONGEST` bytes of it: a token's first ones are the same for all tokens."""
        part = self.content[-LONGEST:]
        salt = secrets.token_bytes(16)
        start, rest = part[:SHOWN], part[SHOWN:]
        return self.name, start.hex(), len(rest), salt.hex(), hashlib.sha256(salt + rest).hexdigest()


def known_secrets(
    token: str, identity_header: str | None, admin_key: str | None, state_dir: Path
) -> Iterator[Secret]:
    """The secrets a doctor can know; the signing key only where it can read the emulator's state."""
    given = {"a bearer token": token, "the identity header": identity_header, "the admin key": admin_key}
    for name, text in given.items():
        if text and len(text) >= SHORTEST:
            yield Secret(name, text.encode())
    yield from _signing_key(state_dir / "signing-key.pem")


def _signing_key(path: Path) -> Iterator[Secret]:
    """As text (a line of its file) and as a number, as it would be in memory or another format."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    try:
        pem = path.read_bytes()
        key = serialization.load_pem_private_key(pem, password=None)
    except (OSError, ValueError, TypeError):
        return
    lines = pem.split()
    yield Secret("the signing key", lines[len(lines) * 2 // 3])
    if isinstance(key, rsa.RSAPrivateKey):
        number = key.private_numbers().p
        yield Secret("the signing key's number", number.to_bytes((number.bit_length() + 7) // 8, "big"))
