"""The dialects of multipart that published clients speak, and the old family of file routes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emulator.conformance.match import ANY, COUNT, MOMENT, Having, Holds, containing
from emulator.conformance.row import (
    FLAT,
    FRESH,
    OLD,
    Exchange,
    Expect,
    Provenance,
    Row,
    Send,
    error,
    row,
)
from emulator.conformance.rows.files import NAME, get, upload
from emulator.conformance.rows.parts import BOUNDARY, LABEL, form, part

RECORDED, DOCUMENTED, OURS = Provenance.RECORDED, Provenance.DOCUMENTED, Provenance.OURS
ANY_ERROR = Expect(400, Holds({"error": Holds({"code": ANY})}))


def rows() -> Iterator[Row]:
    yield from _dialects()
    yield from _broken()
    yield from _old_family()


def _sent(body: bytes, label: str | None = LABEL, **options: Any) -> Send:
    headers = {} if label is None else {"Content-Type": label}
    return Send("POST", "/files", body=body, headers=headers, **options)


def _dialects() -> Iterator[Row]:
    u = "ü-«row».txt"
    dialects: dict[str, tuple[Send, str]] = {
        "quoted-boundary": (_sent(form(part()), f'multipart/form-data; boundary="{BOUNDARY}"'), NAME),
        "label-case": (_sent(form(part()), f"Multipart/Form-Data; BOUNDARY={BOUNDARY}"), NAME),
        "unquoted": (_sent(form(part(disposition=f"form-data; name=file; filename={NAME}"))), NAME),
        "dotnet": (
            _sent(
                form(
                    part(
                        disposition=f"form-data; name=file; filename={NAME}; filename*=utf-8''{NAME}",
                        kind="application/octet-stream",
                    )
                ),
                f'multipart/form-data; boundary="{BOUNDARY}"',
            ),
            NAME,
        ),
        "filename-star": (
            _sent(
                form(part(disposition="form-data; name=file; filename=x; filename*=UTF-8''%C3%BC-«row».txt"))
            ),
            u,
        ),
        "raw-utf8": (_sent(form(part(name=u))), u),
        "percent-encoded": (_sent(form(part(name="in%20put-«row».txt"))), "in put-«row».txt"),
        "aiohttp": (
            _sent(form(part(name="in%20put-«row».txt", kind_first=True)), chunked=True),
            "in put-«row».txt",
        ),
        "no-part-type": (_sent(form(part(kind=None))), NAME),
        "json-part": (_sent(form(part(kind="application/json"))), NAME),
        "part-type-first": (_sent(form(part(kind_first=True))), NAME),
        "labelled-json": (_sent(form(part()), "application/json"), NAME),
        "no-boundary": (_sent(form(part()), "multipart/form-data"), NAME),
        "absolute": (_sent(form(part(name="/mnt/data/f-«row».txt"))), NAME),
        "escaped-quote": (_sent(form(part(disposition=f'form-data; filename="{NAME}"; name="file"'))), NAME),
        "other-fields": (
            _sent(form(part(b"x", disposition='form-data; name="identifier"', kind=None), part())),
            NAME,
        ),
        "header-case": (
            _sent(form(part()).replace(b"Content-Disposition", b"content-disposition")),
            NAME,
        ),
        "chunked": (_sent(form(part()), chunked=True), NAME),
        "path-first": (
            Send(
                "POST",
                "/files?path=",
                body=form(part()),
                headers={"Content-Type": LABEL},
            ),
            NAME,
        ),
    }
    dialects["name-after-filename"] = dialects.pop("escaped-quote")
    for how, (send, name) in dialects.items():
        yield row(
            f"upload.{how}",
            "a dialect of multipart that a published client speaks",
            OURS if how in ("labelled-json", "no-boundary", "label-case", "header-case") else DOCUMENTED,
            Exchange(send, Expect(200, Holds({"name": name, "sizeInBytes": 7}))),
            Exchange(get("/files"), Expect(200, {"value": Having(Holds({"name": name, "sizeInBytes": 7}))})),
        )


def _broken() -> Iterator[Row]:
    for how, send in {
        "wrong-boundary": _sent(form(part()), "multipart/form-data; boundary=other"),
        "no-part": _sent(form()),
        "empty": _sent(b""),
        "json": _sent(b'{"file": "x"}', "application/json"),
        "no-file": _sent(form(part(b"x", disposition='form-data; name="other"', kind=None))),
        "cut": _sent(form(part())[:-40]),
        "no-filename": _sent(form(part(disposition='form-data; name="file"'))),
    }.items():
        yield row(
            f"upload.broken.{how}", "a body without a whole file is refused", OURS, Exchange(send, ANY_ERROR)
        )


def _old_family() -> Iterator[Row]:
    def numbered(name: str = NAME) -> dict[str, Any]:
        properties = {"$id": "3", "filename": name, "size": 7, "lastModifiedTime": MOMENT}
        return {"$id": "1", "value": [{"$id": "2", "properties": properties}]}

    for version in (*OLD, None):
        proof = RECORDED if version == OLD[1] else DOCUMENTED
        name = version or "no-version"
        send = Send(
            "POST", "/files/upload", version, FRESH, body=form(part()), headers={"Content-Type": LABEL}
        )
        yield row(
            f"files.old.{name}",
            "upload and list answer `value[].properties`; content comes from /files/content",
            proof,
            Exchange(send, Expect(200, numbered())),
            Exchange(get("/files", version=version, identifier=FRESH), Expect(200, numbered())),
            Exchange(
                get("/files", version=version, identifier=FRESH, query={"path": ""}), Expect(200, numbered())
            ),
            Exchange(
                get(f"/files/content/{NAME}", version=version, identifier=FRESH),
                Expect(
                    200,
                    raw=b"testing",
                    headers={"content-type": "application/octet-stream", "content-length": "7"},
                ),
            ),
            Exchange(get(f"/files/{NAME}", version=version, identifier=FRESH), Expect(200, numbered())),
        )
    yield row(
        "files.old.upload.new-version",
        "/files/upload answers in the old form on every version",
        OURS,
        Exchange(
            Send("POST", "/files/upload", FLAT[2], body=form(part()), headers={"Content-Type": LABEL}),
            Expect(
                200,
                {"value": [{"properties": {"filename": NAME, "size": 7, "lastModifiedTime": MOMENT}}]},
            ),
        ),
    )
    yield row(
        "files.old.post-files",
        "POST /files on an old version answers in the old form",
        OURS,
        Exchange(upload(version=OLD[1]), Expect(200, numbered())),
    )
    yield row(
        "files.old.empty",
        "an empty listing",
        DOCUMENTED,
        Exchange(get("/files", version=OLD[1], identifier=FRESH), Expect(200, {"$id": "1", "value": []})),
    )
    yield row(
        "files.old.absolute",
        "semantic-kernel: filename /mnt/data/x is listed as x, so that /mnt/data/ + name is right",
        DOCUMENTED,
        Exchange(
            Send(
                "POST",
                "/files/upload",
                OLD[1],
                FRESH,
                body=form(part(name="/mnt/data/two.txt")),
                headers={"Content-Type": "application/json"},
            ),
            Expect(200, ANY),
        ),
        Exchange(
            get("/files", version=OLD[1], identifier=FRESH, headers={"Content-Type": "application/json"}),
            Expect(200, numbered("two.txt")),
        ),
    )
    yield row(
        "files.old.missing",
        "a file that is not there",
        OURS,
        Exchange(get("/files/content/none-«row»", version=OLD[1]), error(404, "FileNotFound")),
    )
    yield row(
        "files.old.nested",
        "a name with a directory, in two segments",
        OURS,
        Exchange(
            Send(
                "POST",
                "/files",
                query={"path": "d-«row»"},
                identifier=FRESH,
                body=form(part()),
                headers={"Content-Type": LABEL},
            ),
            Expect(200, ANY),
        ),
        Exchange(
            get("/files/content/f-«row».txt", version=OLD[1], identifier=FRESH, query={"path": "d-«row»"}),
            Expect(200, raw=b"testing"),
        ),
    )
    yield row(
        "files.oldest",
        "the first .NET client: /python/uploadFile, /python/downloadFile?filename=, //files",
        DOCUMENTED,
        Exchange(
            Send(
                "POST",
                "/python/uploadFile",
                OLD[1],
                FRESH,
                body=form(part()),
                headers={"Content-Type": LABEL},
            ),
            Expect(200, numbered()),
        ),
        Exchange(
            get("/python/downloadFile", version=OLD[1], identifier=FRESH, query={"filename": NAME}),
            Expect(200, raw=b"testing"),
        ),
        Exchange(get("//files", version=OLD[1], identifier=FRESH), Expect(200, numbered())),
    )
    yield row(
        "files.oldest.unnamed",
        "/python/downloadFile needs a filename",
        OURS,
        Exchange(get("/python/downloadFile", version=OLD[1]), error(400, "SessionRequestValidationFailed")),
    )
    yield row(
        "files.versions",
        "the api-version decides how the same file is shown",
        DOCUMENTED,
        Exchange(upload(identifier=FRESH), Expect(200, ANY)),
        Exchange(get("/files", version=OLD[1], identifier=FRESH), Expect(200, numbered())),
        Exchange(
            get("/files", version=FLAT[2], identifier=FRESH),
            Expect(
                200,
                {
                    "value": [
                        {
                            "name": NAME,
                            "type": "file",
                            "contentType": containing("text/plain"),
                            "sizeInBytes": COUNT,
                            "lastModifiedAt": MOMENT,
                            "directory": "",
                        }
                    ]
                },
            ),
        ),
    )
