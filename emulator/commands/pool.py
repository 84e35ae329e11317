"""`pool list|show|create|update|delete`: session pools with the flags of `az containerapp sessionpool`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from emulator.commands.client import Client, CommandFailed, add_endpoint, connect, explain, query, segment
from emulator.resources.model import DEFAULT_RESOURCE_GROUP, DEFAULT_SUBSCRIPTION

VERSION = "2025-10-02-preview"
ARM_AUDIENCE = "https://management.azure.com"
POLL_SECONDS = 0.2


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs of this module to the parser."""
    pools = verbs.add_parser("pool", help="list, show, create, update and delete session pools")
    inner = pools.add_subparsers(required=True, metavar="VERB")
    for name, help_, act in (
        ("list", "all pools, or those of a group", _list),
        ("show", "one pool", _show),
        ("create", "make a pool, or replace one", _create),
        ("update", "change a pool; what is not named stays", _update),
        ("delete", "delete a pool and everything it runs", _delete),
    ):
        verb = inner.add_parser(name, help=help_)
        add_endpoint(verb)
        _common(verb, name)
        if name in ("create", "update"):
            _settings(verb)
        verb.set_defaults(act=act)


def _common(verb: argparse.ArgumentParser, name: str) -> None:
    text = f"resource group (default {DEFAULT_RESOURCE_GROUP})"
    verb.add_argument("-g", "--resource-group", help="only of this group" if name == "list" else text)
    verb.add_argument("--subscription", default=DEFAULT_SUBSCRIPTION, help="subscription id")
    verb.add_argument("-o", "--output", choices=("json", "tsv", "table"), default="json", help="how to print")
    verb.add_argument(
        "--query", metavar="PATH", help="print one member, e.g. properties.poolManagementEndpoint"
    )
    if name != "list":
        verb.add_argument("-n", "--name", required=name not in ("create", "update"), help="name of the pool")
    if name == "delete":
        verb.add_argument("-y", "--yes", action="store_true", help="accepted; nothing is asked")
    if name in ("create", "update", "delete"):
        verb.add_argument("--no-wait", action="store_true", help="do not wait until it is done")


def _settings(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    add("-l", "--location", help="region, as in eastus")
    add("--container-type", help="PythonLTS (default), NodeLTS, Shell or CustomContainer")
    add("--max-sessions", type=int, help="most sessions at a time")
    add("--ready-sessions", type=int, help="instances kept ready (CustomContainer)")
    add(
        "--cooldown-period", type=int, metavar="S", help="seconds after the last request until a session ends"
    )
    add("--lifecycle-type", help="Timed (default) or OnContainerExit")
    add("--max-alive-period", type=int, metavar="S", help="longest life with OnContainerExit, in seconds")
    add("--network-status", help="EgressEnabled or EgressDisabled")
    add("--environment", help="id of a managed environment (CustomContainer)")
    add("-i", "--image", help="image of the container (CustomContainer)")
    add("--container-name", help="name of the container")
    add("--target-port", type=int, help="port the container listens on")
    add("--cpu", type=float, help="cores, as in 0.5")
    add("--memory", help="memory, as in 1Gi")
    add("--command", nargs="+", help="entry point of the container")
    add("--args", nargs="+", help="arguments of the entry point")
    add("--env-vars", nargs="*", metavar="NAME=VALUE", help="variables; NAME=secretref:SECRET takes a secret")
    add("--secrets", nargs="*", metavar="NAME=VALUE", help="secrets, never shown again")
    add("--registry-server", help="registry of the image")
    add("--registry-username", help="user of the registry")
    add("--registry-password", help="its password, kept as a secret")
    add("--tags", nargs="*", metavar="NAME=VALUE", help="tags")
    add("--mcp-enabled", action="store_true", default=None, help="serve MCP under the pool's endpoint")
    add("--yaml", type=Path, help="a pool file with one document; flags for name and group win over it")


class Arm:
    """The control plane of one emulator, as one caller sees it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        found = client.call("GET", f"/.emulator/token?{query(audience=ARM_AUDIENCE)}")
        self._headers = {"authorization": f"Bearer {found['accessToken']}"}

    def call(self, method: str, path: str, document: Any = None) -> Any:
        target = f"{path}?{query(api_version=VERSION)}"
        return self._client.call(method, target, document, **self._headers)

    def find(self, path: str) -> dict[str, Any] | None:
        """The resource, or None if there is none."""
        answer = self._client.open("GET", f"{path}?{query(api_version=VERSION)}", headers=self._headers)
        raw = answer.read()
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise CommandFailed(explain(answer, raw))
        found: dict[str, Any] = json.loads(raw)
        return found

    def settled(self, path: str) -> dict[str, Any] | None:
        """The resource once nothing is under way any more; None when it is gone."""
        while True:
            found = self.find(path)
            if found is None or found["properties"]["provisioningState"] not in ("InProgress", "Deleting"):
                return found
            time.sleep(POLL_SECONDS)


def _path(options: argparse.Namespace, name: str | None = None) -> str:
    path = f"/subscriptions/{segment(options.subscription)}"
    if options.resource_group or name:
        path += f"/resourceGroups/{segment(options.resource_group or DEFAULT_RESOURCE_GROUP)}"
    path += "/providers/Microsoft.App/sessionPools"
    return f"{path}/{segment(name)}" if name else path


def _list(options: argparse.Namespace) -> None:
    _print(options, Arm(connect(options)).call("GET", _path(options))["value"])


def _show(options: argparse.Namespace) -> None:
    _print(options, Arm(connect(options)).call("GET", _path(options, options.name)))


def _create(options: argparse.Namespace) -> None:
    document = _read_yaml(options.yaml) if options.yaml else {}
    name = options.name or document.get("name")
    if not name:
        raise CommandFailed("pool create needs --name, or a --yaml file with one")
    options.resource_group = options.resource_group or document.get("resourceGroup")
    document.setdefault("location", options.location or "local")
    properties = document.setdefault("properties", {})
    if options.container_type is None and "containerType" not in properties:
        options.container_type = "CustomContainer" if options.image else "PythonLTS"
    document = _merged(document, _document(options, properties))
    arm = Arm(connect(options))
    _finish(options, arm, arm.call("PUT", _path(options, name), document))


def _update(options: argparse.Namespace) -> None:
    change = _read_yaml(options.yaml) if options.yaml else {}
    name = options.name or change.get("name")
    if not name:
        raise CommandFailed("pool update needs --name, or a --yaml file with one")
    options.resource_group = options.resource_group or change.get("resourceGroup")
    arm = Arm(connect(options))
    held = arm.call("GET", _path(options, name))["properties"]
    change = _merged(change, _document(options, held))
    _finish(options, arm, arm.call("PATCH", _path(options, name), change))


def _finish(options: argparse.Namespace, arm: Arm, pool: dict[str, Any]) -> None:
    _print(options, pool if options.no_wait else arm.settled(pool["id"]) or pool)


def _delete(options: argparse.Namespace) -> None:
    path = _path(options, options.name)
    arm = Arm(connect(options))
    if arm.find(path) is None:
        raise CommandFailed(f"--name {options.name}: there is no such pool; 'pool list' shows them")
    arm.call("DELETE", path)
    if not options.no_wait:
        arm.settled(path)


# -- documents -------------------------------------------------------------------------------------------


def _read_yaml(path: Path) -> dict[str, Any]:
    from emulator.resources.files import parse_yaml

    try:
        found = [one for one, _ in parse_yaml(path.read_text(encoding="utf-8-sig"), path) if one is not None]
    except OSError as error:
        raise CommandFailed(f"--yaml {path}: cannot be read: {error.strerror}") from None
    document = found[0] if len(found) == 1 else None
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if not isinstance(document, dict):
        raise CommandFailed(f"--yaml {path}: expected one pool document")
    return document


def _document(options: argparse.Namespace, held: dict[str, Any]) -> dict[str, Any]:
    """What the flags say; `held` are the pool's properties, for members that change only as a whole."""
    o = options
    lifecycle = {
        "lifecycleType": o.lifecycle_type,
        "cooldownPeriodInSeconds": o.cooldown_period,
        "maxAlivePeriodInSeconds": o.max_alive_period,
    }
    secrets, registry = _pairs(o.secrets, "--secrets"), None
    if o.registry_server:
        registry = {"server": o.registry_server, "username": o.registry_username}
        if o.registry_password:
            # az's own name for it.
            name = f"{o.registry_server.replace('.', '')}-{o.registry_username or ''}".strip("-").lower()
            secrets, registry["passwordSecretRef"] = {**(secrets or {}), name: o.registry_password}, name
    kept = [one for one in held.get("secrets") or [] if secrets is None or one["name"] not in secrets]
    given = {
        "location": o.location,
        "tags": _pairs(o.tags, "--tags"),
        "properties": {
            "containerType": o.container_type,
            "environmentId": o.environment,
            "scaleConfiguration": {
                "maxConcurrentSessions": o.max_sessions,
                "readySessionInstances": o.ready_sessions,
            },
            "dynamicPoolConfiguration": {"lifecycleConfiguration": lifecycle},
            "sessionNetworkConfiguration": {"status": o.network_status},
            "mcpServerSettings": {"isMcpServerEnabled": o.mcp_enabled},
            "secrets": None
            if secrets is None
            else kept + [{"name": name, "value": value} for name, value in secrets.items()],
            "customContainerTemplate": _template(o, held, registry),
        },
    }
    cleaned: dict[str, Any] = _cleaned(given) or {}
    return cleaned


def _template(
    o: argparse.Namespace, held: dict[str, Any], registry: dict[str, Any] | None
) -> dict[str, Any] | None:
    variables = _pairs(o.env_vars, "--env-vars")
    container = {
        "image": o.image,
        "name": o.container_name,
        "command": o.command,
        "args": o.args,
        "resources": _cleaned({"cpu": o.cpu, "memory": o.memory}),
        "env": None if variables is None else [_variable(*pair) for pair in variables.items()],
    }
    change = _cleaned(container)
    containers = None
    if change is not None:
        before = ((held.get("customContainerTemplate") or {}).get("containers") or [{}])[0]
        containers = [_merged(before, change)]
    return _cleaned(
        {
            "containers": containers,
            "ingress": {"targetPort": o.target_port},
            "registryCredentials": registry,
        }
    )


def _variable(name: str, value: str) -> dict[str, str]:
    prefix, _, secret = value.partition(":")
    return {"name": name, "secretRef": secret} if prefix == "secretref" else {"name": name, "value": value}


def _pairs(given: list[str] | None, flag: str) -> dict[str, str] | None:
    if given is None:
        return None
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise CommandFailed(f"{flag} {one}: write NAME=VALUE")
        found[name] = value
    return found


def _cleaned(document: dict[str, Any]) -> dict[str, Any] | None:
    """Without what is None, nor what is empty because of that."""
    found = {}
    for name, value in document.items():
        kept = _cleaned(value) if isinstance(value, dict) and name != "tags" else value
        if kept is not None:
            found[name] = kept
    return found or None


def _merged(document: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    result = dict(document)
    for name, value in change.items():
        before = result.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            value = _merged(before, value)
        result[name] = value
    return result


# -- printing --------------------------------------------------------------------------------------------


def _print(options: argparse.Namespace, found: Any) -> None:
    if options.query:
        found = (
            [_member(one, options.query) for one in found]
            if isinstance(found, list)
            else _member(found, options.query)
        )
    if options.output == "json":
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif options.output == "table" and not options.query:
        _table(found if isinstance(found, list) else [found])
    else:
        for one in found if isinstance(found, list) else [found]:
            print(one if isinstance(one, str) else json.dumps(one, ensure_ascii=False))


def _member(document: Any, path: str) -> Any:
    for step in path.removeprefix("[].").split("."):
        document = document.get(step) if isinstance(document, dict) else None
    return document


def _table(pools: list[dict[str, Any]]) -> None:
    print(f"{'NAME':<20} {'TYPE':<16} {'GROUP':<16} {'MAX':>4} {'STATE':<12} ENDPOINT")
    for pool in pools:
        properties = pool["properties"]
        sys.stdout.write(
            f"{pool['name']:<20} {properties['containerType']:<16} {pool['id'].split('/')[4]:<16} "
            f"{properties['scaleConfiguration']['maxConcurrentSessions']:>4} "
            f"{properties['provisioningState']:<12} {properties['poolManagementEndpoint']}\n"
        )
