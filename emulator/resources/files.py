"""Pool files: YAML or JSON; one document, a list, several YAML documents, or ARM's own list answer."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import ConfigurationError
from emulator.resources import problems
from emulator.resources.document import parse_pool
from emulator.resources.model import SessionPool

if TYPE_CHECKING:
    import yaml

Lines = Mapping[problems.Path, int]


@dataclass(frozen=True)
class PoolEntry:
    """One pool of a file, and the line (from 1) where its document begins."""

    pool: SessionPool
    file: Path
    line: int


def load_pools(path: Path | str, *, strict: bool = True) -> list[PoolEntry]:
    """The pools of one file, in order. Raises `ConfigurationError` with file, line, JSON path and value."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"is not UTF-8 text ({error.reason} at byte {error.start})", where=str(path)
        ) from None
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", where=str(path)) from error
    entries = [_entry(document, lines, path, strict=strict) for document, lines in _documents(text, path)]
    if not entries:
        raise ConfigurationError("holds no pool; write a session-pool document", where=str(path))
    return _unique(entries)


def load_all(paths: Iterable[Path | str], *, strict: bool = True) -> list[PoolEntry]:
    """The pools of several files; one pool in two places is an error that names both."""
    return _unique([entry for path in paths for entry in load_pools(path, strict=strict)])


def _unique(entries: list[PoolEntry]) -> list[PoolEntry]:
    seen: dict[str, PoolEntry] = {}
    for entry in entries:
        first = seen.setdefault(entry.pool.key, entry)
        if first is not entry:
            raise ConfigurationError(
                f"pool {entry.pool.name!r} is defined at {first.file}:{first.line} already; rename one",
                where=f"{entry.file}:{entry.line}",
            )
    return entries


def _entry(document: Any, lines: Lines, path: Path, *, strict: bool) -> PoolEntry:
    folded = {_fold(place): line for place, line in lines.items()}

    def line_of(place: problems.Path) -> int | None:
        place = _fold(place)
        while place not in folded and place:
            place = place[:-1]
        return folded.get(place)

    def where(place: problems.Path) -> str:
        line = line_of(place)
        return str(path) if line is None else f"{path}:{line}"

    pool = parse_pool(document, where=where, strict=strict)
    return PoolEntry(pool, path, line_of(()) or 1)


def _fold(place: problems.Path) -> problems.Path:
    return tuple(step.lower() if isinstance(step, str) else step for step in place)


def _documents(text: str, path: Path) -> list[tuple[Any, Lines]]:
    roots = _json(text) if path.suffix.lower() == ".json" else None
    if roots is None:
        roots = parse_yaml(text, path)
    found: list[tuple[Any, Lines]] = []
    for root, lines in roots:
        if (
            isinstance(root, Mapping)
            and set(root) <= {"value", "nextLink"}
            and isinstance(root.get("value"), list)
        ):
            found += [(item, _below(lines, ("value", index))) for index, item in enumerate(root["value"])]
        elif isinstance(root, list):
            found += [(item, _below(lines, (index,))) for index, item in enumerate(root)]
        elif root is not None:
            found.append((root, lines))
    return found


def _below(lines: Lines, prefix: problems.Path) -> Lines:
    size = len(prefix)
    return {place[size:]: line for place, line in lines.items() if place[:size] == prefix}


def _json(text: str) -> list[tuple[Any, Lines]] | None:
    """JSON that YAML cannot read (it forbids tabs as indentation); without lines. None: let YAML say why."""
    if "\t" not in text:
        return None
    try:
        return [(json.loads(text), {})]
    except ValueError:
        return None


def parse_yaml(text: str, path: Path) -> list[tuple[Any, Lines]]:
    """Each document of `text`, and the line (from 1) of every value in it by its path."""
    import yaml  # not needed by those who have no file

    class Loader(yaml.SafeLoader):
        """Leaves dates alone: JSON has none, and ARM's own are strings."""

    Loader.yaml_implicit_resolvers = {
        sign: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for sign, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    documents: list[tuple[Any, Lines]] = []
    try:
        loader = Loader(text)
        while loader.check_node():
            node = loader.get_node()
            lines: dict[problems.Path, int] = {}
            _index(node, (), lines, path)
            documents.append((loader.construct_document(node), lines))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigurationError(
            f"is not valid YAML: {error.problem or error.context}", where=place
        ) from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"is not valid YAML: {error}", where=str(path)) from None
    return documents


def _index(
    node: yaml.Node | None, place: problems.Path, lines: dict[problems.Path, int], path: Path, depth: int = 0
) -> None:
    """Remember where every value begins; a key given twice is an error, which YAML itself lets pass."""
    if node is None:
        return
    if depth > 64:
        raise ConfigurationError("is nested deeper than any pool document", where=str(path))
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node.value, str):
        return
    seen: set[Hashable] = set()
    for index, item in enumerate(node.value):
        if not isinstance(item, tuple):
            _index(item, (*place, index), lines, path, depth + 1)
            continue
        key = str(item[0].value)
        if key in seen:
            where = f"{path}:{item[0].start_mark.line + 1}"
            raise ConfigurationError(
                f"{problems.dotted((*place, key))} is given twice; keep one", where=where
            )
        seen.add(key)
        # The key's line: for `properties:` it is where a reader looks, the value begins one below.
        lines.setdefault((*place, key), item[0].start_mark.line + 1)
        _index(item[1], (*place, key), lines, path, depth + 1)
