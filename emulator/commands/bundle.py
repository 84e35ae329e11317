"""A certificate bundle that adds the emulator's CA to what this machine trusts already."""

from __future__ import annotations

import re
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

# What the variables that `env` sets may name already: a company's proxy must go on being trusted.
VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE")
_SYSTEM: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def write_bundle(ca: str, path: Path, environment: Mapping[str, str]) -> Path:
    """Write `ca` (PEM) and the CAs of this machine to `path`, whole or not at all; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = dict.fromkeys(_BLOCK.findall(ca))
    blocks |= dict.fromkeys(trusted(environment))
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=".bundle-", delete=False, encoding="ascii"
    ) as draft:
        draft.write("\n".join(blocks) + "\n")
    Path(draft.name).chmod(0o644)
    return Path(draft.name).replace(path)


def trusted(environment: Mapping[str, str]) -> list[str]:
    """Certificates that programs on this machine trust now, in PEM."""
    named = [environment.get(variable, "") for variable in VARIABLES]
    found = [block for name in named for block in _read(name)]
    for system in (ssl.get_default_verify_paths().openssl_cafile, *_SYSTEM):
        if blocks := _read(system):
            return found + blocks
    # No file: Windows keeps them in a store, and elsewhere a package may bring its own.
    store = [ssl.DER_cert_to_PEM_cert(one) for one in ssl.create_default_context().get_ca_certs(True)]
    if not store:
        try:
            import certifi
        except ImportError:
            return found
        return found + _read(certifi.where())
    return found + [block for one in store for block in _BLOCK.findall(one)]


def _read(name: str) -> list[str]:
    path = Path(name)
    if not name or not path.is_file():
        return []
    return _BLOCK.findall(path.read_text(encoding="utf-8", errors="replace"))
