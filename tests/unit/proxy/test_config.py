"""codeInterpreterConf.yaml and the environment: every key, every mistake by name and line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from interpreter_proxy import config_file
from interpreter_proxy.config import Config, Snippets
from interpreter_proxy.environment import user_environment
from interpreter_proxy.errors import ConfigurationError
from interpreter_proxy.kernelspec import find
from interpreter_proxy.settings import Settings, from_environment
from interpreter_proxy.users import KernelUser
from tests.unit.proxy.harness import ROOT

# The sample of the public guide, comments and all.
SAMPLE = """\
kind: CodeInterpreterConfig # [Required] Must be 'CodeInterpreterConfig'
apiVersion: v1 # [Required] Must be 'v1' as of now.
metadata:
  name: code-interpreter # [Required] Must be 'code-interpreter'
spec:
  logging:
    logLevel: 1 # [Optional] Levels
    useISO8601DateFormat: true # [Optional] true/false
  kernel:
    name: javascript # [Required]
    port: 6000 # [Required]
    isAsynchronousExecutionSupported: true # [Optional]
  healthProbe:
    endpoint: /health # [Optional] Endpoint for health checks
    successfulHealthCheckThresholdSeconds: 120 # [Optional]
    initialDelaySeconds: 0    # [Optional]
    periodSeconds: 15           # [Optional]
    timeoutSeconds: 15          # [Optional]
    failureThreshold: 3        # [Optional]
    code: 1+1 # [Required]
  codeExecution:
    enableAutoBase64Decoding: false # [Optional]
    defaultTimeoutSeconds: 120 # [Optional]
    synchronousExecution:
      preCodeInjectionSnippet: console.time("Execution Time"); # [Optional]
      postCodeInjectionSnippet: console.timeEnd("Execution Time"); # [Optional]
    asynchronousExecution:
      preCodeInjectionSnippet: $$.async() # [Optional]
      postCodeInjectionSnippet: setTimeout($$.done, 120000) # [Optional]
  fileOperation:
    maxUploadFileSizeLimitInMBs: 250 # [Optional]
    dataDirectoryPath: /mnt/data # [Optional]
"""
LEAST = """\
kind: CodeInterpreterConfig
apiVersion: v1
metadata: {name: code-interpreter}
spec:
  kernel: {name: python3, port: 6000}
  healthProbe: {code: 1}
"""


def load(folder: Path, text: str, settings: Settings | None = None) -> Config:
    path = folder / "c.yaml"
    path.write_text(text)
    return config_file.load(str(path), settings or Settings())


def mistakes(folder: Path, text: str, settings: Settings | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text, settings)
    return str(caught.value)


def test_the_sample(folder: Path) -> None:
    config = load(folder, SAMPLE, Settings(kernel_name="javascript"))
    assert config.kernel.asynchronous and config.kernel.name == "javascript"
    assert config.logging.level == 1
    assert not config.execution.auto_base64
    assert config.execution.asynchronous == Snippets("$$.async()", "setTimeout($$.done, 120000)")
    assert config.execution.synchronous.before == 'console.time("Execution Time");'
    assert config.files.max_upload == 250 * 2**20


def test_the_defaults(folder: Path) -> None:
    config = load(folder, LEAST)
    probe = config.probe
    assert (config.logging.level, config.logging.iso_dates) == (0, True)
    assert not config.kernel.asynchronous
    assert (probe.endpoint, probe.success_threshold, probe.initial_delay) == ("/health", 120, 0)
    assert (probe.period, probe.timeout, probe.failure_threshold, probe.code) == (15, 15, 3, "1")
    assert config.execution.auto_base64 and config.execution.default_timeout == 120
    assert config.files.data_directory == "/mnt/data"


def test_a_comment_inside_a_block_is_part_of_the_code(folder: Path) -> None:
    text = (
        LEAST
        + "  codeExecution:\n    synchronousExecution:\n      preCodeInjectionSnippet: |\n        x # y\n"
    )
    assert load(folder, text).execution.synchronous.before == "x # y\n"


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        (
            "kind: CodeInterpreterConfig",
            "kind: Other",
            1,
            "'kind' is 'Other' and must be 'CodeInterpreterConfig'",
        ),
        ("apiVersion: v1 ", "apiVersion: ", 2, "'apiVersion' is required; write 'v1'"),
        ("name: code-interpreter", "name: mine", 4, "'metadata.name' is 'mine'"),
        ("logLevel: 1", "logLevel: 4", 7, "'spec.logging.logLevel' is 4 and must be between 0 and 3"),
        ("logLevel: 1", "logLevel: high", 7, "must be a whole number"),
        ("logLevel: 1", "logLevel: true", 7, "must be a whole number"),
        ("logLevel: 1", "loglevel: 1", 7, "unknown key 'spec.logging.loglevel'; did you mean 'logLevel'?"),
        ("useISO8601DateFormat: true", "useISO8601DateFormat: 1", 8, "must be true or false"),
        ("port: 6000", "port: 70000", 11, "between 1 and 65535"),
        ("port: 6000", "port:", 11, "'spec.kernel.port' is required; give it a whole number"),
        ("port: 6000", "port: [6000]", 11, "'spec.kernel.port' must be a whole number"),
        ("    code: 1+1 # [Required]\n", "", 14, "'spec.healthProbe.code' is required"),
        ("periodSeconds: 15 ", "periodSeconds: 0 ", 17, "'spec.healthProbe.periodSeconds' is 0"),
        ("  fileOperation:\n", "  fileOperations:\n", 30, "did you mean 'fileOperation'?"),
    ],
)
def test_mistakes_are_named_with_their_line(folder: Path, old: str, new: str, line: int, text: str) -> None:
    assert old in SAMPLE
    found = mistakes(folder, SAMPLE.replace(old, new, 1))
    assert f"line {line}: " in found and text in found


def test_all_mistakes_at_once(folder: Path) -> None:
    found = mistakes(
        folder, SAMPLE.replace("v1", "v2").replace("6000", "x").replace("logLevel: 1", "logLevel: 9")
    )
    assert len(found.splitlines()) == 3


@pytest.mark.parametrize(
    "text", ["", "[]", "spec: 5", "a: b: c", "\tkey", "kind: {", "null", "spec: {kernel: 1}"]
)
def test_files_that_are_no_configuration(folder: Path, text: str) -> None:
    assert "c.yaml" in mistakes(folder, text)


def test_the_name_must_equal_the_environments(folder: Path) -> None:
    found = mistakes(folder, LEAST, Settings(kernel_name="java"))
    assert "'python3'" in found and "'java'" in found and "make them equal" in found


def test_a_missing_file() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        config_file.load("/nowhere/c.yaml", Settings())


def test_the_environment() -> None:
    settings = from_environment(
        {"CODE_INTERPRETER_MAX_TIMEOUT_SECONDS": "220", "CODE_INTERPRETER_JUPYTER": "Yes"}
    )
    assert (settings.max_timeout, settings.jupyter, settings.shell) == (220, True, False)
    for name, value in (
        ("MAX_TIMEOUT_SECONDS", "-1"),
        ("MAX_TIMEOUT_SECONDS", "nan"),
        ("OUTPUT_LIMIT_CHARACTERS", "many"),
        ("JUPYTER", "perhaps"),
        ("MODE", "fast"),
    ):
        with pytest.raises(ConfigurationError, match=f"CODE_INTERPRETER_{name}.*{value}"):
            from_environment({f"CODE_INTERPRETER_{name}": value})


def test_the_users_environment_has_nothing_of_the_proxys() -> None:
    user = KernelUser("somebody", 1000, 1000, (), "/home/somebody", True)
    environment = user_environment(
        {"JUPYTER_TOKEN": "secret", "PYTHONPATH": str(ROOT / "proxy_image"), "THEIRS": "1", "HOME": "/root"},
        user,
    )
    assert "JUPYTER_TOKEN" not in environment and "PYTHONPATH" not in environment
    assert (environment["THEIRS"], environment["HOME"], environment["USER"]) == (
        "1",
        "/home/somebody",
        "somebody",
    )


def test_kernels_are_found_by_name_and_run_from_where_they_are_installed(folder: Path) -> None:
    kernels = folder / "venv" / "share" / "jupyter" / "kernels" / "mine"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(
        '{"argv": ["python", "-m", "k", "{connection_file}"], "language": "K"}'
    )
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    spec = find("Mine", "/nowhere", {"JUPYTER_PATH": str(folder / "venv/share/jupyter")})
    assert spec.command("/c.json") == [str(python), "-m", "k", "/c.json"]
    with pytest.raises(ConfigurationError, match=r"'other' is not installed\. Installed:.*mine"):
        find("other", "/nowhere", {"JUPYTER_PATH": str(folder / "venv/share/jupyter")})
    (kernels / "kernel.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"mine/kernel\.json"):
        find("mine", "/nowhere", {"JUPYTER_PATH": str(folder / "venv/share/jupyter")})


def test_a_wrong_configuration_stops_the_start_with_its_reason(folder: Path) -> None:
    path = folder / "c.yaml"
    path.write_text(LEAST.replace("6000", "none"))
    done = subprocess.run(
        [sys.executable, "-m", "interpreter_proxy", "--config", str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "proxy_image")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"{path} line 5: 'spec.kernel.port' is 'none' and must be a whole number\n"


def test_the_environment_of_a_pool_is_above_the_file(tmp_path: Path) -> None:
    path = tmp_path / "conf.yaml"
    path.write_text(SAMPLE, encoding="utf-8")
    environment = {
        "CODE_INTERPRETER_KERNEL_NAME": "javascript",
        "CODE_INTERPRETER_DEFAULT_TIMEOUT_SECONDS": "60",
        "CODE_INTERPRETER_MAX_UPLOAD_BYTES": "1000",
        "CODE_INTERPRETER_EXECUTIONS_KEPT": "7",
    }
    config = config_file.load(str(path), from_environment(environment))
    assert (config.execution.default_timeout, config.files.max_upload, config.execution.kept) == (60, 1000, 7)
    plain = config_file.load(str(path), from_environment({"CODE_INTERPRETER_KERNEL_NAME": "javascript"}))
    assert (plain.execution.default_timeout, plain.files.max_upload) == (120, 250 * 2**20)
