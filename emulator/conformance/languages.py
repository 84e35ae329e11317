"""The same small programs in the languages of built-in code pools."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """`two`: an expression worth 2. `spin` runs for a minute or more. `fail` raises `boom`.

    `long` prints 5,000 letters x. `keep` sets a variable to 41, `kept` is it plus 1, `unset` tells whether
    it is there. `write` makes file NAME holding `made inside`.
    """

    container_type: str
    hello: str
    two: str
    text: str
    text_shown: str
    nothing: str
    spin: str
    fail: str
    long: str
    both: str
    keep: str
    kept: str
    unset: str
    write: str


PYTHON = Language(
    container_type="PythonLTS",
    hello='print("Hello world")',
    two="1 + 1",
    text='"na" + "n"',
    text_shown="'nan'",
    nothing="x = 1",
    spin="import time; time.sleep(100)",
    fail='raise ValueError("boom")',
    long='print("x" * 5000, end="")',
    both='import sys; print("out"); print("err", file=sys.stderr)',
    keep="kept_v = 41",
    kept="kept_v + 1",
    unset='"kept_v" in globals()',
    write='open("/mnt/data/NAME", "w").write("made inside") and None',
)
NODE = Language(
    container_type="NodeLTS",
    hello='console.log("Hello world")',
    two="1 + 1",
    text='"na" + "n"',
    text_shown="'nan'",
    nothing="var x = 1;",
    spin="while (true) {}",
    fail='throw new Error("boom")',
    long='process.stdout.write("x".repeat(5000)); undefined',
    both='console.log("out"); console.error("err")',
    keep="var kept_v = 41;",
    kept="kept_v + 1",
    unset='typeof kept_v !== "undefined"',
    write='require("fs").writeFileSync("/mnt/data/NAME", "made inside")',
)
