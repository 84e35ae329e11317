"""The emulator's RSA key and other secrets of its state folder: made once, readable by their owner only."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from emulator.errors import ConfigurationError

KEY_FILE: Final = "signing-key.pem"
HEADER_FILE: Final = "identity-header"
BITS: Final = 2048


@dataclass(frozen=True)
class SigningKey:
    """An RSA key and the id tokens name it by."""

    private: rsa.RSAPrivateKey = field(repr=False)
    kid: str

    @property
    def public(self) -> rsa.RSAPublicKey:
        return self.private.public_key()

    def jwk(self) -> dict[str, object]:
        """The public half as a JSON web key (RFC 7517)."""
        numbers = self.public.public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "x5t": self.kid,
            "n": _base64url_number(numbers.n),
            "e": _base64url_number(numbers.e),
        }


def new_key() -> SigningKey:
    """A fresh key, kept nowhere (its making takes about 0.1 s)."""
    return _named(rsa.generate_private_key(public_exponent=65537, key_size=BITS))


def load_key(state_dir: Path) -> SigningKey:
    """The key of `state_dir`, made at first use. Raises `ConfigurationError` for a file that holds none."""
    path = state_dir / KEY_FILE
    pem = _load_or_make(path, _new_pem)
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"is no RSA key ({error}); remove it to make a new one", where=str(path)
        ) from None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise ConfigurationError("is no RSA key; remove it to make a new one", where=str(path))
    return _named(private)


def load_secret(state_dir: Path, name: str = HEADER_FILE) -> str:
    """A random text kept under `name`, made at first use (e.g. the value of IDENTITY_HEADER)."""
    path = state_dir / name
    text = _load_or_make(path, lambda: secrets.token_hex(16).encode()).decode("ascii", "replace").strip()
    if not text or not text.isprintable():
        raise ConfigurationError("holds no secret; remove it to make a new one", where=str(path))
    return text


def _new_pem() -> bytes:
    return new_key().private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _named(private: rsa.RSAPrivateKey) -> SigningKey:
    der = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return SigningKey(private, _base64url(hashlib.sha256(der).digest()[:20]))


def _load_or_make(path: Path, make: Callable[[], bytes]) -> bytes:
    """The file's content; two starting at once end up with the same, and nobody sees half a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _publish(path, make())
        content = path.read_bytes()
        if os.name == "posix" and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be read or written ({error.strerror}); name another folder with --state-dir",
            where=str(path),
        ) from error
    return content


def _publish(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(draft, path)  # unlike a rename, this never replaces what another process made first
        except FileExistsError:
            return
        except OSError:  # a filesystem without hard links
            if not path.exists():
                draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _base64url_number(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
