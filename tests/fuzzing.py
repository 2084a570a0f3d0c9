"""Files with bytes changed, cut or replaced, for fuzz tests: short in `make test`, long with `-m slow`."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHORT, LONG = 40, int(os.environ.get("KEYREID_FUZZ_EXAMPLES", "10000"))
EXAMPLES = [
    pytest.param(SHORT, id="short"),
    pytest.param(LONG, id="long", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
]


@st.composite
def damaged(draw, data: bytes) -> bytes:
    """`data` with a few bytes changed, and perhaps cut, repeated, filled up or replaced."""
    content = bytearray(data)
    for _ in range(draw(st.integers(0, 8))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    kind = draw(st.sampled_from(["as it is", "as it is", "cut", "repeated", "filled", "noise"]))
    if kind == "cut":
        return bytes(content[: draw(st.integers(0, len(content)))])
    if kind == "repeated":
        at = draw(st.integers(0, len(content)))
        return bytes(content[:at] + content[at // 2 :])
    if kind == "filled":
        return bytes(content) + draw(st.binary(max_size=64))
    return draw(st.binary(max_size=300)) if kind == "noise" else bytes(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("../x"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def other_values(record: Any) -> Iterator[tuple[str, Any]]:
    """(dotted name, record) with each key in turn left out, or with a value of another type. Of lists, the
    first item."""
    for place in _places(record):
        for value in (_LEFT_OUT, None, [{}]):
            changed = json.loads(json.dumps(record))
            inner = changed
            for key in place[:-1]:
                inner = inner[key]
            if value is _LEFT_OUT:
                del inner[place[-1]]
            else:
                inner[place[-1]] = value
            yield ".".join(map(str, place)), changed


_LEFT_OUT = object()


def _places(value: Any, here: tuple = ()) -> Iterator[tuple]:
    inner = value if isinstance(value, dict) else range(len(value[:1])) if isinstance(value, list) else ()
    for key in inner:
        yield (*here, key)
        yield from _places(value[key], (*here, key))


def fuzz(examples: int, strategy: st.SearchStrategy, check: Callable[[object], None]) -> None:
    """Run `check` on that many examples. The short run is the same each time; a failure prints its seed."""
    once = settings(
        max_examples=examples,
        deadline=None,
        derandomize=examples == SHORT,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    once(given(strategy)(lambda value: check(value)))()
