"""Every option and argument of every command, as click knows them, with values that nobody should give."""

import os
from pathlib import Path

import click
import pytest

from tests.pipeline.test_options import every_command

VALUES = ["nan", "9" * 30, "\x1b[31m[/]\n\u202e", "loop"]
MORE = ["", "\udcff", "-1", "0", "1e400", "none", "x" * 5000, "file", "folder", "file/x", "pipe", "/dev/zero"]
# What a command needs to look at the rest, and what keeps one that needs nothing from starting real work.
HELD = {
    "demo": ["--data-root", "file/x"],
    "synthesize": ["--output", "file/x"],
    "synthesize-videos": ["--output", "file/x"],
    "fit-pose": ["--output", "file/x"],
    "doctor": ["--data-root", "none"],
    "embed": ["--dataset", "walkers"],
    "import-mot": ["--frames", "none"],
}
# Options whose other values would start real work, or are not looked at.
STARTS = {
    ("demo", "--data-root"),
    ("demo", "--videos"),
    ("synthesize", "--output"),
    ("synthesize-videos", "--output"),
    ("fit-pose", "--output"),
    *(("model-info", option) for option in ("--data-root", "--cache", "--list")),
}
REFUSED = ["", "file/x", "loop"]


def lines_of(name: str, command: click.Command, values: list[str]) -> list[list[str]]:
    """Command lines with each value in the place of each option or argument, the rest missing files."""
    shown = [p for p in command.params if not p.name.startswith("old_")]  # of earlier versions
    arguments = [p for p in shown if isinstance(p, click.Argument)]
    options = [p for p in shown if isinstance(p, click.Option)]
    held = HELD.get(name, [])
    lines = []
    for tested in shown:
        option, flag = tested in options, getattr(tested, "is_flag", False)
        starts = (name, tested.opts[-1]) in STARTS
        needed = [p.opts[-1] for p in options if p.required and p is not tested and p.opts[-1] not in held]
        for value in [None] * (not starts) if flag else REFUSED if starts else values:
            words = [*held, *(word for needs in needed for word in (needs, "none"))]
            words += [tested.opts[-1]] * option + [value] * (option and not flag)
            given = [value if p is tested else "none" for p in arguments if p.required or p is tested]
            lines.append([*name.split(), *words, *(["--", *given] if given else [])])
    return lines


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of everything that a path can be."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")


@pytest.mark.parametrize("values", [VALUES, pytest.param(MORE, marks=pytest.mark.slow)], ids=["some", "more"])
@pytest.mark.parametrize(("name", "command"), every_command().items(), ids=lambda value: str(value))
def test_a_hostile_value_is_one_error_without_a_traceback(keyreid, here, name, command, values):
    for words in lines_of(name, command, values):
        result = keyreid(*words)
        said = result.out + result.err
        assert result.code in (0, 2) and "Traceback" not in said, (words, said)
        assert "\x1b" not in said and "\u202e" not in said and len(result.err) < 4000, (words, said)
        assert result.code == 0 or result.err.count("rror: ") == 1, (words, said)
        assert "Missing option" not in said and "Missing argument" not in said, words
