"""Pool files: what they may look like, and errors that name file, line, path and value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emulator.errors import ConfigurationError
from emulator.resources.files import load_all, load_pools
from tests.unit.resources.documents import EVERY_MEMBER, built_in

ONE = """\
name: one
properties:
  containerType: PythonLTS
  dynamicPoolConfiguration:
    lifecycleConfiguration:
      cooldownPeriodInSeconds: 1
"""
TWO = "name: two\nproperties: {containerType: Shell}\n"


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(text: str, name: str = "pools.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def indented(text: str) -> str:
    return "- " + text.replace("\n", "\n  ").rstrip() + "\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"{ONE}---\n{TWO}", "pools.yaml"),
        (f"---\n{ONE}---\n---\n{TWO}...\n", "pools.yml"),
        (indented(ONE) + indented(TWO), "pools.yaml"),
        (json.dumps([built_in() | {"name": "one"}, built_in("Shell") | {"name": "two"}]), "pools.json"),
        (json.dumps({"value": [built_in() | {"name": "one"}, built_in() | {"name": "two"}]}), "list.json"),
        (json.dumps([built_in() | {"name": "one"}, built_in() | {"name": "two"}], indent="\t"), "tabs.json"),
        ("\ufeff" + f"{ONE}---\n{TWO}", "bom.yaml"),
    ],
)
def test_every_form_of_two_pools(write, text: str, name: str) -> None:  # type: ignore[no-untyped-def]
    assert [entry.pool.name for entry in load_pools(write(text, name))] == ["one", "two"]


def test_a_single_json_document(write) -> None:  # type: ignore[no-untyped-def]
    (entry,) = load_pools(write(json.dumps(EVERY_MEMBER), "pool.json"))
    assert entry.pool.name == "everything"


def test_where_a_pool_begins(write) -> None:  # type: ignore[no-untyped-def]
    assert [entry.line for entry in load_pools(write(indented(ONE) + indented(TWO)))] == [1, 7]


def test_warnings_name_file_and_line(write) -> None:  # type: ignore[no-untyped-def]
    path = write(ONE)
    (warning,) = load_pools(path)[0].pool.warnings
    assert warning.startswith(f"{path}:6: properties.dynamicPoolConfiguration.")


def test_errors_name_file_and_line(write) -> None:  # type: ignore[no-untyped-def]
    path = write(f"{TWO}---\n{ONE.replace('Seconds: 1', 'Seconds: soon')}")
    with pytest.raises(ConfigurationError) as caught:
        load_pools(path)
    assert str(caught.value).startswith(
        f"{path}:9: properties.dynamicPoolConfiguration.lifecycleConfiguration"
    )
    assert '"soon"' in str(caught.value)


def test_lines_are_found_whatever_the_spelling_of_keys(write) -> None:  # type: ignore[no-untyped-def]
    path = write("name: one\nPROPERTIES:\n  ContainerTYPE: Shell\n  ScaleConfiguration: 3\n")
    with pytest.raises(ConfigurationError, match=r"pools\.yaml:4: properties\.scaleConfiguration is 3"):
        load_pools(path)


def test_a_missing_member_names_the_line_above_it(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigurationError, match=r"pools\.yaml:2: properties\.containerType is missing"):
        load_pools(write("name: one\nproperties:\n  tags: {}\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no pool"),
        ("[]", "holds no pool"),
        ("just words", "the document is .*expected a mapping"),
        ("name: one\n  bad: indent\n", r"pools\.yaml:2: is not valid YAML"),
        ("name: [\n", "is not valid YAML"),
        ("name: !!python/object:os.system x\n", "is not valid YAML"),
        ("name: one\nname: two\n", r"pools\.yaml:2: name is given twice"),
        ("a: &a [*a]\n", "nested deeper|is not valid YAML"),
        ("name: one\x00\n", "is not valid YAML"),
        (f"{TWO}---\n{TWO}", r"pools\.yaml:4: pool 'two' is defined at .*pools\.yaml:1 already"),
    ],
)
def test_what_is_wrong_with_a_file(write, text: str, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigurationError, match=said):
        load_pools(write(text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.yaml: cannot be read: No such file"):
        load_pools(tmp_path / "gone.yaml")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "image.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_pools(path)


def test_dates_stay_text(write) -> None:  # type: ignore[no-untyped-def]
    (entry,) = load_pools(write(TWO + "tags: {since: 2024-05-16}\n"))
    assert entry.pool.document["tags"] == {"since": "2024-05-16"}


def test_one_pool_in_two_files(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigurationError, match=r"b\.yaml:1: pool 'two' is defined at .*a\.yaml:1 already"):
        load_all([write(TWO, "a.yaml"), write(TWO, "b.yaml")])
    assert len(load_all([write(ONE, "a.yaml"), write(TWO, "b.yaml")])) == 2
