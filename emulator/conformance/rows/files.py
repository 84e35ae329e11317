"""Files of the flat family: upload, list, show, download, delete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from emulator.conformance.languages import Language
from emulator.conformance.match import ANY, COUNT, MOMENT, TEXT, Having, Holds, containing, matching
from emulator.conformance.row import (
    FLAT,
    FRESH,
    NEWEST,
    Exchange,
    Expect,
    Provenance,
    Row,
    Send,
    Stream,
    error,
    row,
)
from emulator.conformance.rows.parts import LABEL, form, large, part

RECORDED, DOCUMENTED, OURS = Provenance.RECORDED, Provenance.DOCUMENTED, Provenance.OURS
LIMIT = 128 * 1024 * 1024
NAME = "f-«row».txt"


def upload(name: str = NAME, content: bytes = b"testing", *, version: str = NEWEST, **options: Any) -> Send:
    return Send(
        "POST",
        "/files",
        version,
        body=form(part(content, name=name)),
        headers={"Content-Type": LABEL},
        **options,
    )


def get(path: str, **options: Any) -> Send:
    return Send("GET", path, **options)


def described(name: str = NAME, size: int = 7, version: str = NEWEST, **more: Any) -> dict[str, Any]:
    """An entry of a listing."""
    return {
        "name": name,
        "type": "file",
        "contentType": "text/plain; charset=utf-8",
        "sizeInBytes": size,
        "lastModifiedAt": MOMENT,
        **({"directory": ""} if version == NEWEST else {}),
        **more,
    }


def listing(*entries: Any) -> Expect:
    return Expect(200, {"value": list(entries)})


STORED = Expect(200, ANY)


def rows(language: Language) -> Iterator[Row]:
    """Rows of code pools; see `common` for those of every built-in pool."""
    yield from common()
    yield row(
        "files.written-by-code",
        "a file that code wrote is listed and downloaded",
        DOCUMENTED,
        Exchange(
            Send("POST", "/executions", json={"code": language.write.replace("NAME", NAME)}), Expect(200, ANY)
        ),
        Exchange(
            get("/files"),
            Expect(200, {"value": Having(described(size=11))}),
        ),
        Exchange(get(f"/files/{NAME}/content"), Expect(200, raw=b"made inside")),
        Exchange(Send("DELETE", f"/files/{NAME}"), Expect(204, raw=b"")),
    )
    inside = Send(
        "POST", "/files", query={"path": "d-«row»"}, body=form(part()), headers={"Content-Type": LABEL}
    )
    folder = {"path": "d-«row»"}
    yield row(
        "files.path",
        "`path` names a directory, which is made; the root does not list what is in it",
        DOCUMENTED,
        Exchange(inside, STORED),
        Exchange(get("/files", query=folder), listing(described())),
        Exchange(get(f"/files/{NAME}", query=folder), Expect(200, Holds({"name": NAME}))),
        Exchange(get(f"/files/{NAME}/content", query=folder), Expect(200, raw=b"testing")),
        Exchange(get(f"/files/{NAME}"), error(404, "FileNotFound")),
        Exchange(Send("DELETE", f"/files/{NAME}", query=folder), Expect(204, raw=b"")),
        Exchange(get("/files", query=folder), listing()),
    )
    for version in FLAT:
        yield row(
            f"files.directory.{version}",
            "a directory is an entry of its parent's listing",
            DOCUMENTED,
            Exchange(inside, STORED),
            Exchange(
                get("/files", version=version),
                Expect(
                    200,
                    Holds(
                        {
                            "value": Having(
                                Holds({"name": "d-«row»", "type": "directory", "sizeInBytes": COUNT})
                            )
                        }
                    ),
                ),
            ),
        )
    for spelled in ("d-«row»", "/mnt/data/d-«row»", "d-«row»/"):
        yield row(
            f"files.path.spelled.{spelled.replace('«row»', '')}",
            "a path relative to the root, or absolute",
            OURS,
            Exchange(inside, STORED),
            Exchange(get("/files", query={"path": spelled}), listing(described())),
        )
    deep = Send(
        "POST", "/files", query={"path": "d-«row»/e/f"}, body=form(part()), headers={"Content-Type": LABEL}
    )
    yield row(
        "files.recursive",
        "recursive lists below, each entry with the directory it is in",
        DOCUMENTED,
        Exchange(deep, STORED),
        Exchange(
            get("/files", query={"path": "d-«row»", "recursive": "true"}),
            Expect(
                200,
                {
                    "value": [
                        described("e", COUNT, type="directory", contentType="application/octet-stream"),  # type: ignore[arg-type]
                        described(
                            "f",
                            COUNT,  # type: ignore[arg-type]
                            type="directory",
                            contentType="application/octet-stream",
                            directory="e",
                        ),
                        described(directory="e/f"),
                    ]
                },
            ),
        ),
        Exchange(
            get("/files", query={"path": "d-«row»", "recursive": "false"}),
            listing(Holds({"name": "e", "type": "directory"})),
        ),
    )
    for how, path in {
        "segments": f"/files/d-«row»/e/f/{NAME}",
        "encoded": f"/files/d-«row»%2Fe%2Ff%2F{NAME}",
        "absolute": f"/files/%2Fmnt%2Fdata%2Fd-«row»%2Fe%2Ff%2F{NAME}",
    }.items():
        yield row(
            f"files.nested.{how}",
            "a nested name, in several segments or as %2F",
            OURS,
            Exchange(deep, STORED),
            Exchange(get(path), Expect(200, Holds({"sizeInBytes": 7}))),
            Exchange(get(f"{path}/content"), Expect(200, raw=b"testing")),
            Exchange(Send("DELETE", path), Expect(204, raw=b"")),
            Exchange(get(f"{path}/content"), error(404, "FileNotFound")),
        )
    yield row(
        "files.path.missing",
        "a directory that is not there",
        OURS,
        Exchange(get("/files", query={"path": "none-«row»"}), error(404, "FileNotFound")),
    )


def common() -> Iterator[Row]:
    """What holds on every built-in pool, Shell included."""
    yield from _routes()
    yield from _names()
    yield from _downloads()
    yield from _sizes()


def _routes() -> Iterator[Row]:
    for version in FLAT:
        first = {"$id": "1"} if version == FLAT[0] else {}
        second = {"$id": "2"} if version == FLAT[0] else {}
        newest = {"directory": "."}
        stored = described(version=version)
        shown: dict[str, Any] = {"name": NAME, "sizeInBytes": 7, "lastModifiedAt": MOMENT}
        if version == FLAT[0]:
            stored |= {"type": "", "contentType": ""}
        else:
            stored |= newest
            shown = described(version=version)
        proof = RECORDED if version == FLAT[0] else DOCUMENTED
        yield row(
            f"files.upload.{version}",
            "upload answers one object",
            proof,
            Exchange(upload(version=version, query={"path": ""}), Expect(200, {**first, **stored})),
        )
        yield row(
            f"files.show.{version}",
            "one file's description",
            proof,
            Exchange(upload(), STORED),
            Exchange(get(f"/files/{NAME}", version=version), Expect(200, {**first, **shown})),
        )
        yield row(
            f"files.list.{version}",
            "the listing of the root, with an empty `path` as without",
            proof,
            *(Exchange(upload(identifier=FRESH), STORED),),
            *(
                Exchange(
                    get("/files", version=version, identifier=FRESH, query=query),
                    Expect(200, {**first, "value": [{**second, **described(version=version)}]}),
                )
                for query in ({}, {"path": ""})
            ),
        )
        yield row(
            f"files.list.empty.{version}",
            "an empty listing has no nextLink",
            DOCUMENTED,
            Exchange(get("/files", version=version, identifier=FRESH), Expect(200, {**first, "value": []})),
        )
        yield row(
            f"files.delete.{version}",
            "204 and nothing; then it is gone",
            proof,
            Exchange(upload(), STORED),
            Exchange(Send("DELETE", f"/files/{NAME}", version), Expect(204, raw=b"")),
            Exchange(get(f"/files/{NAME}", version=version), error(404, "FileNotFound")),
        )
    for root in ("/mnt/data", "/"):
        yield row(
            f"files.root.{root}",
            "the root, absolute",
            RECORDED,
            Exchange(upload(query={"path": root}), STORED),
            Exchange(get("/files", query={"path": root}), Expect(200, {"value": Having(described())})),
            Exchange(get(f"/files/{NAME}/content"), Expect(200, raw=b"testing")),
        )
    yield row(
        "files.overwrite",
        "an upload replaces what has the name",
        OURS,
        Exchange(upload(content=b"first"), STORED),
        Exchange(upload(content=b"the second"), Expect(200, Holds({"sizeInBytes": 10}))),
        Exchange(get(f"/files/{NAME}/content"), Expect(200, raw=b"the second")),
    )
    yield row(
        "files.missing",
        "a file that is not there",
        OURS,
        Exchange(get("/files/none-«row»"), error(404, "FileNotFound")),
        Exchange(get("/files/none-«row»/content"), error(404, "FileNotFound")),
    )
    yield row(
        "files.delete.missing",
        "deleting what is not there has a code of its own",
        DOCUMENTED,
        Exchange(Send("DELETE", "/files/none-«row»"), error(404, "DeleteFileError")),
    )
    yield row(
        "files.allocates",
        "listing files makes a session",
        DOCUMENTED,
        Exchange(get("/files", identifier=FRESH), Expect(200, ANY, headers={"x-ms-new-allocation": "true"})),
    )
    yield row(
        "files.recursive.word",
        "recursive is true or false",
        OURS,
        Exchange(get("/files", query={"recursive": "perhaps"}), error(400, "SessionRequestValidationFailed")),
    )
    for method in ("PUT", "PATCH"):
        yield row(
            f"files.method.{method}",
            "a method that a file route has not",
            OURS,
            Exchange(Send(method, "/files/x.txt"), error(405, "MethodNotAllowed", allow=TEXT)),
        )
    for name, kind in {
        "a.json": "application/json",
        "a.csv": "text/csv; charset=utf-8",
        "a.png": "image/png",
        "a.yaml": "application/yaml",
        "a": "application/octet-stream",
    }.items():
        yield row(
            f"files.contentType.{name}",
            "the content type goes by the name's ending",
            DOCUMENTED if name == "a.yaml" else OURS,
            Exchange(
                upload(f"«row»{name}"), Expect(200, Holds({"contentType": containing(kind.split(";")[0])}))
            ),
            Exchange(
                get(f"/files/«row»{name}"),
                Expect(200, Holds({"contentType": containing(kind.split(";")[0])})),
            ),
        )


def _names() -> Iterator[Row]:
    for name in (
        "a b.txt",
        "ünïcödé-«row».txt",
        "漢字.csv",
        "🎉.bin",
        "-_.@$&=;,#%^().txt",
        "a+b.txt",
        "100%.txt",
        "%41.txt",
        "UPPER.TXT",
        ".hidden",
        "content",
        "upload",
        "x" * 200,
    ):
        encoded = quote(name.replace("«row»", "R"), safe="")
        plain = name.replace("«row»", "R")
        yield row(
            f"files.name.{plain[:30]}",
            "letters of any script, blanks and - _ . @ $ & = ; , # % ^ ( )",
            DOCUMENTED,
            Exchange(
                upload(plain if "%41" not in plain else "%2541.txt"), Expect(200, Holds({"name": plain}))
            ),
            Exchange(get("/files"), Expect(200, {"value": Having(Holds({"name": plain}))})),
            Exchange(get(f"/files/{encoded}"), Expect(200, Holds({"name": plain, "sizeInBytes": 7}))),
            Exchange(get(f"/files/{encoded}/content"), Expect(200, raw=b"testing")),
            Exchange(Send("DELETE", f"/files/{encoded}"), Expect(204, raw=b"")),
        )
    for name in ("..", ".", "../up.txt", "/etc/passwd", "a/../../b.txt", "/mnt/data/../x"):
        yield row(
            f"files.hostile.upload.{name}",
            "a name that would leave the root is refused, or only its last part is used",
            OURS,
            Exchange(
                upload(name),
                Expect(400, Holds({"error": Holds({"code": matching("File(Name|Path)Invalid")})})),
            ),
        )
    for path in (
        "/files/..%2F..%2Fetc%2Fpasswd",
        "/files/%2Fetc%2Fpasswd",
        "/files/a%2F..%2F..%2Fb",
        "/files/%00x",
        "/files/a%0Ab",
    ):
        for suffix in ("", "/content"):
            yield row(
                f"files.hostile.get.{path[7:]}{suffix}",
                "nor can one be read",
                OURS,
                Exchange(
                    get(path + suffix),
                    Expect(400, Holds({"error": Holds({"code": matching("File(Name|Path)Invalid")})})),
                ),
            )
    yield row(
        "files.hostile.delete",
        "nor deleted",
        OURS,
        Exchange(
            Send("DELETE", "/files/%2Fetc%2Fhostname"),
            Expect(400, Holds({"error": Holds({"code": matching("File(Name|Path)Invalid")})})),
        ),
    )
    for path in ("/.ade/bin", "../x", "a/../b", "/etc", "/elsewhere", "a/./b", "a\x00b"):
        yield row(
            f"files.hostile.path.{path!r}",
            "a directory with a dot segment, or outside the root",
            DOCUMENTED if path == "/.ade/bin" else OURS,
            Exchange(
                upload(query={"path": path}),
                error(400, "FilePathInvalid", containing("File Path")),
            ),
        )


def _downloads() -> Iterator[Row]:
    content = Exchange(upload(content=b"0123456789"), STORED)
    yield row(
        "files.content",
        "bytes as they are, always application/octet-stream, with their length",
        RECORDED,
        content,
        Exchange(
            get(f"/files/{NAME}/content"),
            Expect(
                200,
                raw=b"0123456789",
                headers={"content-type": "application/octet-stream", "content-length": "10"},
            ),
        ),
    )
    for asked, got, of in (
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=8-100", b"89", "bytes 8-9/10"),
    ):
        yield row(
            f"files.range.{asked}",
            "a range of a file",
            OURS,
            content,
            Exchange(
                get(f"/files/{NAME}/content", headers={"Range": asked}),
                Expect(206, raw=got, headers={"content-range": of, "content-length": str(len(got))}),
            ),
        )
    yield row(
        "files.range.beyond",
        "a range beyond the end",
        OURS,
        content,
        Exchange(
            get(f"/files/{NAME}/content", headers={"Range": "bytes=50-"}),
            Expect(416, headers={"content-range": "bytes */10"}),
        ),
    )
    yield row(
        "files.empty",
        "an empty file",
        OURS,
        Exchange(upload(content=b""), Expect(200, Holds({"sizeInBytes": 0}))),
        Exchange(get(f"/files/{NAME}/content"), Expect(200, raw=b"", headers={"content-length": "0"})),
    )
    every = bytes(range(256)) * 4 + b"\r\n--conformance-boundarX\r\n"
    yield row(
        "files.binary",
        "every byte value, and what looks like a boundary",
        OURS,
        Exchange(upload(content=every), Expect(200, Holds({"sizeInBytes": len(every)}))),
        Exchange(get(f"/files/{NAME}/content"), Expect(200, raw=every)),
    )
    yield row(
        "files.head",
        "HEAD of a file's content has no body",
        OURS,
        content,
        Exchange(Send("HEAD", f"/files/{NAME}/content"), Expect(200, raw=b"")),
    )


def _sizes() -> Iterator[Row]:
    def sized(body: Stream) -> Send:
        return Send("POST", "/files", identifier=FRESH, body=body, headers={"Content-Type": LABEL})

    yield row(
        "files.size.largest",
        "128 MB",
        DOCUMENTED,
        Exchange(
            sized(large(LIMIT, chunked=False)),
            Expect(200, Holds({"sizeInBytes": LIMIT})),
        ),
        Exchange(
            get("/files/large.bin/content", identifier=FRESH, headers={"Range": f"bytes={LIMIT - 2}-"}),
            Expect(206, raw=b"\x00\x00"),
        ),
    )
    for how, size in {"by-one": LIMIT + 1, "by-far": 2 * LIMIT}.items():
        for chunked in (False, True):
            yield row(
                f"files.size.over.{how}{'.chunked' if chunked else ''}",
                "more than 128 MB: 413, and nothing is stored",
                DOCUMENTED,
                Exchange(
                    sized(large(size, chunked=chunked)),
                    error(413, "FileTooLarge"),
                ),
                Exchange(get("/files", identifier=FRESH), listing()),
            )
