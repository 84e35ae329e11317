"""Programs that run inside sessions: sent as text, each a module of the standard library only.

Each has `main(given)`, which returns rows of text: `R` probe, neighbour, what was seen (empty: nothing);
others are told where they are made. They read what they look for from standard input, so that no mark
appears in the command line or the environment of whoever looks for it.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def program(name: str, **given: Any) -> str:
    """The text of module `name` and the call of its `main`; it prints the rows as JSON on its last line."""
    source = resources.files(__name__).joinpath(f"{name}.py").read_text(encoding="utf-8")
    call = f"print(_json.dumps(main(_json.loads({json.dumps(json.dumps(given))}))))"
    return f"{source}\nimport json as _json\n{call}\n"
