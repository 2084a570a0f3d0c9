"""Text, JSON and YAML files from outside, read with limits; `cache.border.reading` names the file in errors.

Regular files only, of at most MOST bytes, in UTF-8. JSON and YAML may be nested as deep as Python reads them;
YAML may not be larger than its text by repeating parts of itself.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from cache.border import reading
from cache.files import read_regular

MOST = 2**28  # bytes
MOST_YAML = 2**22  # its reader takes seconds for a megabyte
MOST_VALUES = 100_000  # of a YAML file, repeated ones counted each time
Row = TypeVar("Row")


def load_text(path: Path, limit: int = MOST, errors: str = "strict") -> str:
    """A UTF-8 text; a byte order mark is dropped. errors: as in bytes.decode, of what is not UTF-8."""
    return read_regular(path, limit).decode("utf-8-sig", errors)


def load_json(path: Path, limit: int = MOST) -> Any:
    """The value in a JSON file."""
    return json.loads(load_text(path, limit))


def load_record(path: Path, limit: int = MOST) -> dict:
    """The object in a JSON file of this program; empty where none can be read: it is rewritten then."""
    try:
        return object_of(load_text(path, limit))
    except (OSError, ValueError):
        return {}


def load_lines(path: Path) -> Iterator[dict]:
    """The object of each line of a .jsonl file; empty for a line cut short by a kill or a full disk."""
    return map(object_of, load_text(path).splitlines())


def load_steps(path: Path) -> list[dict]:
    """Records of training by step: of each its kind, and the numbers that a chart can show."""
    return [
        {k: v for k, v in record.items() if k == "kind" or (isinstance(v, int | float) and abs(v) < 2**53)}
        for record in load_lines(path)
        if type(record.get("step")) is int and 0 <= record["step"] < 2**53
    ]


def object_of(text: str) -> dict:
    """A JSON object; empty for any other text."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


class Line:
    """Where a reader of CSV is in its file, in words, for `reading`."""

    def __init__(self, path: Path, reader: Any):
        self.path, self.reader = path, reader

    def __str__(self) -> str:
        return f"{self.path}, line {max(self.reader.line_num, 1)}"


def load_table(
    path: Path,
    parse: Callable[[dict[str, str]], Row],
    columns: Sequence[str],
    remedy: str,
    delimiter: str = ",",
    missing: str = "",
    limit: int = MOST,
    errors: str = "strict",
) -> list[Row]:
    """What `parse` makes of each row of a table, a dict by column. Raises KeyReIDError naming the line.

    columns: those that the table must have. What `parse` raises is wrong with its line.
    remedy, missing: as in `reading`; limit, errors: as in `load_text`.
    """
    with reading(path, remedy=remedy, missing=missing):
        text = load_text(path, limit, errors)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    with reading(Line(path, reader), remedy=remedy):
        if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
            raise ValueError(f"no column {missing[0]!r}")
        return [parse(row) for row in reader]


def load_yaml(path: Path, loader: type = yaml.SafeLoader) -> dict[str, Any]:
    """The mapping in a YAML file, {} in an empty one. loader: a SafeLoader of its own."""
    content = yaml.load(load_text(path, MOST_YAML), loader)
    _refuse_many(content)
    if content is not None and not isinstance(content, dict):
        raise ValueError(f"expected a mapping of keys to values, found a {type(content).__name__}")
    return content or {}


def _refuse_many(content: Any) -> None:
    """An alias costs a YAML file a few bytes, whatever it stands for, and aliases may hold aliases."""
    left = MOST_VALUES

    def count(value: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(f"holds more than {MOST_VALUES} values, repeated ones counted each time")
        if isinstance(value, dict):
            for key, inner in value.items():
                count(key)
                count(inner)
        elif isinstance(value, list | tuple | set):
            for inner in value:
                count(inner)

    count(content)
