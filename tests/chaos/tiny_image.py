"""An image of two megabytes: BusyBox with a web server whose scripts count, exit, eat memory, fall ill."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path
from typing import Any

from tests.harness import pool

TINY = "chaos/tiny:1"
PORT = 8080

_SERVE = """\
#!/bin/sh
echo started
sleep "${LISTEN_AFTER:-0}"
httpd -p 8080 -h /www
while usleep 50000; do
  [ -e /tmp/exit ] && exit "$(cat /tmp/exit)"
  [ -e /tmp/eat ] && exec dd if=/dev/zero of=/dev/null bs=1000M count=1
done
"""

_COUNT = "/dev/shm/count"
_HEAD = "printf 'Content-Type: text/plain\\r\\n\\r\\n'"
_SCRIPTS = {
    # The counter is in memory, as a kernel's state is: gone when the container is started again.
    "count": f"n=$(( $(cat {_COUNT} 2>/dev/null || echo 0) + 1 )); echo $n >{_COUNT}; {_HEAD}; echo $n",
    "version": f"{_HEAD}; cat /version",
    "exit": 'echo "${QUERY_STRING##*code=}" >/tmp/exit; sleep 60',
    "eat": "touch /tmp/eat; sleep 60",
    "hang": "sleep 60",
    "sick": f"touch /tmp/sick; {_HEAD}; echo sick",
}

_HEALTH = """\
#!/bin/sh
seen=$(cat /tmp/seen 2>/dev/null || echo 0)
echo $((seen + 1)) >/tmp/seen
if [ -e /tmp/sick ] || [ "$seen" -lt "${PROBES_TO_FAIL:-0}" ]; then
  printf 'Status: 503 Ill\\r\\n'
fi
printf 'Content-Type: text/plain\\r\\n\\r\\n'
echo "asked $seen times before"
"""


def import_tiny(client: Any, name: str = TINY, *, version: str = "1") -> str:
    """Put the image on an engine under `name`; another `version` is another image. Returns its id."""
    repository, tag = name.rsplit(":", 1)
    changes = ['CMD ["/bin/serve"]', "ENV PATH=/bin"]
    client.api.import_image_from_data(_archive(version), repository=repository, tag=tag, changes=changes)
    return str(client.images.get(name).id)


def _archive(version: str) -> bytes:
    busybox = Path(shutil.which("busybox") or "/bin/busybox").read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _add(archive, "bin/busybox", busybox)
        for applet in ("sh", "httpd", "cat", "echo", "sleep", "usleep", "dd", "touch", "printf"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        _add(archive, "bin/serve", _SERVE.encode())
        _add(archive, "version", version.encode())
        for name, script in _SCRIPTS.items():
            _add(archive, f"www/cgi-bin/{name}", f"#!/bin/sh\n{script}\n".encode())
        _add(archive, "www/cgi-bin/health", _HEALTH.encode())
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(folder)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o755
    archive.addfile(member, io.BytesIO(content))


def tiny_pool(name: str = "tiny", image: str = TINY, **options: Any) -> dict[str, Any]:
    """A CustomContainer pool of the image; `container` adds to the container's members (probes, env)."""
    container = {
        "image": image,
        "name": "main",
        "resources": {"cpu": 0.5, "memory": "64Mi"},
        **options.pop("container", {}),
    }
    template = {"containers": [container], "ingress": {"targetPort": PORT}}
    return pool(name, "CustomContainer", template=template, **options)
