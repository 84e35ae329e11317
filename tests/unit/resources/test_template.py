"""The container of a custom pool: image, port, memory, environment, secrets, probes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.resources.document import parse_pool
from emulator.resources.problems import PoolDocumentError
from emulator.resources.units import format_bytes, parse_bytes
from tests.unit.resources.documents import custom


def with_container(**members: Any) -> dict[str, Any]:
    document = custom()
    document["properties"]["customContainerTemplate"]["containers"][0] |= members
    return document


def failure(document: dict[str, Any]) -> PoolDocumentError:
    with pytest.raises(PoolDocumentError) as caught:
        parse_pool(document, where="f")
    return caught.value


CONTAINER = "properties.customContainerTemplate.containers[0]"


def test_template_is_required() -> None:
    assert failure(custom(customContainerTemplate=None)).target == "properties.customContainerTemplate"


def test_a_built_in_pool_has_none() -> None:
    document = custom(containerType="PythonLTS")
    pool = parse_pool(document, where="f")
    assert pool.template is None
    assert any("customContainerTemplate is ignored" in line for line in pool.warnings)


@pytest.mark.parametrize("containers", [[], [{"image": "a"}, {"image": "b"}]])
def test_exactly_one_container(containers: list[Any]) -> None:
    template = {"containers": containers, "ingress": {"targetPort": 1}}
    assert failure(custom(customContainerTemplate=template)).target == CONTAINER.removesuffix("[0]")


@pytest.mark.parametrize("image", ["", "a b", None])
def test_image_is_required(image: str | None) -> None:
    assert failure(with_container(image=image)).target == f"{CONTAINER}.image"


@pytest.mark.parametrize("port", [None, 0, 65536, "http"])
def test_target_port(port: Any) -> None:
    template = {"containers": [{"image": "a"}], "ingress": {"targetPort": port}}
    target = failure(custom(customContainerTemplate=template)).target
    assert target == "properties.customContainerTemplate.ingress.targetPort"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1Gi", 1024**3),
        ("0.5Gi", 512 * 1024**2),
        ("512Mi", 512 * 1024**2),
        (".25Gi", 256 * 1024**2),
        ("128MiB", 128 * 1024**2),
        ("10M", 10_000_000),
        ("1048576", 1024**2),
        ("2 gib", 2 * 1024**3),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "Gi", "1Xi", "-1Gi", "1,5Gi", "1Gi 2"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"0\.5Gi or 512Mi"):
        parse_bytes(text)


@given(st.integers(min_value=0, max_value=2**50))
def test_sizes_round_trip(size: int) -> None:
    assert parse_bytes(format_bytes(size)) == size


@pytest.mark.parametrize("memory", ["1Xi", "1Mi", "lots"])
def test_memory_is_named(memory: str) -> None:
    error = failure(with_container(resources={"memory": memory}))
    assert error.target == f"{CONTAINER}.resources.memory"
    assert memory in str(error)


def test_cpu_as_a_string_as_bicep_writes_it() -> None:
    template = parse_pool(with_container(resources={"cpu": "0.5", "memory": "1Gi"}), where="f").template
    assert template is not None
    assert template.cpu == 0.5


@pytest.mark.parametrize("cpu", [0, -1, "half"])
def test_cpu_is_named(cpu: Any) -> None:
    assert failure(with_container(resources={"cpu": cpu})).target == f"{CONTAINER}.resources.cpu"


def test_a_missing_secret_is_named() -> None:
    error = failure(with_container(env=[{"name": "A", "secretRef": "gone"}]))
    assert error.target == f"{CONTAINER}.env[0].secretRef"
    assert '"gone"' in str(error)


def test_a_missing_registry_password_is_named() -> None:
    document = custom()
    document["properties"]["customContainerTemplate"]["registryCredentials"] = {"passwordSecretRef": "gone"}
    assert (
        failure(document).target == "properties.customContainerTemplate.registryCredentials.passwordSecretRef"
    )


def test_value_and_secret_exclude_each_other() -> None:
    document = with_container(env=[{"name": "A", "value": "x", "secretRef": "s"}])
    document["properties"]["secrets"] = [{"name": "s", "value": "y"}]
    assert "keep one" in str(failure(document))


def test_a_number_as_value_asks_for_quotes_and_keeps_the_value_out_of_the_message() -> None:
    error = failure(with_container(env=[{"name": "PIN", "value": 4711}]))
    assert "quotes" in str(error)
    assert "4711" not in str(error)


def test_a_secret_without_value_counts_as_empty_with_a_warning() -> None:
    document = with_container(env=[{"name": "A", "secretRef": "s"}])
    document["properties"]["secrets"] = [{"name": "s"}]
    pool = parse_pool(document, where="f")
    assert pool.template is not None
    assert pool.template.env == (("A", ""),)
    assert any("has no value" in line for line in pool.warnings)


def test_previous_pool_supplies_what_get_does_not_answer() -> None:
    document = with_container(env=[{"name": "A", "secretRef": "s"}])
    document["properties"]["secrets"] = [{"name": "s", "value": "kept"}]
    before = parse_pool(document | {"x-emulator": {"memory": "64Mi"}}, where="f")
    document["properties"]["secrets"] = [{"name": "s"}]
    after = parse_pool(document, where="PUT", previous=before)
    assert after.template is not None
    assert after.template.env == (("A", "kept"),)
    assert after.emulator.memory == 64 * 1024**2
    assert after.warnings == ()


def probe(**members: Any) -> dict[str, Any]:
    return with_container(probes=[{"type": "Liveness", "httpGet": {"port": 80}, **members}])


def test_probe_defaults() -> None:
    template = parse_pool(probe(), where="f").template
    assert template is not None
    (one,) = template.probes
    assert (one.path, one.failure_threshold, one.period, one.timeout, one.success_threshold) == (
        "/",
        3,
        10,
        1,
        1,
    )


def test_tcp_probes_are_not_yet_supported() -> None:
    assert "not yet supported" in str(failure(probe(tcpSocket={"port": 80})))


@pytest.mark.parametrize(
    "members", [{"httpGet": None}, {"httpGet": {"path": "/"}}, {"type": None}, {"type": "Readiness"}]
)
def test_incomplete_probes(members: dict[str, Any]) -> None:
    assert (failure(probe(**members)).target or "").startswith(f"{CONTAINER}.probes[0].")


@pytest.mark.parametrize(
    ("member", "wrong", "outside"),
    [
        ("failureThreshold", 0, 11),
        ("initialDelaySeconds", -1, 61),
        ("periodSeconds", 0, 241),
        ("successThreshold", 0, 2),
        ("timeoutSeconds", 0, 241),
        ("terminationGracePeriodSeconds", -1, 3601),
    ],
)
def test_probe_ranges(member: str, wrong: int, outside: int) -> None:
    assert failure(probe(**{member: wrong})).target == f"{CONTAINER}.probes[0].{member}"
    (warning,) = parse_pool(probe(**{member: outside}), where="f").warnings
    assert f"{member} is {outside}" in warning
