"""The guide cannot drift: every setting, verb, admin route and fault effect is in it."""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

import pytest

from emulator.cli import parser
from emulator.faults import EFFECTS
from emulator.http.executions import CAUSES
from emulator.resources.faults import MATCH
from emulator.resources.shape import OPTIONS
from emulator.settings import TABLE, Setting

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("setting", TABLE, ids=lambda one: one.name)
def test_every_setting_is_documented(setting: Setting) -> None:
    for flag in setting.flags or (f"--{setting.key}",):
        assert f"`{flag}`" in GUIDE


@pytest.mark.parametrize("effect", EFFECTS)
def test_every_fault_effect_is_documented(effect: str) -> None:
    assert f"| `{effect}` |" in GUIDE
    faults = GUIDE[GUIDE.index("## Faults") : GUIDE.index("## Is it right")]
    for option in (*EFFECTS[effect].kinds, *MATCH.kinds):
        assert f"`{option}`" in faults, option


@pytest.mark.parametrize("option", OPTIONS.kinds)
def test_every_emulator_option_of_a_pool_file_is_documented(option: str) -> None:
    pools = GUIDE[GUIDE.index("## Pools") : GUIDE.index("## Settings")]
    assert f"`{option}`" in pools


def verbs() -> list[str]:
    for action in parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return list(action.choices)
    raise AssertionError("the command line has no verbs")


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_is_documented(verb: str) -> None:
    assert re.search(rf"(dynamic-sessions |`){verb}\b", GUIDE + README), f"{verb} is nowhere in the guide"


def test_every_admin_route_is_documented() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "emulator" / "http").glob("*.py"))
    for path, method in re.findall(r'"/\.emulator/([^"]+)", self\.\w+, \["(\w+)"\]', source):
        assert f"{method} {path}" in GUIDE, f"{method} /.emulator/{path} is not in the guide"


def emitted() -> set[str]:
    """Kinds of events named in the code: arguments of `emit` and of what calls it."""
    found = set()
    for path in (ROOT / "emulator").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.arguments):  # a kind that is passed on, by its default
                defaults = dict(zip([one.arg for one in call.args[::-1]], call.defaults[::-1], strict=False))
                if isinstance(kind := defaults.get("kind"), ast.Constant):
                    found.add(f"session.{kind.value}")
            if not isinstance(call, ast.Call):
                continue
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            place = {"emit": 0, "_emit": 0, "_end": 1, "_tell": 1}.get(name)
            if place is None or len(call.args) <= place:
                continue
            for node in ast.walk(call.args[place]):
                if isinstance(node, ast.Constant) and re.fullmatch(r"[a-z]+(\.[a-zA-Z]+)?", str(node.value)):
                    found.add(node.value if "." in node.value else f"session.{node.value}")
    return found


def test_the_kinds_of_events_are_found() -> None:
    assert {"session.expired", "session.crashed", "request.refused", "file.deleted"} <= emitted()


def test_every_kind_of_event_is_documented_and_none_that_is_not_there() -> None:
    table = GUIDE[GUIDE.index("### Events") : GUIDE.index("### What sessions printed")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    documented = {kind for row in rows for kind in re.findall(r"`([^`]+)`", row)}
    assert documented == emitted() | {"fault.<effect>"}


def test_every_metric_is_documented() -> None:
    source = (ROOT / "emulator" / "http" / "metrics.py").read_text(encoding="utf-8")
    source += (ROOT / "emulator" / "http" / "app.py").read_text(encoding="utf-8")
    for name in set(re.findall(r'"((?:emulator_|Pool)[A-Za-z_]+)"', source)):
        assert re.search(rf"`{name}(_total)?`", GUIDE), f"the metric {name} is not in the guide"


def test_every_way_an_execution_ends_is_documented() -> None:
    row = next(line for line in GUIDE.splitlines() if line.startswith("| `execution.ended`"))
    for how in CAUSES:
        assert re.search(rf"\b{how}\b", row), f"{how} is not in the guide"


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
