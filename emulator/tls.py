"""HTTPS with a development CA: made once in the state folder, its certificate renewed when it must be."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from emulator.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

# OpenSSL and Node take no wildcard right below a top-level name: `*.localhost` is for clients that do;
# callers name each host they mean besides (`python.localhost`).
ALWAYS_NAMED: Final = ("localhost", "*.localhost", "127.0.0.1", "::1")

# Apple's platforms take no certificate that lives longer than 825 days, whoever signed it.
LEAF_DAYS: Final = 397
CA_DAYS: Final = 3650
RENEW_DAYS: Final = 30
DAY: Final = 86400.0


@dataclass(frozen=True)
class Certificate:
    """What HTTPS is served with: `chain` and `key` in PEM; `ca`: whom to trust, None for one of your own."""

    chain: Path
    key: Path
    ca: Path | None


def own_certificate(chain: Path, key: Path) -> Certificate:
    """`--tls-cert` and `--tls-key`. Raises `ConfigurationError` if they do not belong together."""
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key, password="")
    except (ssl.SSLError, OSError) as error:
        problem = f"cannot be served with {key} ({error.strerror or error}); give a PEM chain and its own key"
        raise ConfigurationError(problem, where=f"--tls-cert {chain}") from None
    return Certificate(chain, key, None)


def development_certificate(
    shared: Path, own: Path, names: Iterable[str], *, now: float | None = None
) -> Certificate:
    """A certificate for localhost and `names`, signed by the CA in `shared`.

    `shared` holds the CA, the same for every emulator of this user, so that what trusts it once goes on
    trusting; `own` holds this emulator's certificate. The certificate is renewed when names are missing, when
    fewer than 30 days are left or when the CA is another; the CA when its own end is near. Times are real
    ones (`now`: seconds since the epoch), because those who connect look at their own clock. Raises
    `ConfigurationError` when a folder cannot be written or a name is none.
    """
    import time

    wanted = _normal(names)
    moment = time.time() if now is None else now
    made = Certificate(own / "server.pem", own / "server-key.pem", shared / "ca.pem")
    try:
        for folder in (shared, own):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(shared / ".lock"):
            authority = _authority(shared, moment)
            if not _still_good(made, own / "server.json", wanted, moment, authority):
                _renew(made, own / "server.json", shared, wanted, moment, authority)
    except OSError as error:
        raise ConfigurationError(
            f"certificates cannot be kept here ({error.strerror}); name another folder with --state-dir, or "
            "switch HTTPS off with --tls-port off",
            where=str(own),
        ) from error
    return made


def _normal(names: Iterable[str]) -> list[str]:
    wanted = list(ALWAYS_NAMED)
    for name in names:
        text = name.strip().lower().strip("[]").rstrip(".")
        try:
            text = str(ipaddress.ip_address(text))
        except ValueError:
            try:
                text = text.encode("idna").decode("ascii") if not text.isascii() else text
            except UnicodeError:
                text = ""
            if not text or any(sign.isspace() or sign in "/:@" for sign in text):
                raise ConfigurationError(
                    f"tls-names holds {name!r}: write host names and addresses", where="--tls-names"
                ) from None
        if text not in ("0.0.0.0", "::") and text not in wanted:  # noqa: S104 - nobody connects to these
            wanted.append(text)
    return wanted


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Two emulators that start at once make one CA."""
    with lock.open("a", encoding="ascii") as file:
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _authority(folder: Path, now: float) -> str:
    """Make the CA if there is none or it ends soon; returns what tells it from another."""
    note, certificate, key = folder / "ca.json", folder / "ca.pem", folder / "ca-key.pem"
    known = _read_note(note)
    if known.get("until", 0) > now + (LEAF_DAYS + RENEW_DAYS) * DAY and certificate.exists() and key.exists():
        return str(known.get("id"))
    from cryptography.hazmat.primitives.asymmetric import ec

    private, serial = ec.generate_private_key(ec.SECP256R1()), f"{secrets.randbits(64):016x}"
    subject = _name(f"Dynamic Sessions Emulator development CA {serial[:8]}")
    until = now + CA_DAYS * DAY
    signed = _sign(subject, subject, private, private, now, until, names=None)
    _write(key, _key_pem(private))
    _write(certificate, _pem(signed), mode=0o644)
    _write(note, json.dumps({"id": serial, "until": until}).encode())
    return serial


def _still_good(made: Certificate, note: Path, wanted: list[str], now: float, authority: str) -> bool:
    # The note spares loading the certificate reader (50 ms) at every start.
    known = _read_note(note)
    return (
        known.get("ca") == authority
        and set(wanted) <= set(known.get("names", ()))
        and known.get("until", 0) > now + RENEW_DAYS * DAY
        and made.chain.exists()
        and made.key.exists()
    )


def _renew(made: Certificate, note: Path, shared: Path, names: list[str], now: float, authority: str) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    ca_pem = (shared / "ca.pem").read_bytes()
    issuer = x509.load_pem_x509_certificate(ca_pem).subject
    ca_key = serialization.load_pem_private_key((shared / "ca-key.pem").read_bytes(), password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(
            "is not the key of the development CA; remove this folder to make a new one", where=str(shared)
        )
    private, until = ec.generate_private_key(ec.SECP256R1()), now + LEAF_DAYS * DAY
    signed = _sign(_name("localhost"), issuer, private, ca_key, now, until, names)
    _write(made.key, _key_pem(private))
    _write(made.chain, _pem(signed) + ca_pem, mode=0o644)
    _write(note, json.dumps({"ca": authority, "names": names, "until": until}).encode())


def _name(common: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Dynamic Sessions Emulator"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _sign(
    subject: x509.Name,
    issuer: x509.Name,
    private: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    now: float,
    until: float,
    names: list[str] | None,
) -> x509.Certificate:
    """A certificate for `private`; a CA's own where `names` is None."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    ca = names is None
    begin = datetime.datetime.fromtimestamp(now - DAY, datetime.UTC)  # another clock may be a little behind
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(datetime.datetime.fromtimestamp(until, datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .add_extension(_usage(ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if names is not None:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(ca: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(private: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _read_note(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Atomically, never readable by others for a moment."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
