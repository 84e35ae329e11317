"""Any version's spelling of a session pool is read into one model."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import ConfigurationError
from emulator.resources.defaults import default_pools, one_off_pool
from emulator.resources.document import parse_pool
from emulator.resources.model import ContainerType, LifecycleType, Network
from emulator.resources.problems import PoolDocumentError
from tests.unit.resources.documents import AZ_CREATE, EVERY_MEMBER, EXAMPLE_2026, built_in, custom


def failure(document: Any, **options: Any) -> PoolDocumentError:
    with pytest.raises(PoolDocumentError) as caught:
        parse_pool(document, where="pools.yaml", **options)
    assert str(caught.value).startswith("pools.yaml: ")
    return caught.value


def test_az_create_with_nulls_and_a_cooldown_as_string() -> None:
    pool = parse_pool(AZ_CREATE, where="PUT", name="fromaz", subscription="s", resource_group="rg")
    assert (pool.name, pool.subscription, pool.resource_group) == ("fromaz", "s", "rg")
    assert pool.container_type is ContainerType.PYTHON
    assert pool.max_sessions == 7
    assert pool.ready_sessions is None
    assert pool.lifecycle.type is LifecycleType.TIMED
    assert pool.lifecycle.cooldown == 300
    assert any("readySessionInstances is 5: is ignored on a built-in pool" in line for line in pool.warnings)


def test_az_create_is_accepted_where_ranges_are_enforced() -> None:
    assert parse_pool(AZ_CREATE, where="PUT", name="fromaz", enforce_ranges=True).max_sessions == 7


def test_published_example() -> None:
    pool = parse_pool(EXAMPLE_2026, where="PUT", name="testsessionpool", enforce_ranges=True)
    assert pool.lifecycle.type is LifecycleType.ON_CONTAINER_EXIT
    assert pool.lifecycle.cooldown is None
    assert pool.lifecycle.max_alive == 86400
    assert pool.ready_sessions == 100
    assert pool.egress
    assert pool.template is not None
    assert pool.template.memory == 512 * 1024**2
    assert pool.template.command == ("/bin/sh",)


def test_every_member_of_the_schema_is_known() -> None:
    pool = parse_pool(EVERY_MEMBER, where="file", enforce_ranges=True)
    assert pool.warnings == ()
    assert pool.resource_id == EVERY_MEMBER["id"]
    assert pool.network is Network.ENABLED
    assert pool.template is not None
    assert dict(pool.template.env) == {"PLAIN": "1", "HIDDEN": "pw-2"}
    probe = pool.template.probes[0]
    assert (probe.path, probe.port, probe.failure_threshold, probe.period) == ("/health", 6000, 4, 20.0)
    assert probe.headers == (("x-probe", "1"),)


def test_secrets_stay_out_of_repr() -> None:
    assert "pw-" not in repr(parse_pool(EVERY_MEMBER, where="file"))


def test_key_and_enum_spelling_without_regard_to_case() -> None:
    document = {
        "Name": "mypool",
        "PROPERTIES": {
            "containertype": "nodelts",
            "SESSIONNETWORKCONFIGURATION": {"Status": "egressenabled"},
            "mcpServerSettings": {},
        },
    }
    pool = parse_pool(document, where="file")
    assert pool.container_type is ContainerType.NODE
    assert pool.egress


def test_mcp_settings_in_both_spellings_seen() -> None:
    pool = parse_pool(built_in(mcpServerSettings={"isMCPServerEnabled": True}), where="file")
    assert pool.mcp_enabled
    assert not pool.mcp_key_disabled


def test_mcp_settings_of_a_custom_pool_are_dropped() -> None:
    pool = parse_pool(custom(mcpServerSettings={"isMcpServerEnabled": True}), where="f", enforce_ranges=True)
    assert not pool.mcp_enabled
    assert "mcpServerSettings" not in pool.document["properties"]


def test_the_same_key_in_two_spellings() -> None:
    error = failure({"name": "p", "properties": {"containerType": "Shell", "ContainerType": "Shell"}})
    assert "given twice" in str(error)


KNOWN_TYPES = {"pythonlts", "customcontainer", "nodelts", "gpubase", "csharplts", "shell"}


@given(st.text(string.ascii_letters, min_size=1).filter(lambda text: text.lower() not in KNOWN_TYPES))
def test_unknown_container_type_in_the_services_own_words(kind: str) -> None:
    error = failure(built_in(kind))
    assert error.message == (
        f"Invalid container type '{kind}'. Valid types are: "
        "[PythonLTS, CustomContainer, NodeLTS, GpuBase, CsharpLTS, Shell]"
    )
    assert error.target == "properties.containerType"


@pytest.mark.parametrize("kind", ["GpuBase", "CsharpLTS", "gpubase"])
def test_types_of_azure_that_cannot_run_here(kind: str) -> None:
    assert "Azure knows this type, the emulator cannot run it" in str(failure(built_in(kind)))


def test_missing_container_type() -> None:
    assert "PythonLTS, NodeLTS, Shell, CustomContainer" in str(failure({"name": "p", "properties": {}}))


def test_manual_pools_are_refused_with_azures_code() -> None:
    error = failure(built_in(poolManagementType="Manual"))
    assert error.code == "SessionPoolInvalidPoolManagementType"


@pytest.mark.parametrize(
    ("properties", "path"),
    [
        (
            {"scaleConfiguration": {"maxConcurrentSessions": "many"}},
            "scaleConfiguration.maxConcurrentSessions",
        ),
        ({"scaleConfiguration": {"maxConcurrentSessions": True}}, "scaleConfiguration.maxConcurrentSessions"),
        ({"scaleConfiguration": {"maxConcurrentSessions": 1.5}}, "scaleConfiguration.maxConcurrentSessions"),
        ({"scaleConfiguration": {"maxConcurrentSessions": 0}}, "scaleConfiguration.maxConcurrentSessions"),
        ({"scaleConfiguration": []}, "scaleConfiguration"),
        ({"sessionNetworkConfiguration": {"status": "open"}}, "sessionNetworkConfiguration.status"),
        ({"secrets": [{"value": "v"}]}, "secrets[0]"),
        ({"secrets": {"a": "b"}}, "secrets"),
        (
            {"dynamicPoolConfiguration": {"lifecycleConfiguration": {"cooldownPeriodInSeconds": 0}}},
            "dynamicPoolConfiguration.lifecycleConfiguration.cooldownPeriodInSeconds",
        ),
    ],
)
def test_wrong_values_are_named_by_path_and_value(properties: dict[str, Any], path: str) -> None:
    error = failure(built_in(**properties))
    assert error.target == f"properties.{path}"
    assert f"properties.{path}" in str(error)


def test_timed_refuses_a_longest_life_and_exit_refuses_a_cooldown() -> None:
    timed = {"lifecycleType": "Timed", "maxAlivePeriodInSeconds": 60}
    error = failure(custom(dynamicPoolConfiguration={"lifecycleConfiguration": timed}))
    assert (
        error.target == "properties.dynamicPoolConfiguration.lifecycleConfiguration.maxAlivePeriodInSeconds"
    )
    on_exit = {"lifecycleType": "OnContainerExit", "cooldownPeriodInSeconds": 300}
    error = failure(custom(dynamicPoolConfiguration={"lifecycleConfiguration": on_exit}))
    assert (
        error.target == "properties.dynamicPoolConfiguration.lifecycleConfiguration.cooldownPeriodInSeconds"
    )


def test_loose_ignores_the_period_of_the_other_lifecycle() -> None:
    timed = {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300, "maxAlivePeriodInSeconds": 60}
    pool = parse_pool(
        custom(dynamicPoolConfiguration={"lifecycleConfiguration": timed}), where="f", strict=False
    )
    assert pool.lifecycle.max_alive is None
    assert any("maxAlivePeriodInSeconds" in line for line in pool.warnings)


def test_on_container_exit_is_for_custom_pools() -> None:
    lifecycle = {"lifecycleConfiguration": {"lifecycleType": "OnContainerExit"}}
    assert "only CustomContainer pools" in str(failure(built_in(dynamicPoolConfiguration=lifecycle)))
    assert parse_pool(custom(dynamicPoolConfiguration=lifecycle), where="f").lifecycle.max_alive is None


def test_unknown_members_are_warned_about_with_a_guess() -> None:
    pool = parse_pool(built_in(scaleConfigurations={}), where="f")
    assert pool.warnings == (
        "f: properties.scaleConfigurations is not known and is ignored; did you mean scaleConfiguration?",
    )


def test_unknown_emulator_options_are_refused() -> None:
    error = failure(built_in() | {"x-emulator": {"imgae": "x"}})
    assert "did you mean image?" in str(error)


def test_emulator_block_of_a_built_in_pool() -> None:
    block = {"image": "my/python:1", "runtimeName": "runsc", "ready": 3, "cpu": 2, "memory": "2Gi"}
    pool = parse_pool(built_in() | {"x-emulator": block | {"env": {"A": "b"}}}, where="f")
    assert pool.emulator.image == "my/python:1"
    assert pool.emulator.runtime_name == "runsc"
    assert (pool.emulator.ready, pool.emulator.cpu, pool.emulator.memory) == (3, 2.0, 2 * 1024**3)
    assert pool.emulator.env == (("A", "b"),)


def test_emulator_block_is_laid_over_a_custom_template() -> None:
    block = {
        "image": "local/app",
        "memory": "64Mi",
        "env": {"A": "b"},
        "probes": [{"type": "Startup", "httpGet": {"port": 1}}],
    }
    template = parse_pool(custom() | {"x-emulator": block}, where="f").template
    assert template is not None
    assert (template.image, template.memory, template.env) == ("local/app", 64 * 1024**2, (("A", "b"),))
    assert template.probes[0].type == "Startup"


@pytest.mark.parametrize(
    ("kind", "block"),
    [(custom, {"ready": 1}), (built_in, {"probes": [{"type": "Startup", "httpGet": {"port": 1}}]})],
)
def test_emulator_options_of_the_other_kind_of_pool(kind: Any, block: dict[str, Any]) -> None:
    assert failure(kind() | {"x-emulator": block}).target == f"x-emulator.{next(iter(block))}"


def test_names_come_from_the_resource_id_and_explicit_ones_win() -> None:
    pool = parse_pool(EVERY_MEMBER | {"resourceGroup": "other"}, where="f")
    assert (pool.name, pool.resource_group) == ("everything", "other")
    assert parse_pool(EVERY_MEMBER, where="f", resource_group="third").resource_group == "third"


@pytest.mark.parametrize("name", ["", "a/b", "-a", "a_b", "a" * 64, "ä"])
def test_names_that_are_no_host_label(name: str) -> None:
    assert failure(built_in() | {"name": name}).target == "name"


@pytest.mark.parametrize("group", ["a/b", "a?b", "..", "a."])
def test_groups_that_are_no_path_segment(group: str) -> None:
    assert failure(built_in() | {"resourceGroup": group}).target == "resourceGroup"


def test_default_pools() -> None:
    pools = {pool.name: pool for pool in default_pools()}
    assert {name: str(pool.container_type) for name, pool in pools.items()} == {
        "python": "PythonLTS",
        "node": "NodeLTS",
        "shell": "Shell",
    }
    assert all(pool.warnings == () and not pool.egress for pool in pools.values())
    assert pools["python"].endpoint_path == (
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local/sessionPools/python"
    )


def test_one_off_pool() -> None:
    pool = one_off_pool("repo/app", 8080)
    assert pool.template is not None
    assert (pool.template.image, pool.template.target_port) == ("repo/app", 8080)
    with pytest.raises(ConfigurationError, match=r"--image: .*1 to 65535"):
        one_off_pool("repo/app", 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from([*EVERY_MEMBER["properties"], "mcpServerSettings"])


@given(st.dictionaries(MEMBERS, JSON), JSON)
def test_no_document_raises_anything_but_a_configuration_error(
    properties: dict[str, Any], block: Any
) -> None:
    document = {"name": "p", "properties": {**custom()["properties"], **properties}, "x-emulator": block}
    try:
        parse_pool(document, where="f")
    except PoolDocumentError as error:
        assert error.code
