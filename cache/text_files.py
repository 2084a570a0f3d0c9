"""Text, JSON and YAML of others: read with limits; what is wrong with a file is an OSError or a ValueError.

Regular files only, of at most MOST bytes, in UTF-8. JSON and YAML may be nested as deep as Python reads them;
YAML may not be larger than its text by repeating parts of itself.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from cache.files import read_regular

MOST = 2**28  # bytes
MOST_YAML = 2**22  # its reader takes seconds for a megabyte
MOST_VALUES = 100_000  # of a YAML file, repeated ones counted each time


def load_text(path: Path, limit: int = MOST) -> str:
    """A UTF-8 text; a byte order mark is dropped."""
    return read_regular(path, limit).decode("utf-8-sig")


def load_json(path: Path) -> Any:
    """The value in a JSON file."""
    return parse_json(load_text(path))


def parse_json(text: str | bytes) -> Any:
    """A JSON value. Raises ValueError."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deep") from None


def load_yaml(path: Path, loader: type = yaml.SafeLoader) -> Any:
    """The value in a YAML file; None for an empty one. loader: a SafeLoader of its own."""
    try:
        content = yaml.load(load_text(path, MOST_YAML), loader)
        _refuse_many(content)
    except yaml.YAMLError as error:
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ValueError("is nested too deep, or holds itself") from None
    except (TypeError, OverflowError, AttributeError) as error:  # a key that is a list; a date that is none
        raise ValueError(f"not valid YAML: {error}") from None
    return content


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
