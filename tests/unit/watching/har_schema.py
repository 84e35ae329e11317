"""HAR 1.2 as a JSON schema, from the format's specification; members that begin with _ are free."""

from __future__ import annotations

from typing import Any

TEXT = {"type": "string"}
SIZE = {"type": "integer", "minimum": -1}
TIME = {"type": "number", "minimum": 0}
OPTIONAL_TIME = {"type": "number", "minimum": -1}


def of(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    properties = {**required, **(optional or {}), "comment": TEXT}
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "patternProperties": {"^_": {}},
        "additionalProperties": False,
    }


def many(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


PAIRS = many(of({"name": TEXT, "value": TEXT}))
COOKIES = many(
    of({"name": TEXT, "value": TEXT}, {"path": TEXT, "domain": TEXT, "expires": TEXT, "httpOnly": {}})
)
POST = of({"mimeType": TEXT}, {"params": many(of({"name": TEXT}, {"value": TEXT})), "text": TEXT})
REQUEST = of(
    {
        "method": TEXT,
        "url": {"type": "string", "pattern": "^(http|ws)s?://"},
        "httpVersion": TEXT,
        "cookies": COOKIES,
        "headers": PAIRS,
        "queryString": PAIRS,
        "headersSize": SIZE,
        "bodySize": SIZE,
    },
    {"postData": POST},
)
CONTENT = of({"size": SIZE, "mimeType": TEXT}, {"compression": SIZE, "text": TEXT, "encoding": TEXT})
RESPONSE = of(
    {
        "status": {"type": "integer"},
        "statusText": TEXT,
        "httpVersion": TEXT,
        "cookies": COOKIES,
        "headers": PAIRS,
        "content": CONTENT,
        "redirectURL": TEXT,
        "headersSize": SIZE,
        "bodySize": SIZE,
    }
)
ENTRY = of(
    {
        "startedDateTime": {
            "type": "string",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)$",
        },
        "time": TIME,
        "request": REQUEST,
        "response": RESPONSE,
        "cache": {"type": "object"},
        "timings": of(
            {"send": TIME, "wait": TIME, "receive": TIME},
            {"blocked": OPTIONAL_TIME, "dns": OPTIONAL_TIME, "connect": OPTIONAL_TIME, "ssl": OPTIONAL_TIME},
        ),
    },
    {"pageref": TEXT, "serverIPAddress": TEXT, "connection": TEXT},
)
NAMED = of({"name": TEXT, "version": TEXT})
HAR = of(
    {
        "log": of(
            {"version": {"const": "1.2"}, "creator": NAMED, "entries": many(ENTRY)},
            {"browser": NAMED, "pages": {"type": "array"}},
        )
    }
)
