"""Differences between two nested mappings."""

import json
from collections.abc import Iterator, Mapping

SHOWN = 60  # characters of a value


def differing(before: Mapping, after: Mapping, prefix: str = "") -> Iterator[tuple[str, object, object]]:
    """(dotted name, value before, value after) of every leaf that differs; None where it is missing."""
    for key in sorted({*before, *after}, key=str):
        one, two = before.get(key), after.get(key)
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            yield from differing(one, two, f"{prefix}{key}.")
        elif one != two:
            yield f"{prefix}{key}", one, two


def differences(before: Mapping, after: Mapping) -> list[str]:
    """Phrases "name: before -> after" for every leaf that differs, values as JSON, long ones shortened."""
    return [f"{name}: {_short(one)} -> {_short(two)}" for name, one, two in differing(before, after)]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 32] + " ... " + text[-12:]
