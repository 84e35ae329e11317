"""The environment that a user's code sees: what its image set, nothing that is the proxy's own."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from .kernelspec import KernelSpec
from .users import KernelUser

# The token opens Jupyter on port 8888; the rest describe the proxy's interpreter, not the kernel's.
_OWN = {"JUPYTER_TOKEN", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}


def user_environment(environment: Mapping[str, str], user: KernelUser) -> dict[str, str]:
    """`environment` without the proxy's own parts, with HOME, USER and LOGNAME of the account."""
    result = {key: value for key, value in environment.items() if key not in _OWN}
    if "PYTHONPATH" in environment and sys.flags.ignore_environment:
        result["PYTHONPATH"] = environment["PYTHONPATH"]  # not what the proxy runs from: it is the user's
    virtualenv = environment.get("VIRTUAL_ENV")
    if virtualenv and virtualenv != sys.prefix:
        result["VIRTUAL_ENV"] = virtualenv
    result.setdefault("PATH", os.defpath)
    result.setdefault("LANG", "C.UTF-8")
    result["HOME"] = user.home
    if user.other:
        result["USER"] = result["LOGNAME"] = user.name
    return result


def kernel_environment(environment: Mapping[str, str], spec: KernelSpec, user: KernelUser) -> dict[str, str]:
    """The same for a kernel: its own installation first on the PATH, and what its kernel.json adds."""
    result = user_environment(environment, user)
    result["JPY_PARENT_PID"] = str(os.getpid())  # ipykernel ends itself when this process does
    program = spec.command("")[0]
    binaries = str(Path(program).parent) if Path(program).is_absolute() else ""
    own = {f"{sys.prefix}/bin"} if sys.prefix != sys.base_prefix else set()
    path = [p for p in result["PATH"].split(os.pathsep) if p not in own]
    if binaries and binaries not in ("/usr/bin", "/bin", "/usr/local/bin"):
        path = [binaries, *(p for p in path if p != binaries)]
    result["PATH"] = os.pathsep.join(path)
    for key, value in spec.environment.items():
        result[key] = re.sub(r"\$\{(\w+)\}", lambda m: environment.get(m[1], ""), value)
    return result
