"""Faults of a pool file: for their own pool, and wrong ones named by file, line and path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emulator.errors import ConfigurationError
from emulator.resources.document import parse_pool
from emulator.resources.files import load_pools
from emulator.resources.patch import merge_patch
from emulator.resources.problems import PoolDocumentError
from tests.unit.resources.documents import built_in

FILE = """\
name: one
properties:
  containerType: {type}
x-emulator:
  faults:
    - effect: cut
    - effect: {{type: latency, seconds: 1}}
      match:
        {match}
"""


def with_faults(*rules: Any, kind: str = "PythonLTS") -> dict[str, Any]:
    return built_in(kind) | {"x-emulator": {"faults": list(rules)}}


def written(folder: Path, match: str, kind: str = "PythonLTS") -> Path:
    path = folder / "pools.yaml"
    path.write_text(FILE.format(match=match, type=kind), encoding="utf-8")
    return path


def test_the_rules_of_a_file(tmp_path: Path) -> None:
    (entry,) = load_pools(written(tmp_path, "pool: one"))
    assert [rule.effect for rule in entry.pool.emulator.faults] == ["cut", "latency"]
    assert entry.pool.emulator.faults[1].options == {"seconds": 1}


@pytest.mark.parametrize(
    ("match", "says"),
    [
        ("nth: 0", "x-emulator.faults[1].match.nth is 0: must be a whole number from 1"),
        (
            "pool: two",
            'x-emulator.faults[1].match.pool is "two": rules of a pool file are for their own pool',
        ),
        ("hosts: x", "x-emulator.faults[1].match.hosts is not known here"),
    ],
)
def test_what_is_wrong_is_named_by_line(tmp_path: Path, match: str, says: str) -> None:
    path = written(tmp_path, match)
    with pytest.raises(ConfigurationError) as caught:
        load_pools(path)
    assert str(caught.value).startswith(f"{path}:9: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "kind", "says"),
    [
        ("kernelDeath", "Shell", "kernelDeath needs a kernel of the emulator's own, which Shell sessions"),
        ({"effect": "cut", "id": "same"}, "PythonLTS", 'id is "same": is taken by an earlier rule'),
        ("cut", "PythonLTS", 'x-emulator.faults[1] is "cut": is not a rule'),
    ],
)
def test_what_can_never_strike_is_refused(rule: Any, kind: str, says: str) -> None:
    second = {"effect": rule} if rule == "kernelDeath" else rule
    with pytest.raises(PoolDocumentError) as caught:
        parse_pool(with_faults({"effect": "cut", "id": "same"}, second, kind=kind), where="pools.yaml")
    assert says in str(caught.value)


def test_other_rules_need_no_other_instances() -> None:
    pool = parse_pool(with_faults({"effect": "cut"}), where="")
    other = parse_pool(with_faults({"effect": "error"}), where="")
    assert pool.emulator == other.emulator
    assert pool.emulator.faults != other.emulator.faults


def test_a_patch_replaces_them() -> None:
    pool = parse_pool(with_faults({"effect": "cut"}), where="")
    merged = merge_patch(pool.document, {"x-emulator": {"faults": [{"effect": "error"}]}})
    assert [rule.effect for rule in parse_pool(merged, where="").emulator.faults] == ["error"]
