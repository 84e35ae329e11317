"""Reading codeInterpreterConf.yaml: every key checked, every mistake named with its line and remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from .config import CodeExecution, Config, FileOperation, HealthProbe, KernelConfig, Logging, Snippets
from .errors import ConfigurationError
from .settings import Settings

# A leaf is (type, default, check); default REQUIRED marks a key that must be there. Keys, defaults and
# which are required: documented with the base image.
REQUIRED = object()
_CODE = (str, "", None)
_SNIPPETS = {"preCodeInjectionSnippet": _CODE, "postCodeInjectionSnippet": _CODE}
SCHEMA: Mapping[str, Any] = {
    "kind": (str, REQUIRED, ["CodeInterpreterConfig"]),
    "apiVersion": (str, REQUIRED, ["v1"]),
    "metadata": {"name": (str, REQUIRED, ["code-interpreter"])},
    "spec": {
        "logging": {"logLevel": (int, 0, (0, 3)), "useISO8601DateFormat": (bool, True, None)},
        "kernel": {
            "name": (str, REQUIRED, None),
            "port": (int, REQUIRED, (1, 65_535)),
            "isAsynchronousExecutionSupported": (bool, False, None),
        },
        "healthProbe": {
            "endpoint": (str, "/health", None),
            "successfulHealthCheckThresholdSeconds": (int, 120, (1, 86_400)),
            "initialDelaySeconds": (int, 0, (0, 86_400)),
            "periodSeconds": (int, 15, (1, 86_400)),
            "timeoutSeconds": (int, 15, (1, 86_400)),
            "failureThreshold": (int, 3, (1, 1_000)),
            "code": (str, REQUIRED, None),
        },
        "codeExecution": {
            "enableAutoBase64Decoding": (bool, True, None),
            "defaultTimeoutSeconds": (int, 120, (1, 86_400)),
            "synchronousExecution": _SNIPPETS,
            "asynchronousExecution": _SNIPPETS,
        },
        "fileOperation": {
            "maxUploadFileSizeLimitInMBs": (int, 250, (1, 1_048_576)),
            "dataDirectoryPath": (str, "/mnt/data", None),
        },
    },
}
_TYPE_NAMES = {str: "text", int: "a whole number", bool: "true or false"}


class _Reader:
    """Walks the YAML nodes beside the schema and collects every mistake."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.mistakes: list[str] = []
        # yaml.SafeLoader only converts the scalars here; the nodes come from the parser with their lines.
        self._scalars = yaml.SafeLoader("")

    def wrong(self, node: yaml.Node | None, text: str) -> None:
        line = f" line {node.start_mark.line + 1}" if node is not None else ""
        self.mistakes.append(f"{self._path}{line}: {text}")

    def mapping(self, node: yaml.Node | None, schema: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        found: dict[str, yaml.Node] = {}
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = str(key.value)
                if name not in schema:
                    self.wrong(key, f"unknown key '{prefix}{name}'{_suggestion(name, schema)}")
                elif name in found:
                    self.wrong(key, f"'{prefix}{name}' is given twice; remove one")
                else:
                    found[name] = value
        elif node is not None and not _is_null(node):
            self.wrong(node, f"'{prefix.rstrip('.')}' must hold keys: {', '.join(schema)}")
        return {
            name: self._entry(found.get(name), rule, prefix + name, node) for name, rule in schema.items()
        }

    def _entry(self, node: yaml.Node | None, rule: Any, name: str, parent: yaml.Node | None) -> Any:
        if isinstance(rule, dict):
            return self.mapping(node, rule, name + ".")
        kind, default, check = rule
        if node is None or _is_null(node):
            if default is REQUIRED:
                remedy = f"write '{check[0]}'" if isinstance(check, list) else f"give it {_TYPE_NAMES[kind]}"
                self.wrong(node or parent, f"'{name}' is required; {remedy}")
                return kind()
            return default
        return self._scalar(node, kind, check, name)

    def _scalar(self, node: yaml.Node, kind: type, check: Any, name: str) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            self.wrong(node, f"'{name}' must be {_TYPE_NAMES[kind]}")
            return kind()
        if kind is str:
            value: Any = node.value  # `code: 1` and `apiVersion: v1` alike are text as written
        else:
            value = self._scalars.construct_object(node, deep=True)
        if type(value) is not kind:
            self.wrong(node, f"'{name}' is '{node.value}' and must be {_TYPE_NAMES[kind]}")
            return kind()
        if isinstance(check, list) and value not in check:
            self.wrong(node, f"'{name}' is '{value}' and must be '{check[0]}'")
        if isinstance(check, tuple) and not check[0] <= value <= check[1]:
            self.wrong(node, f"'{name}' is {value} and must be between {check[0]} and {check[1]}")
        return value


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _suggestion(name: str, schema: Mapping[str, Any]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, schema, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known here: {', '.join(schema)}"


def load(path: str, settings: Settings) -> Config:
    """Reads and checks one file; raises ConfigurationError listing every mistake, one a line."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from None
    try:
        node = yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: is not YAML: {error}") from None
    reader = _Reader(path)
    values = reader.mapping(node, SCHEMA, "")
    spec = values["spec"]
    name, endpoint = spec["kernel"]["name"], spec["healthProbe"]["endpoint"]
    if settings.kernel_name is not None and name and name != settings.kernel_name:
        reader.mistakes.append(
            f"{path}: 'spec.kernel.name' is '{name}' and the environment variable "
            f"CODE_INTERPRETER_KERNEL_NAME is '{settings.kernel_name}'; make them equal"
        )
    if not endpoint.startswith("/"):
        reader.mistakes.append(f"{path}: 'spec.healthProbe.endpoint' is '{endpoint}' and must start with '/'")
    if not spec["fileOperation"]["dataDirectoryPath"].startswith("/"):
        reader.mistakes.append(f"{path}: 'spec.fileOperation.dataDirectoryPath' must be an absolute path")
    if reader.mistakes:
        raise ConfigurationError("\n".join(reader.mistakes))
    return overruled(_config(spec), settings)


def default(settings: Settings) -> Config:
    """The configuration without a file."""
    kernel = replace(KernelConfig(), name=settings.kernel_name or "python3", asynchronous=True)
    return overruled(Config(kernel=kernel), settings)


def overruled(config: Config, settings: Settings) -> Config:
    """`config` with what the environment decides above it."""
    execution = replace(config.execution, kept=settings.executions_kept)
    if settings.default_timeout is not None:
        execution = replace(execution, default_timeout=settings.default_timeout)
    files = config.files
    if settings.max_upload is not None:
        files = replace(files, max_upload=settings.max_upload)
    return replace(config, execution=execution, files=files)


def _config(spec: Mapping[str, Any]) -> Config:
    probe, execution = spec["healthProbe"], spec["codeExecution"]
    return Config(
        logging=Logging(spec["logging"]["logLevel"], spec["logging"]["useISO8601DateFormat"]),
        kernel=KernelConfig(
            spec["kernel"]["name"], spec["kernel"]["port"], spec["kernel"]["isAsynchronousExecutionSupported"]
        ),
        probe=HealthProbe(
            endpoint=probe["endpoint"],
            success_threshold=probe["successfulHealthCheckThresholdSeconds"],
            initial_delay=probe["initialDelaySeconds"],
            period=probe["periodSeconds"],
            timeout=probe["timeoutSeconds"],
            failure_threshold=probe["failureThreshold"],
            code=probe["code"],
        ),
        execution=CodeExecution(
            auto_base64=execution["enableAutoBase64Decoding"],
            default_timeout=execution["defaultTimeoutSeconds"],
            synchronous=_snippets(execution["synchronousExecution"]),
            asynchronous=_snippets(execution["asynchronousExecution"]),
        ),
        files=FileOperation(
            spec["fileOperation"]["maxUploadFileSizeLimitInMBs"] * 2**20,
            spec["fileOperation"]["dataDirectoryPath"].rstrip("/") or "/",
        ),
    )


def _snippets(values: Mapping[str, str]) -> Snippets:
    return Snippets(values["preCodeInjectionSnippet"], values["postCodeInjectionSnippet"])
