"""Tests of this folder are coroutines; each gets a loop of its own, in which blocking calls fail."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from blockbuster import blockbuster_ctx


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def watched() -> None:
        # The ledger writes one line to the page cache before a caller is answered: on purpose, see there.
        with blockbuster_ctx("emulator") as detector:
            for function in detector.functions.values():
                function.can_block_in("emulator/pool/ledger.py", {"claim", "release", "open", "close"})
            async with asyncio.timeout(20):
                await pyfuncitem.obj(**arguments)

    asyncio.run(watched())
    return True
