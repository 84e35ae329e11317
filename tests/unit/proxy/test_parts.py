"""The parts that need no kernel: long texts, inspected values, health."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from interpreter_proxy import bigtext, literals
from interpreter_proxy.config import HealthProbe
from interpreter_proxy.health import Health
from interpreter_proxy.languages import language
from interpreter_proxy.multipart import file_name


def message(text: str, *, ascii_only: bool, name_first: bool = True) -> memoryview:
    content = {"name": "stdout", "text": text} if name_first else {"text": text, "name": "stderr"}
    return memoryview(json.dumps(content, ensure_ascii=ascii_only).encode())


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("name_first", [True, False])
@pytest.mark.parametrize("alphabet", ["ab", 'a\\"\n', "é€😀\\\n", "\\", '","name":"stdout"}', "\x00\x1f\x7f"])
def test_a_long_text_is_measured_without_unpacking(
    monkeypatch: pytest.MonkeyPatch, ascii_only: bool, name_first: bool, alphabet: str
) -> None:
    monkeypatch.setattr(bigtext, "_CHUNK", 64)  # so that escapes fall on every kind of border
    draw = random.Random(alphabet)
    for length in (0, 1, 7, 63, 500, 2_000):
        text = "".join(draw.choices(alphabet, k=length))
        body = message(text, ascii_only=ascii_only, name_first=name_first)
        for limit in (0, 1, 5, 300, 5_000):
            name = "stdout" if name_first else "stderr"
            assert bigtext.read(body, limit) == (name, text[:limit], len(text))


def test_what_is_no_stream_is_left_alone() -> None:
    assert bigtext.read(memoryview(b'{"data": {}}'), 5) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        ("-1.5", -1.5),
        ("1e+21", 1e21),
        ("9007199254740993", 9007199254740993.0),
        ("true", True),
        ("null", None),
        ("NaN", None),
        ("-Infinity", None),
        ("'it\\'s'", "it's"),
        ('"it\'s"', "it's"),
        ("`a'\"b`", "a'\"b"),
        ("'a\\nb\\x00\\u00e9\\u{1F600}'", "a\nb\0é😀"),
        ("[]", []),
        ("[ 1, 'a', [ null ] ]", [1, "a", [None]]),
        ("[\n  1,\n  2\n]", [1, 2]),
        ("{}", {}),
        ("{ a: 1, 'k-x': { b: [] }, '2': 3, $_: 4 }", {"a": 1, "k-x": {"b": []}, "2": 3, "$_": 4}),
        ("{ a: 'one\\n' +\n    'two' }", {"a": "one\ntwo"}),
    ],
)
def test_inspected_values(text: str, value: Any) -> None:
    found = literals.parse(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "undefined",
        "10n",
        "[Function: f]",
        "Map(0) {}",
        "[ <2 empty items> ]",
        "[ 1, ... 99 more items ]",
        "{ a: [Object] }",
        "{ a: undefined }",
        "Symbol(a)",
        "1 2",
        "[1",
        "{a",
        "'x",
        "2020-01-01T00:00:00.000Z",
        "Promise { 4 }",
        "<ref *1> { a: [Circular *1] }",
        "[" * 200,
        "1.2.3",
        "-",
        "+1",
        "{ a: 1, }",
    ],
)
def test_what_json_cannot_carry_is_no_value(text: str) -> None:
    with pytest.raises(literals.NotJson):
        literals.parse(text)


@pytest.mark.parametrize(
    ("name", "data", "value"),
    [
        ("javascript", {"text/plain": "undefined"}, ""),
        ("javascript", {"text/plain": "[Function: f]"}, "[Function: f]"),
        ("python", {"text/plain": "2"}, "2"),  # only what the kernel itself vouches for is typed
        ("python", {"text/plain": "2", "application/vnd.interpreter-proxy.value": "2"}, 2),
        ("java", {"text/plain": "4"}, 4),
        ("java", {"text/plain": '"x"'}, "x"),
        ("java", {"text/plain": "[1] 2"}, "[1] 2"),
        ("r", {"text/plain": "x", "application/json": {"a": float("nan")}}, {"a": None}),
        ("r", {"text/html": "<b>"}, "<b>"),
    ],
)
def test_values_by_language(name: str, data: dict[str, Any], value: Any) -> None:
    assert language(name).value(data) == value


def test_file_names_without_one() -> None:
    assert file_name("form-data; name=file") is None
    assert file_name('form-data; name=file; filename=""') == ""


class Kernel:
    """What Health sees of the kernel."""

    def __init__(self) -> None:
        self.on_ready: list[Any] = []
        self.instance: Instance | None = None
        self.trouble = "starting"


class Instance:
    running = 0
    others_busy = False

    def __init__(self, status: str = "ok") -> None:
        self.status = status

    async def probe(self, code: str) -> dict[str, Any]:
        if self.status == "silent":
            await asyncio.Event().wait()
        if self.status == "dead":
            raise ConnectionError
        return {"status": self.status, "ename": "E", "evalue": "v"}


def test_health_needs_a_success_and_falls_after_failures_in_a_row() -> None:
    async def scenario() -> None:
        kernel = Kernel()
        health = Health(kernel, HealthProbe(timeout=0.01, failure_threshold=2))  # type: ignore[arg-type]
        (ready,) = kernel.on_ready
        assert health.trouble == "starting"
        await ready(Instance("error"))
        assert "E: v" in (health.trouble or "")
        await ready(Instance())
        assert health.trouble is None
        await ready(Instance("silent"))
        assert health.trouble is None
        await ready(Instance("dead"))
        assert "2 health checks" in (health.trouble or "")
        await ready(Instance())
        assert health.trouble is None

    asyncio.run(scenario())


def test_a_busy_kernel_is_a_healthy_one() -> None:
    async def scenario() -> None:
        kernel = Kernel()
        health = Health(kernel, HealthProbe(timeout=0.01, failure_threshold=1))  # type: ignore[arg-type]
        (ready,) = kernel.on_ready
        busy = Instance("silent")
        busy.running = 1
        await ready(busy)
        assert health.trouble is None
        watched = Instance("silent")
        watched.others_busy = True
        await ready(watched)
        assert health.trouble is None

    asyncio.run(scenario())
