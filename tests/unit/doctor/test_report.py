"""The matrix as people and machines read it."""

from __future__ import annotations

import json

from emulator.doctor.judge import Cell, Verdict
from emulator.doctor.report import LEGEND, Report

NAME = "a-pool-with-a-long-name"
CELLS = [
    Cell("python", "files", NAME, Verdict.APART),
    Cell("python", "files", "node", Verdict.BROKEN, "/tmp/x"),
    Cell("python", "mounts", "-", Verdict.APART),
    Cell("python", "the host's addresses", "-", Verdict.LIMIT, "10.0.0.1 answered", "that is so"),
    Cell(NAME, "the host's addresses", "-", Verdict.LIMIT, "10.0.0.9 answered", "that is so"),
]


def test_a_table_for_each_pool_and_what_is_wrong_below() -> None:
    text = "\n".join(Report(cells=CELLS, skipped=["pool echo: no"]).lines())
    assert f"from a session of pool {NAME}," in text
    rows = [line.split() for line in text.splitlines()]
    assert ["-", NAME, "node"] in rows
    assert ["files", "apart", "BROKEN"] in rows
    assert all(line in text for line in LEGEND)
    assert "broken promises:\n  files (python → node): /tmp/x" in text
    assert f"the host's addresses (python; {NAME}): 10.0.0.1 answered: that is so" in text
    assert "not looked at:\n  pool echo: no" in text
    assert text.endswith("5 probes, 2 known limits, 1 broken")


def test_columns_stand_below_each_other() -> None:
    lines = list(Report(cells=CELLS).lines())
    head, files = lines[1], next(line for line in lines if line.lstrip().startswith("files"))
    assert head.index("node") == files.index("BROKEN")


def test_the_json_document_says_whether_it_is_good() -> None:
    document = json.loads(json.dumps(Report({"instance": "x"}, CELLS).as_dict()))
    assert (document["instance"], document["good"]) == ("x", False)
    assert document["counts"] == {"apart": 2, "limit": 2, "broken": 1}
    assert document["cells"][1] == {
        "pool": "python",
        "probe": "files",
        "neighbour": "node",
        "verdict": "broken",
        "detail": "/tmp/x",
        "reason": "",
    }


def test_limits_are_good_but_what_could_not_be_looked_at_is_not() -> None:
    limited = [cell for cell in CELLS if cell.verdict is not Verdict.BROKEN]
    assert Report(cells=limited).good
    failed = Report(cells=limited, failed=["pool node: 429"])
    assert not failed.good
    assert list(failed.lines())[-1].endswith("0 broken, 1 could not be looked at")
