"""The four walks through the code that CONTRIBUTING.md lists: from the command, short, downward only."""

import re

import pytest

from tests.test_imports import ROOT, imported

SECTION = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Four walks")[1].split("\n## ")[0]
TEXTS = dict(re.findall(r"^\*\*(.+?)\*\*(.+?)(?=^\*\*|\Z)", SECTION, re.DOTALL | re.MULTILINE))
WALKS = {title: re.findall(r"`([\w/]+\.py)`", text) for title, text in TEXTS.items()}


def imports(path: str, other: str) -> bool:
    module = other.removesuffix(".py").replace("/", ".")
    return any(f"{name}.".startswith(f"{module}.") for name in imported(ROOT / path))


def test_there_are_four():
    assert len(WALKS) == 4


@pytest.mark.parametrize("title", WALKS)
def test_a_walk_begins_at_the_command_that_it_names(title):
    name = re.search(r"`keyreid ([\w-]+)", TEXTS[title])[1]
    assert WALKS[title][0] == f"pipeline/commands/{name.replace('-', '_')}.py"


@pytest.mark.parametrize("title", WALKS)
def test_a_walk_has_at_most_twelve_files_and_never_turns_back(title):
    walk = WALKS[title]
    assert 2 <= len(walk) == len(set(walk)) <= 12
    for place, path in enumerate(walk):
        before, after = walk[:place], walk[place + 1 :]
        assert not place or any(imports(one, path) for one in before), f"nothing before {path} imports it"
        for one in before:
            assert not imports(path, one), f"{path} imports {one}, which is before it"
        if path == walk[0]:
            assert any(imports(path, one) for one in after)
