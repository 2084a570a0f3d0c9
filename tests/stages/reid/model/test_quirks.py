"""The list of the released arithmetic's quirks, at the head of published.py, points to what exists."""

import importlib
import re
from pathlib import Path

import pytest

from stages.reid.model import published

ROOT = Path(published.__file__).parents[3]
NAMES = sorted(set(re.findall(r"`(stages(?:\.\w+)+)`", published.__doc__)))
ASKED = re.compile(r"""[!=]= *["']published["']""")


def find(name: str) -> object:
    """A module, or what lies in one, by its dotted name."""
    words = name.split(".")
    for count in range(len(words), 0, -1):
        try:
            found = importlib.import_module(".".join(words[:count]))
        except ModuleNotFoundError:
            continue
        for word in words[count:]:
            found = getattr(found, word)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_place_that_the_list_names_exists(name):
    assert find(name) is not None


def test_quirks_are_numbered_and_each_names_its_place():
    quirks = re.split(r"\n(\d+)\. ", published.__doc__)
    assert [int(number) for number in quirks[1::2]] == list(range(1, len(quirks) // 2 + 1))
    assert len(quirks) // 2 >= 10
    assert all(re.search(r"`stages\.", text) for text in quirks[2::2])


def test_every_place_that_asks_for_the_released_arithmetic_is_listed():
    asking = [path for path in (ROOT / "stages").rglob("*.py") if ASKED.search(path.read_text())]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in asking}
    assert len(modules) >= 7
    unlisted = {
        module for module in modules if not any(f"{name}.".startswith(f"{module}.") for name in NAMES)
    }
    assert unlisted == set()
