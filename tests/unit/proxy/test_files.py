"""The file routes: dialects of upload, names, ranges, and hostile trees."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.proxy.harness import NEW, OLD, Answer, Proxy

B = "XboundaryX"


def part(
    content: bytes, disposition: str = 'form-data; name="file"; filename="a.txt"', extra: str = ""
) -> bytes:
    head = f"--{B}\r\nContent-Disposition: {disposition}\r\n{extra}\r\n"
    return head.encode() + content + f"\r\n--{B}--\r\n".encode()


def upload(
    proxy: Proxy,
    body: bytes,
    path: str | None = None,
    content_type: str = f"multipart/form-data; boundary={B}",
    version: str = NEW,
    route: str = "/files",
) -> Answer:
    query = f"?api-version={version}&identifier=test" + (
        "" if path is None else f"&path={quote(path, safe='/')}"
    )
    return proxy.call("POST", route + query, body, {"Content-Type": content_type})


def get(proxy: Proxy, name: str, query: str = "", headers: dict[str, str] | None = None) -> Answer:
    return proxy.call("GET", f"/files/{name}?api-version={NEW}&identifier=test{query}", headers=headers)


def names(proxy: Proxy, query: str = "") -> list[str]:
    listing = proxy.call("GET", f"/files?api-version={NEW}{query}").json["value"]
    return sorted(f"{entry['directory']}/{entry['name']}".lstrip("/") for entry in listing)


def stored(proxy: Proxy) -> list[str]:
    """What is really in the directory, hidden or not."""
    return sorted(path.name for path in proxy.data.iterdir())


@pytest.fixture(autouse=True)
def empty(proxy: Proxy) -> None:
    for path in sorted(proxy.data.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()


def test_upload_describe_download_delete(proxy: Proxy) -> None:
    answer = upload(proxy, part(b"alert(1)\n", 'form-data; name="file"; filename="s.js"'))
    assert answer.status == 200
    body = answer.json
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", body.pop("lastModifiedAt"))
    assert body == {
        "name": "s.js",
        "sizeInBytes": 9,
        "contentType": "text/javascript; charset=utf-8",
        "type": "File",
    }
    assert get(proxy, "s.js").json["name"] == "s.js"
    content = get(proxy, "s.js/content")
    assert (content.status, content.raw) == (200, b"alert(1)\n")
    assert content.headers["content-type"] == "text/javascript; charset=utf-8"
    assert content.headers["accept-ranges"] == "bytes" and content.headers["content-length"] == "9"
    assert content.headers["last-modified"].endswith("GMT")
    assert proxy.value("open('s.js').read()") == "alert(1)\n"
    path = f"/files/s.js?api-version={NEW}"
    assert proxy.call("DELETE", path).status == 204
    missing = proxy.call("DELETE", path)
    assert (missing.status, missing.json["error"]["code"]) == (404, "DeleteFileError")
    for name in ("s.js", "s.js/content"):
        gone = get(proxy, name)
        assert (gone.status, gone.headers["x-ms-error-code"]) == (404, "FileNotFound")


DIALECTS: dict[str, tuple[str, str]] = {
    "quoted": ('form-data; name="file"; filename="in put.txt"', "in put.txt"),
    "bare": ("form-data; name=file; filename=input.txt", "input.txt"),
    ".NET": ("form-data; name=file; filename=input.txt; filename*=utf-8''in%20put.txt", "in put.txt"),
    "raw UTF-8": ('form-data; name="file"; filename="naïve 文.txt"', "naïve 文.txt"),
    "percent-encoded": ('form-data; name="file"; filename="in%20put%E6%96%87.txt"', "in put文.txt"),
    "a per cent sign": ('form-data; name="file"; filename="100% sure.txt"', "100% sure.txt"),
    "absolute": ('form-data; name="file"; filename="/mnt/data/x.csv"', "x.csv"),
    "another field name": ('form-data; name="upload"; filename="u.txt"', "u.txt"),
    "filename first": ('form-data; filename="first.txt"; name="file"', "first.txt"),
    "semicolon inside": ('form-data; name="file"; filename="a;b=c.txt"', "a;b=c.txt"),
    "escaped quote": ('form-data; name="file"; filename="a\\"b.txt"', 'a"b.txt'),
    "punctuation": ('form-data; name="file"; filename="-_.@$&=,#%^().txt"', "-_.@$&=,#%^().txt"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects_of_the_file_name(proxy: Proxy, dialect: str) -> None:
    disposition, name = DIALECTS[dialect]
    answer = upload(proxy, part(b"x", disposition))
    assert answer.status == 200 and answer.json["name"] == name
    assert stored(proxy) == [name]
    assert get(proxy, quote(name, safe="") + "/content").raw == b"x"


@pytest.mark.parametrize(
    "content_type",
    [
        f"multipart/form-data; boundary={B}",
        f'multipart/form-data; boundary="{B}"',
        f"Multipart/Form-Data; charset=utf-8; boundary={B}",
        "application/json",  # one widely used client says so
        "",
    ],
)
def test_dialects_of_the_boundary(proxy: Proxy, content_type: str) -> None:
    assert upload(proxy, part(b"x"), content_type=content_type).status == 200


def test_dialects_of_the_part(proxy: Proxy) -> None:
    extra = "Content-Type: application/json\r\n"
    assert upload(proxy, part(b"{}", extra=extra)).status == 200
    type_first = (
        f'--{B}\r\nContent-Type: x/y\r\ncontent-disposition: form-data; name="file"; filename="t"\r\n\r\nq'
    )
    assert upload(proxy, type_first.encode() + f"\r\n--{B}--\r\n".encode()).json["name"] == "t"
    field_first = f'--{B}\r\nContent-Disposition: form-data; name="path"\r\n\r\nignored\r\n'.encode()
    assert upload(proxy, field_first + part(b"second")).json["sizeInBytes"] == 6
    almost = b"a\r\n--" + B[:-1].encode() + b"\r\n-" * 1000
    assert upload(proxy, part(almost)).status == 200
    assert get(proxy, "a.txt/content").raw == almost


def test_chunked_upload(proxy: Proxy) -> None:
    body = part(b"0123456789" * 5_000)

    def pieces() -> Any:
        for start in range(0, len(body), 777):
            yield body[start : start + 777]

    answer = proxy.call(
        "POST",
        f"/files?api-version={NEW}",
        pieces(),
        {"Content-Type": f"multipart/form-data; boundary={B}"},
    )
    assert answer.status == 200 and answer.json["sizeInBytes"] == 50_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"just text",
        b"{}",
        f"--{B}--\r\n".encode(),
        part(b"x", "form-data; name=file"),
        part(b"x")[:-10],
        part(b"x")[:60],
        b"--" + b"b" * 5_000 + b"\r\n",
    ],
)
def test_broken_bodies(proxy: Proxy, body: bytes) -> None:
    for content_type in (f"multipart/form-data; boundary={B}", "application/json"):
        assert upload(proxy, body, content_type=content_type).status == 400
    assert stored(proxy) == []


def test_paths_and_nested_names(proxy: Proxy) -> None:
    for path in ("", "/", "/mnt/data", "/mnt/data/", str(proxy.data)):
        assert upload(proxy, part(b"root"), path).status == 200
    assert upload(proxy, part(b"deep"), "one/two").status == 200
    assert upload(proxy, part(b"deep2"), "/mnt/data/one").status == 200
    assert upload(proxy, part(b"x", 'form-data; name=file; filename="n/e.txt"')).status == 200
    assert names(proxy) == ["a.txt", "n", "one"]
    assert names(proxy, "&path=one") == ["a.txt", "two"]
    everything = ["a.txt", "n", "n/e.txt", "one", "one/a.txt", "one/two", "one/two/a.txt"]
    assert names(proxy, "&recursive=true") == everything
    assert names(proxy, "&path=/mnt/data/one&recursive=true") == ["a.txt", "two", "two/a.txt"]
    for name, query in (
        ("one/two/a.txt/content", ""),
        ("one%2Ftwo%2Fa.txt/content", ""),
        ("a.txt/content", "&path=one/two"),
        ("two/a.txt/content", "&path=/mnt/data/one"),
        ("%2Fmnt%2Fdata%2Fone%2Ftwo%2Fa.txt/content", ""),
    ):
        assert get(proxy, name, query).raw == b"deep"
    listing = proxy.call("GET", f"/files?api-version={NEW}").json["value"]
    directory = next(entry for entry in listing if entry["name"] == "one")
    assert (directory["type"], directory["contentType"]) == ("Directory", "application/octet-stream")
    assert get(proxy, "one").json["type"] == "Directory"
    assert get(proxy, "one/content").status == 404
    assert proxy.call("DELETE", f"/files/one?api-version={NEW}").status == 404
    assert proxy.call("GET", f"/files?api-version={NEW}&path=nowhere").status == 404


def test_a_file_called_content(proxy: Proxy) -> None:
    upload(proxy, part(b"c", "form-data; name=file; filename=content"), "dir")
    assert get(proxy, "dir%2Fcontent").json["name"] == "content"
    assert get(proxy, "dir/content/content").raw == b"c"


@pytest.mark.parametrize(
    "name",
    ["..", ".", "%2E%2E", "a%2F..%2Fb", "..%2Fx", "%2Fetc%2Fpasswd", "x%00y", "a" * 300, "%2F..%2Fetc"],
)
def test_hostile_names(proxy: Proxy, name: str) -> None:
    answer = get(proxy, f"{name}/content")
    assert (answer.status, answer.json["error"]["code"]) == (400, "FileNameInvalid")


@pytest.mark.parametrize("path", ["..", "a/../..", "/etc", "/mnt", "/mnt/database", "a\0b", "./x", "b" * 300])
def test_hostile_paths(proxy: Proxy, path: str) -> None:
    (proxy.data / "a").mkdir()
    answer = upload(proxy, part(b"x"), path)
    assert (answer.status, answer.json["error"]["code"]) == (400, "FilePathInvalid")
    listing = proxy.call("GET", f"/files?api-version={NEW}&path={quote(path)}")
    assert (listing.status, listing.json["error"]["code"]) == (400, "FilePathInvalid")
    assert stored(proxy) == ["a"]


@pytest.mark.parametrize(
    "name", ["..", "/etc/x", "../x", "a/../../x", "x\\u0000y", ".interpreter-proxy-upload-1"]
)
def test_hostile_upload_names(proxy: Proxy, name: str) -> None:
    name = name.replace("\\u0000", "\0")
    answer = upload(proxy, part(b"x", f'form-data; name="file"; filename="{name}"'))
    assert answer.status == 400
    assert stored(proxy) == []


def test_links_lead_nowhere(proxy: Proxy, folder: Path) -> None:
    secret = folder / "secret.txt"
    secret.write_text("secret")
    (proxy.data / "file").symlink_to(secret)
    (proxy.data / "dir").symlink_to(folder)
    (proxy.data / "loop").symlink_to("loop")
    (proxy.data / "up").symlink_to("..")
    assert names(proxy) == names(proxy, "&recursive=true") == []
    for name in (
        "file",
        "file/content",
        "dir%2Fsecret.txt/content",
        "loop/content",
        "up%2Fconf.yaml/content",
    ):
        assert get(proxy, name).status == 404
    assert proxy.call("GET", f"/files?api-version={NEW}&path=dir").status == 404
    assert upload(proxy, part(b"x", "form-data; name=file; filename=secret.txt"), "dir").status == 400
    # An upload replaces a link itself, never what it points to; a delete removes the link itself.
    assert upload(proxy, part(b"mine", "form-data; name=file; filename=file")).status == 200
    assert secret.read_text() == "secret" and not (proxy.data / "file").is_symlink()
    assert proxy.call("DELETE", f"/files/dir?api-version={NEW}").status == 204
    assert secret.exists() and not (proxy.data / "dir").is_symlink()


def test_pipes_sockets_and_devices_are_not_there(proxy: Proxy) -> None:
    os.mkfifo(proxy.data / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(proxy.data / "socket"))
    listener.close()
    special = ["pipe", "socket"]
    if os.geteuid() == 0:
        try:
            os.mknod(proxy.data / "null", 0o20666, os.makedev(1, 3))
            special.append("null")
        except PermissionError:
            pass  # root without the capability: there is no such device to ask for then
    assert names(proxy) == []
    for name in special:
        assert get(proxy, name).status == get(proxy, f"{name}/content").status == 404
    assert upload(proxy, part(b"x", "form-data; name=file; filename=pipe")).status == 200
    assert get(proxy, "pipe/content").raw == b"x"


def test_an_upload_cannot_replace_a_directory(proxy: Proxy) -> None:
    (proxy.data / "d").mkdir()
    assert upload(proxy, part(b"x", "form-data; name=file; filename=d")).status == 400
    assert stored(proxy) == ["d"]


def test_overwriting(proxy: Proxy) -> None:
    upload(proxy, part(b"long old content"))
    upload(proxy, part(b"new"))
    assert get(proxy, "a.txt/content").raw == b"new"
    assert names(proxy) == ["a.txt"]


def test_a_reader_of_the_old_file_keeps_it(proxy: Proxy) -> None:
    upload(proxy, part(b"old"))
    proxy.run("f = open('a.txt')")
    upload(proxy, part(b"new"))
    assert proxy.value("f.read(), open('a.txt').read()") == "('old', 'new')"


@pytest.mark.parametrize(
    ("asked", "status", "content", "shown"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-500", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=5-2", 416, b"", "bytes */10"),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
    ],
)
def test_ranges(proxy: Proxy, asked: str, status: int, content: bytes, shown: str | None) -> None:
    upload(proxy, part(b"0123456789"))
    answer = get(proxy, "a.txt/content", headers={"Range": asked})
    assert (answer.status, answer.raw, answer.headers.get("content-range")) == (status, content, shown)


def test_a_range_of_an_older_file_is_the_whole_new_one(proxy: Proxy) -> None:
    upload(proxy, part(b"0123456789"))
    when = get(proxy, "a.txt/content").headers["last-modified"]
    same = get(proxy, "a.txt/content", headers={"Range": "bytes=0-0", "If-Range": when})
    other = get(
        proxy, "a.txt/content", headers={"Range": "bytes=0-0", "If-Range": "Mon, 01 Jan 2024 00:00:00 GMT"}
    )
    assert (same.status, other.status) == (206, 200)


def test_empty_files(proxy: Proxy) -> None:
    assert upload(proxy, part(b"")).json["sizeInBytes"] == 0
    answer = get(proxy, "a.txt/content")
    assert (answer.status, answer.raw) == (200, b"")


def test_the_size_limit(proxy: Proxy) -> None:
    limit = 2 * 2**20
    assert upload(proxy, part(b"x" * limit)).status == 200
    over = upload(proxy, part(b"y" * (limit + 1)))
    assert (over.status, over.json["error"]["code"]) == (413, "FileTooLarge")
    assert get(proxy, "a.txt/content").raw == b"x" * limit
    assert stored(proxy) == ["a.txt"]


def test_a_declared_size_beyond_the_limit_is_refused_unread(proxy: Proxy) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(proxy.socket)
        head = f"POST /files?api-version={NEW} HTTP/1.1\r\nHost: x\r\nContent-Length: {2**40}\r\n"
        connection.sendall((head + f"Content-Type: multipart/form-data; boundary={B}\r\n\r\n--").encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_an_undeclared_size_is_counted_on_the_way(proxy: Proxy) -> None:
    head = part(b"")[: -len(f"\r\n--{B}--\r\n")]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(proxy.socket)
        connection.sendall(
            f"POST /files?api-version={NEW} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            f"Content-Type: multipart/form-data; boundary={B}\r\n\r\n".encode()
        )
        connection.sendall(b"%x\r\n%s\r\n" % (len(head), head))
        answer = b""
        block = b"100000\r\n" + b"z" * 0x100000 + b"\r\n"
        for _ in range(50):
            try:
                connection.sendall(block)
            except OSError:
                break
        answer = connection.recv(100)
        assert answer.startswith(b"HTTP/1.1 413 ")
    assert stored(proxy) == []


def test_a_client_that_hangs_up_half_way_leaves_nothing(proxy: Proxy) -> None:
    upload(proxy, part(b"old"))
    body = part(b"n" * 1_900_000)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(proxy.socket)
        head = f"POST /files?api-version={NEW} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        connection.sendall((head + f"Content-Type: multipart/form-data; boundary={B}\r\n\r\n").encode())
        connection.sendall(body[:1_500_000])
        end = time.monotonic() + 10
        while len(stored(proxy)) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        assert len(stored(proxy)) == 2  # the hidden half
        assert names(proxy) == ["a.txt"]
    end = time.monotonic() + 10
    while len(stored(proxy)) > 1 and time.monotonic() < end:
        time.sleep(0.01)
    assert stored(proxy) == ["a.txt"]
    assert get(proxy, "a.txt/content").raw == b"old"


def test_memory_does_not_grow_with_downloads(proxy: Proxy) -> None:
    with (proxy.data / "big").open("wb") as file:
        file.truncate(200 * 2**20)
    before = _resident(proxy)
    answer = get(proxy, "big/content", headers={"Range": "bytes=0-104857599"})
    assert len(answer.raw) == 100 * 2**20
    assert _resident(proxy) - before < 20_000


def _resident(proxy: Proxy) -> int:
    status = Path(f"/proc/{proxy.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def test_the_old_family(proxy: Proxy) -> None:
    for route in ("/upload", "/files/upload"):
        answer = upload(proxy, part(b"hello"), version=OLD, route=route)
        assert answer.status == 200
        (entry,) = answer.json
        assert entry.pop("last_modified_time").endswith("Z")
        assert entry == {
            "name": "a.txt",
            "type": "file",
            "filename": "a.txt",
            "size": 5,
            "mime_type": "text/plain; charset=utf-8",
        }
    assert [entry["filename"] for entry in proxy.call("GET", f"/files?api-version={OLD}").json] == ["a.txt"]
    described = proxy.call("GET", f"/files/a.txt?api-version={OLD}").json
    properties = described["value"][0]["properties"]
    assert (described["value"][0]["$id"], properties["filename"], properties["size"]) == ("", "a.txt", 5)
    for query in (f"?api-version={OLD}", ""):
        assert proxy.call("GET", f"/files/content/a.txt{query}").raw == b"hello"
    deleted = proxy.call("DELETE", f"/files/a.txt?api-version={OLD}")
    assert (deleted.status, deleted.json) == (200, {"message": "file deleted successfully"})
