"""Differences between two nested mappings."""

import json
from collections.abc import Collection, Iterator, Mapping

SHOWN = 60  # characters of a value


def differing(before: Mapping, after: Mapping, prefix: str = "") -> Iterator[tuple[str, object, object]]:
    """(dotted name, value before, value after) of every leaf that differs; None where it is missing."""
    for key in sorted({*before, *after}, key=str):
        one, two = before.get(key), after.get(key)
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            yield from differing(one, two, f"{prefix}{key}.")
        elif one != two:
            yield f"{prefix}{key}", one, two


def differences(before: Mapping, after: Mapping, free: Collection[str] = ()) -> list[str]:
    """Phrases "name: before -> after" for every leaf that differs, values as JSON, long ones shortened.

    free: dotted names of leaves or whole sections that may differ.
    """
    return [
        f"{name}: {_short(one)} -> {_short(two)}"
        for name, one, two in differing(before, after)
        if not any(f"{name}.".startswith(f"{other}.") for other in free)
    ]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 32] + " ... " + text[-12:]
