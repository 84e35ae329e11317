"""The session images as a user tries them: one container, no emulator; and a language of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.docker.engine import LABEL, Lab, eventually
from tests.harness import Emulator, pool

pytestmark = pytest.mark.engine


@contextlib.contextmanager
def running(lab: Lab, image: str, *ports: int, **options: Any) -> Iterator[tuple[Any, dict[int, str]]]:
    """`docker run` with published ports; yields the container and a URL for each port."""
    instance = lab.new_instance()
    container = lab.engine.containers.run(
        image,
        detach=True,
        labels={LABEL: instance},
        ports={f"{port}/tcp": ("127.0.0.1", None) for port in ports},
        **options,
    )
    try:
        container.reload()
        published = container.attrs["NetworkSettings"]["Ports"]
        yield (
            container,
            {port: f"http://127.0.0.1:{published[f'{port}/tcp'][0]['HostPort']}" for port in ports},
        )
    finally:
        container.remove(force=True, v=True)


def healthy(url: str) -> Any:
    try:
        answer = requests.get(url + "/health", timeout=10)
    except requests.ConnectionError:
        return None
    return answer if answer.status_code == 200 else None


@pytest.mark.parametrize(
    ("target", "code", "stdout"),
    [("python", "print(6*7)", "42\n"), ("node", "console.log(6*7)", "42\n"), ("base", "print('b')", "b\n")],
)
def test_an_image_alone_answers(lab: Lab, target: str, code: str, stdout: str) -> None:
    with running(lab, f"dynamic-sessions/{target}", 6000) as (container, urls):
        health = eventually(lambda: healthy(urls[6000]), "the image is healthy")
        assert health.json() == {"message": "healthy"}
        assert health.headers["content-type"].startswith("application/json")
        # The identifier selects nothing inside a container that somebody runs alone.
        for identifier in ("session-1", "session-2"):
            answer = requests.post(
                f"{urls[6000]}/executions?api-version=2024-10-02-preview&identifier={identifier}",
                json={"code": code},
                timeout=60,
            )
            assert answer.status_code == 202, answer.text
            assert answer.json()["result"]["stdout"] == stdout
            assert answer.json()["sessionId"] == identifier
        log = container.logs().decode()
        assert "read from environment variable 'CODE_INTERPRETER_KERNEL_NAME') kernel is installed" in log


# The guide's sample, key for key; only the level is the one that also logs the health checks.
SAMPLE = """\
kind: CodeInterpreterConfig # [Required] Must be 'CodeInterpreterConfig'
apiVersion: v1 # [Required] Must be 'v1' as of now.
metadata:
  name: code-interpreter # [Required] Must be 'code-interpreter'
spec:
  logging:
    logLevel: 0 # [Optional] Levels: 0-debug, 1-info, 2-warn, 3-error (Default: 0, Recommended: 1)
    useISO8601DateFormat: true # [Optional] true/false (Default: true, Recommended: true)
  kernel:
    name: javascript # [Required] Matches the kernel name set in Dockerfile
    port: 6000 # [Required] Should match 'properties.ingress.targetPort'
    isAsynchronousExecutionSupported: true # [Optional] true/false (Default: false)
  healthProbe:
    endpoint: /health # [Optional] Endpoint for health checks
    successfulHealthCheckThresholdSeconds: 120 # [Optional] Success threshold in seconds
    initialDelaySeconds: 0    # [Optional] Initial delay for liveness checks
    periodSeconds: 15           # [Optional] Interval between checks
    timeoutSeconds: 15          # [Optional] Timeout for each check
    failureThreshold: 3        # [Optional] Failures before marking container unhealthy
    code: 1+1 # [Required] Sample health check code based on the Jupyter kernel
  codeExecution:
    enableAutoBase64Decoding: false # [Optional] Decodes base-64 encoded strings automatically
    defaultTimeoutSeconds: 120 # [Optional] Default execution timeout
    synchronousExecution:
      preCodeInjectionSnippet: console.time("Execution Time"); # [Optional] Pre-execution code snippet
      postCodeInjectionSnippet: console.timeEnd("Execution Time"); # [Optional] Post-execution code snippet
    asynchronousExecution:
      preCodeInjectionSnippet: $$.async() # [Optional] Pre-execution snippet for async code
      postCodeInjectionSnippet: setTimeout($$.done, 120000) # [Optional] Post-execution snippet
  fileOperation:
    maxUploadFileSizeLimitInMBs: 250 # [Optional] Max upload file size in MB
    dataDirectoryPath: /mnt/data # [Optional] Path for data directory
"""


def test_the_guides_sample_configuration_as_it_is(lab: Lab, javascript_image: str, tmp_path: Path) -> None:
    file = tmp_path / "codeInterpreterConf.yaml"
    file.write_text(SAMPLE, encoding="utf-8")
    mounted = {str(file): {"bind": "/app/codeInterpreterConf.yaml", "mode": "ro"}}
    with running(lab, javascript_image, 6000, volumes=mounted) as (container, urls):
        eventually(lambda: healthy(urls[6000]), "the tutorial's image is healthy")
        query = "api-version=2024-10-02-preview&identifier=test"
        answer = requests.post(
            f"{urls[6000]}/executions?{query}", json={"code": "console.log(1+3)"}, timeout=60
        )
        stdout = answer.json()["result"]["stdout"]
        assert stdout.startswith("4\nExecution Time: "), answer.text
        assert "Healthcheck execution time: " in container.logs().decode()


def test_stopping_is_quick_and_clean(lab: Lab) -> None:
    """`docker stop` without an init reaches the proxy: it ends by itself instead of being killed."""
    with running(lab, "dynamic-sessions/base", 6000) as (container, urls):
        eventually(lambda: healthy(urls[6000]), "the image is healthy")
        container.stop(timeout=30)
        container.reload()
        assert container.attrs["State"]["ExitCode"] in (0, 143), container.logs().decode()


def test_a_third_language_needs_only_its_dockerfile(lab: Lab, tmp_path: Path) -> None:
    image = lab.build("bash")
    template = {"containers": [{"name": "main", "image": image}], "ingress": {"targetPort": 6000}}
    pools = [pool("bash", "CustomContainer", template=template)]
    with lab.emulator(tmp_path, pools=pools) as emulator:
        assert ran(emulator, "echo $((6*7)); export KEPT=yes") == "42\n"
        assert ran(emulator, "echo $KEPT; cd /mnt/data; echo hi > note.txt") == "yes\n"
        where = "api-version=2024-10-02-preview&identifier=bash-user"
        content = emulator.send("GET", "bash", f"/files/note.txt/content?{where}")
        assert content.content == b"hi\n"
        assert ran(emulator, "echo to-stderr >&2; false") != ""


def ran(emulator: Emulator, code: str) -> str:
    query = "api-version=2024-10-02-preview&identifier=bash-user"
    answer = emulator.send("POST", "bash", f"/executions?{query}", json={"code": code})
    assert answer.status_code == 202, answer.text
    found = answer.json()
    return str(found["result"]["stdout"] + found["result"]["stderr"])
