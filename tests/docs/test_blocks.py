"""Every command and code block of the README and the documentation is run, or says what it needs."""

from pathlib import Path

import click
import pytest

from tests.docs.blocks import (
    KINDS,
    ROOT,
    TOOLS,
    Block,
    Runner,
    check_marked,
    commands,
    keyreid_lines,
    parse_words,
    read_blocks,
)

EXTRAS = {"export.md": ("onnx", "onnxruntime", "onnxscript"), "search.md": ("faiss",)}
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [path.relative_to(ROOT).as_posix() for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_block_says_what_it_is(path: Path):
    for block in read_blocks(path):
        assert block.kind in KINDS, f"{block.place}: tag {block.kind!r} is none of {KINDS}"
        first = (block.text.split() or [""])[0]
        if block.kind in ("text", ""):
            assert first not in (*TOOLS, "python", "pip", "$"), f"{block.place}: a command; tag it bash"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_commands_that_cannot_run_here_are_at_least_well_formed(path: Path):
    for block in read_blocks(path):
        if block.needs and block.kind == "bash":
            check_marked(block)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_other_block_runs(path: Path, work: Path):
    for name in EXTRAS.get(path.name, ()):
        pytest.importorskip(name, reason=f"{name} is not installed (make test installs it)")
    runner = Runner(work)
    for block in read_blocks(path):
        if not block.needs:
            try:
                runner.run(block)
            except Exception as error:
                raise AssertionError(f"{block.place}: {type(error).__name__}: {error}") from error


def test_the_documents_do_have_blocks_that_run():
    blocks = [block for path in FILES for block in read_blocks(path)]
    run = [b for b in blocks if not b.needs and b.kind in ("bash", "python")]
    assert len(run) >= 10 and {"bash", "python"} == {b.kind for b in run}


def test_blocks_are_found_with_their_tags_and_marks(tmp_path: Path):
    path = tmp_path / "a.md"
    path.write_text("<!-- needs: MARS -->\n```bash\nx \\\n  y\n# z\n```\nwords\n\n````text\n```\n````\n")
    (one, two) = read_blocks(path)
    assert (one.kind, one.needs, one.line) == ("bash", "MARS", 3) and commands(one.text) == ["x y"]
    assert (two.kind, two.needs, two.text) == ("text", "", "```")


@pytest.mark.parametrize(
    "line",
    ["keyreid train --epoch 3", "keyreid trian", "keyreid eval --weights none", "make train ARGS=--what"],
)
def test_a_wrong_command_is_noticed_even_where_it_cannot_run(line: str):
    block = Block(FILES[0], 1, "bash", line, "MARS")
    with pytest.raises((click.ClickException, AssertionError)):
        check_marked(block)


def test_what_cannot_be_run_has_to_be_marked(tmp_path: Path):
    runner = Runner(tmp_path)
    with pytest.raises(AssertionError, match="mark the block"):
        runner.run(Block(FILES[0], 1, "bash", "curl example.org", ""))


def test_make_targets_are_followed_to_the_command_they_stand_for():
    (words,) = keyreid_lines(["make", "train", "DATASET=mars", "DATA=/x", "ARGS=--epochs 3"])
    assert words[:2] == ["keyreid", "train"] and words[-2:] == ["--epochs", "3"]
    parse_words(words)
