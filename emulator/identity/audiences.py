"""Which audience a token is for."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

# The first is documented, the second stands in the tutorials' own requests.
DATA_AUDIENCES: Final = ("https://dynamicsessions.io", "https://acasessions.io")
ARM_AUDIENCES: Final = ("https://management.azure.com", "https://management.core.windows.net")


class Plane(Enum):
    """The data plane of a pool, or Azure's control plane."""

    DATA = "data"
    ARM = "arm"

    @property
    def audiences(self) -> tuple[str, ...]:
        return DATA_AUDIENCES if self is Plane.DATA else ARM_AUDIENCES


def accepts(plane: Plane, audience: Any) -> bool:
    """True if `audience` (a token's `aud`, one or several) is for `plane`, with or without a final `/`."""
    names = audience if isinstance(audience, list | tuple) else [audience]
    return any(isinstance(name, str) and name.removesuffix("/") in plane.audiences for name in names)


def resource_of(scope: str) -> str:
    """The audience that an OAuth2 scope asks for: `https://x/.default` → `https://x`, also of several."""
    known = {"openid", "profile", "offline_access", "email"}
    first = next((one for one in scope.split() if one not in known), scope.strip())
    # Entra keeps one slash of `https://x//.default`: the audience is then `https://x/`.
    return first.removesuffix("/.default")
