from __future__ import annotations

import pytest

from emulator.clock import VirtualClock
from emulator.identity.keys import SigningKey, new_key
from emulator.identity.service import Identity


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return new_key()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def identity(key: SigningKey, clock: VirtualClock) -> Identity:
    return Identity(key, clock)
