"""Settings: precedence, every row of the table, and errors that name key, value and origin."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import ConfigurationError
from emulator.setting_kinds import SECONDS, WrongValue
from emulator.settings import TABLE, Setting, Settings, add_flags, default_state_dir, load

HOME = {"XDG_STATE_HOME": "/nowhere/state"}

# A value for each kind that differs from every default, as text and as read.
SAMPLES: dict[str, tuple[str, Any]] = {
    "text": ("sample", "sample"),
    "integer": ("77", 77),
    "number": ("1.5", 1.5),
    "duration": ("3m", 180.0),
    "size": ("64MiB", 64 * 1024**2),
    "path": ("/some/where", Path("/some/where")),
    "paths": ("/some/where", (Path("/some/where"),)),
    "network": ("10.99.0.0/16", "10.99.0.0/16"),
    "names": ("example", ("example",)),
    "labels": ("team=a=b", (("team", "a=b"),)),
    "port or off": ("off", None),
    "list of objects": ('[{"oid": "x"}]', ({"oid": "x"},)),
}
# What is checked together with others has tests of its own.
TOGETHER = {"image", "target_port", "name", "tls_cert", "tls_key"}
ALONE = [one for one in TABLE if one.name not in TOGETHER]


def sample(one: Setting) -> tuple[str, Any]:
    if one.choices:
        other = next(choice for choice in one.choices if choice != one.default)
        return other.upper(), other
    if one.kind.name == "switch":
        return str(not one.default).lower(), not one.default
    return SAMPLES[one.kind.name]


def parse(*arguments: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_flags(parser)
    return vars(parser.parse_args(list(arguments)))


def arguments(one: Setting, text: str) -> list[str]:
    return [one.flags[0 if text == "true" else 1]] if one.flags else [f"--{one.key}", text]


def test_defaults_are_those_promised() -> None:
    settings = load({}, HOME)
    assert (settings.host, settings.port, settings.tls_port) == ("127.0.0.1", 7480, 7443)
    assert (settings.runtime, settings.auth, settings.strict, settings.keep) == (
        "auto",
        "strict",
        True,
        False,
    )
    assert settings.session_subnet == "10.213.0.0/16"
    assert (settings.code_timeout, settings.shell_timeout, settings.output_length) == (220, 600, 4096)
    assert settings.upload_limit == 128 * 1024**2
    assert settings.ready_sessions == 1
    assert settings.python_image == "dynamic-sessions/python:latest"
    assert settings.warnings == ()
    assert settings.origins == {}


@pytest.mark.parametrize("one", ALONE, ids=lambda one: one.name)
def test_every_setting_by_flag_variable_and_file(one: Setting, tmp_path: Path) -> None:
    text, value = sample(one)
    file = tmp_path / "settings.yaml"
    file.write_text(f"{one.key}: '{text}'\n", encoding="utf-8")
    for flags, environment, path, origin in (
        (parse(*arguments(one, text)), HOME, None, f"--{one.key}"),
        ({}, {**HOME, one.variable: text}, None, one.variable),
        ({}, HOME, file, f"{file}:1"),
    ):
        settings = load(flags, environment, path)
        assert getattr(settings, one.name) == value
        assert settings.origins[one.name] == (arguments(one, text)[0] if one.flags and flags else origin)


@pytest.mark.parametrize("one", TABLE, ids=lambda one: one.name)
def test_every_row_is_complete(one: Setting) -> None:
    assert one.help
    assert one.group
    if one.default is not None and one.kind.name != "switch":
        assert one.read(one.default) == one.default


def test_precedence(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("port: 1\nhost: file\ninstance: file\n", encoding="utf-8")
    environment = {"DYNAMIC_SESSIONS_PORT": "2", "DYNAMIC_SESSIONS_HOST": "variable"}
    settings = load(parse("--port", "3"), environment, file)
    assert (settings.port, settings.host, settings.instance) == (3, "variable", "file")
    assert settings.origins == {
        "port": "--port",
        "host": "DYNAMIC_SESSIONS_HOST",
        "instance": f"{file}:3",
    }


@pytest.mark.parametrize("given_by", ["flag", "variable"])
def test_where_the_settings_file_is(tmp_path: Path, given_by: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("port: 1\n", encoding="utf-8")
    by_flag = given_by == "flag"
    flags = parse("--settings", str(file)) if by_flag else {}
    assert load(flags, {} if by_flag else {"DYNAMIC_SESSIONS_SETTINGS": str(file)}).port == 1


def test_paths_of_a_file_count_from_its_folder_and_others_from_here(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("config: [pools.yaml, /abs.yaml]\nready-file: r.json\n", encoding="utf-8")
    settings = load({}, {}, file)
    assert settings.config == (tmp_path / "pools.yaml", Path("/abs.yaml"))
    assert settings.ready_file == tmp_path / "r.json"
    assert load(parse("--ready-file", "r.json"), {}).ready_file == Path("r.json")


def test_several_pool_files() -> None:
    flags = parse("--config", "a.yaml", "b.yaml", "--config", "c.yaml")
    assert load(flags, {}).config == (Path("a.yaml"), Path("b.yaml"), Path("c.yaml"))
    joined = os.pathsep.join(["a.yaml", "b.yaml"])
    assert load({}, {"DYNAMIC_SESSIONS_CONFIG": joined}).config == (Path("a.yaml"), Path("b.yaml"))


@pytest.mark.parametrize(("text", "port"), [("off", None), ("OFF", None), ("0", 0), ("8443", 8443)])
def test_tls_port(text: str, port: int | None, tmp_path: Path) -> None:
    assert load(parse("--tls-port", text), {}).tls_port == port
    file = tmp_path / "s.yaml"
    file.write_text(f"tls-port: {text}\n", encoding="utf-8")  # YAML itself reads `off` as false
    assert load({}, {}, file).tls_port == port


def test_free_port() -> None:
    assert load(parse("--port", "0"), {}).port == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--port", "seven"], "--port: port is 'seven': expected a whole number"),
        (["--port", "65536"], "--port: port is '65536': expected 0 to 65535"),
        (["--tls-port", "on"], "--tls-port: tls-port is 'on': expected a port, or off"),
        (["--auth", "none"], "--auth: auth is 'none': expected one of strict, claims, off"),
        (["--session-memory", "1Mi"], "--session-memory: session-memory is '1Mi': expected at least"),
        (["--session-memory", "lots"], "--session-memory: session-memory is 'lots': is no size"),
        (["--start-timeout", "soon"], "--start-timeout: start-timeout is 'soon': expected seconds"),
        (["--session-subnet", "10.0.0.1/16"], "expected an IPv4 network such as"),
        (["--session-subnet", "10.0.0.0/30"], "expected a network between /8 and /29"),
        (["--image", "x"], "--image: image also needs target-port"),
        (["--target-port", "80"], "--target-port: target-port also needs image"),
        (["--name", "p"], "--name: name also needs image"),
        (["--tls-cert", __file__], "--tls-cert: tls-cert also needs tls-key"),
        (["--principals", "x"], "--principals: principals is not shown: expected JSON"),
    ],
)
def test_errors_name_origin_key_value_and_remedy(flags: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(parse(*flags), {})
    assert said in str(caught.value)


def test_errors_of_variables_and_files_name_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^DYNAMIC_SESSIONS_PORT: port is 'x'"):
        load({}, {"DYNAMIC_SESSIONS_PORT": "x"})
    file = tmp_path / "s.yaml"
    file.write_text("host: h\nport: true\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"s\.yaml:2: port is True: expected a whole number"):
        load({}, {}, file)
    file.write_text("prot: 1\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"s\.yaml:1: prot is no setting; did you mean port\?"):
        load({}, {}, file)
    file.write_text("- port\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="expected one mapping"):
        load({}, {}, file)
    with pytest.raises(ConfigurationError, match=r"gone\.yaml: cannot be read: No such file"):
        load({}, {}, tmp_path / "gone.yaml")


def test_an_empty_file_or_variable_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("# nothing yet\nport:\n", encoding="utf-8")
    assert load({}, {"DYNAMIC_SESSIONS_PORT": ""}, file).port == 7480


def test_misspelled_variables_are_warned_about() -> None:
    settings = load({}, {"DYNAMIC_SESSIONS_PROT": "1", "DYNAMIC_SESSIONS_ENDPOINT": "x"})
    assert settings.warnings == ("DYNAMIC_SESSIONS_PROT is no setting; did you mean DYNAMIC_SESSIONS_PORT?",)


def test_secrets_are_not_shown() -> None:
    secret = {"DYNAMIC_SESSIONS_ADMIN_KEY": "hush", "DYNAMIC_SESSIONS_IDENTITY_HEADER": "hush"}
    principals = {"DYNAMIC_SESSIONS_PRINCIPALS": '[{"clientSecret": "hush"}]'}
    settings = load({}, secret | principals)
    assert settings.admin_key == "hush"
    assert "hush" not in repr(settings)
    assert {one.name for one in TABLE if one.secret} == {"admin_key", "identity_header", "principals"}


def test_one_off_pool_flags() -> None:
    settings = load(parse("--image", "repo/app", "--target-port", "80", "--name", "p"), {})
    assert (settings.image, settings.target_port, settings.name) == ("repo/app", 80, "p")


def test_state_folder() -> None:
    assert load({}, {"XDG_STATE_HOME": "/x"}).state_dir == default_state_dir({"XDG_STATE_HOME": "/x"})
    if sys.platform == "linux":
        assert default_state_dir({"XDG_STATE_HOME": "/x"}) == Path("/x/dynamic-sessions")


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


def test_help_prints_every_flag() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    text = parser.format_help()
    for one in TABLE:
        for flag in one.flags or (f"--{one.key}",):
            assert flag in text


def test_import_loads_nothing_heavy() -> None:
    code = "import sys, emulator.settings; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"yaml", "docker", "starlette", "argparse", "cryptography"} & set(done.stdout.split())


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for one in TABLE:
        try:
            one.read(text)
        except WrongValue as error:
            assert str(error)


@given(
    st.sampled_from([("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400), ("", 1)]),
    st.integers(0, 9999),
)
def test_durations(unit: tuple[str, float], number: int) -> None:
    assert SECONDS.read(f"{number}{unit[0]}") == pytest.approx(number * unit[1])
