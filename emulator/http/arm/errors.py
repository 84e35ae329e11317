"""Errors of the control plane, in Azure's own words where they are known."""

from __future__ import annotations

from emulator.errors import ServiceError
from emulator.resources.problems import PoolDocumentError


class ArmError(ServiceError):
    """`{"error": {"code", "message", "target"?}}`, the shape of every ARM error."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        reason: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code, target=target, reason=reason, headers=headers)


def resource_not_found(kind: str, name: str, group: str) -> ArmError:
    message = (
        f"The Resource '{kind}/{name}' under resource group '{group}' was not found. For more details please "
        "go to https://aka.ms/ARMResourceNotFoundFix"
    )
    return ArmError(404, "ResourceNotFound", message)


def group_not_found(group: str) -> ArmError:
    return ArmError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")


def invalid_document(error: PoolDocumentError) -> ArmError:
    """400 with the document's own code and target."""
    return ArmError(400, error.code, error.message, target=error.target)


def unauthenticated(reason: str | None) -> ArmError:
    """401 as ARM words it; which of its codes follows from the reason."""
    text = reason or ""
    if text.startswith("no Authorization header"):
        code, message = (
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
        )
    elif "expired" in text:
        code, message = "ExpiredAuthenticationToken", f"The access token expiry is in the past: {text}."
    elif text.startswith("wrong audience"):
        code, message = (
            "InvalidAuthenticationTokenAudience",
            f"The access token has been obtained for another audience: {text}.",
        )
    else:
        code, message = "InvalidAuthenticationToken", f"The access token is invalid: {text}."
    challenge = 'Bearer authorization_uri="/common/oauth2/authorize", error="invalid_token"'
    return ArmError(401, code, message, reason=reason, headers={"www-authenticate": challenge})


def unauthorized(client: str, oid: str, action: str, scope: str) -> ArmError:
    message = (
        f"The client '{client}' with object id '{oid}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please "
        "refresh your credentials."
    )
    return ArmError(403, "AuthorizationFailed", message, reason=f"{oid} may not {action} at {scope}")
