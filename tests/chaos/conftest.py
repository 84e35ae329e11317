"""The tests' own engine, new for each test: starting one takes a quarter of a second."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.chaos.own_engine import OwnEngine
from tests.chaos.tiny_image import import_tiny

_engines: list[OwnEngine] = []


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[OwnEngine]:
    """A running engine that has the tiny image, and may be done anything to; parameters go to dockerd."""
    own = OwnEngine("256m", *getattr(request, "param", ()))
    _engines.append(own)
    try:
        own.start()
        import_tiny(own.client)
        yield own
    finally:
        _engines.remove(own)
        own.remove()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the emulators printed belongs to a failure, and the engine's last words."""
    report = yield
    if report.failed:
        for own in _engines:
            report.sections += [(f"log of {one.ready['http']}", one.text()[-8000:]) for one in own.emulators]
            report.sections.append((f"dockerd in {own.folder}", own.last_words()))
    return report
