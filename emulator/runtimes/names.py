"""Names and labels of what belongs to a session, so that any later process can tell whose it is."""

from __future__ import annotations

import re

LABEL = "dynamic-sessions-emulator"
INSTANCE = f"{LABEL}.instance"
OWNER = f"{LABEL}.owner"
HOLDER = f"{LABEL}.holder"
POOL = f"{LABEL}.pool"
SESSION = f"{LABEL}.session"
IDENTIFIER = f"{LABEL}.identifier"
CREATED = f"{LABEL}.created"

_PLAIN = re.compile(r"[a-z0-9]")


def escape(text: str) -> str:
    """`text` with everything but lower-case letters and digits as `_xx`, so that no two texts collide."""
    return "".join(
        char if _PLAIN.fullmatch(char) else "".join(f"_{byte:02x}" for byte in char.encode()) for char in text
    )


def resource_name(instance: str, pool: str, guid: str) -> str:
    """Name of a session's container and of its network."""
    return f"dse-{escape(instance)}-{escape(pool)}-{guid}"
