"""The guide cannot drift: every setting, verb, admin route and fault effect is in it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from emulator.cli import parser
from emulator.faults import EFFECTS
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


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
