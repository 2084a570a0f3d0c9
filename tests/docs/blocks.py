"""The fenced blocks of Markdown files, and how each kind is executed.

A comment `<!-- needs: WHAT -->` before a block says that it needs something that is not here: its
commands are parsed, options and values included, and not run. A block tagged `text`, or not at all, is no
command. A block that begins with `# NAME.yaml` or `# NAME.csv` is that file, for the commands after it.
"""

import argparse
import importlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import click
import torch
import yaml

from pipeline.cli import keyreid
from pipeline.config import CONFIGS, Recipe
from pipeline.recipe_file import check
from stages.reid.search.link_files import Ways
from stages.tracks.cameras import Cameras

ROOT = Path(__file__).resolve().parent.parent.parent
KINDS = ("bash", "python", "yaml", "text", "")
FENCE = re.compile(r"^( *)(`{3,}|~{3,})(.*)$")
NEEDS = re.compile(r"<!-- needs: (.+?) -->")
FILE = re.compile(r"# ([\w-]+\.(?:yaml|csv))\n")
ASSIGNMENT = re.compile(r"[A-Z_]+=")
SUBSTITUTION = re.compile(r"\$\([^()]*\)")
TOOLS = ("keyreid", "make")
BENCHMARK = "benchmarks."
NOT_REPEATED = (
    "source .venv/bin/activate",
    "eval ",  # the shell's own; completion is tested in tests/pipeline/test_cli.py
    "make test",
    "make lint",
    "make docs",
)  # they run, or this is them
ONCE = ("make demo", "make demo-videos")  # what several documents begin with

# Small enough for seconds, whatever a command says: appended to it.
TINY = [
    word
    for value in (
        "model.backbone_args={patch_size: 16, depth: 2, embed_dim: 32, num_heads: 2}",
        "model.image_size=[64, 32]",
        "train.epochs=1",
        "train.sampler.identities=2",
        "train.sampler.tracklets=2",
        "train.schedule.warmup_epochs=0",
        "pose.workers=1",  # a process of its own takes seconds to start
        "eval.top_k=3",
    )
    for word in ("--set", value)
]
ABLATION = {
    "recipe": "walkers",
    "seeds": [1],
    "set": TINY[1::2],
    "variants": {"a": [], "b": ["model.kps=false"]},
}
SMALL = {
    "train": [*TINY, "--epochs", "1"],
    # the weights of others are not here
    "extract-poses": ["--set", "pose.estimator=walkers", "--set", "pose.workers=1"],
    "demo": TINY,
    "ablation": ["--config", "small-ablation.yaml", "--workers", "1"],
}
# Defaults of `synthesize`, for commands that call it themselves.
WALKERS = {
    "identities": 4,
    "cameras": 2,
    "tracklets": 3,
    "min_frames": 4,
    "max_frames": 5,
    "distractors": 2,
    "junk": 2,
    "workers": 1,
}


@dataclass(frozen=True)
class Block:
    """A fenced block. line: that of its first row, from 1. needs: what is not here, or ""."""

    file: Path
    line: int
    kind: str
    text: str
    needs: str

    @property
    def place(self) -> str:
        return f"{self.file.relative_to(ROOT)}, line {self.line}"


def read_blocks(path: Path, text: str | None = None) -> list[Block]:
    """All fenced blocks of a Markdown file, or of a page's text, in order. Raises AssertionError for one that
    never ends."""
    blocks: list[Block] = []
    opened: tuple[int, str, str, str] | None = None
    inside: list[str] = []
    before = ""
    text = path.read_text(encoding="utf-8") if text is None else text
    for number, row in enumerate(text.splitlines(), start=1):
        found = FENCE.match(row)
        if opened is None and found:
            needs = NEEDS.fullmatch(before.strip())
            opened = (number, found[2], found[3].strip(), needs[1] if needs else "")
        elif opened is not None and found and found[2].startswith(opened[1]) and not found[3].strip():
            blocks.append(Block(path, opened[0] + 1, opened[2].split(" ")[0], "\n".join(inside), opened[3]))
            opened, inside, before = None, [], ""
        elif opened is not None:
            inside.append(row)
        elif row.strip():
            before = row
    assert opened is None, f"{path}: the block that begins in line {opened[0]} never ends"
    return blocks


def commands(text: str) -> list[str]:
    """The logical lines of a shell block: continued ones joined, comments and empty ones left out."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")]


def parse_words(words: list[str]) -> None:
    """Check a `keyreid` command as click does, without running it. Raises click.ClickException."""
    command, context = keyreid, click.Context(keyreid, info_name="keyreid")
    words = words[1:]
    while isinstance(command, click.Group):
        name = next((w for w in words if not w.startswith("-")), None)
        if name is None:
            return
        assert name in command.list_commands(context), f"{name} is not a command"
        command, words = command.get_command(context, name), words[words.index(name) + 1 :]
        if {"-h", "--help"} & set(words):
            return
        context = (
            command.make_context(name, list(words), parent=context)
            if not hasattr(command, "commands")
            else click.Context(command, info_name=name, parent=context)
        )


def keyreid_lines(words: list[str]) -> list[list[str]]:
    """The `keyreid` commands that a `make` command stands for; empty for targets that call none."""
    call = ["make", "--no-print-directory", "-n", "-C", str(ROOT), "VENV=/nowhere", *words[1:]]
    answer = subprocess.run(call, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    marks = ("/nowhere/bin/keyreid ", "-m pipeline ")
    found = []
    for line in answer.stdout.splitlines():
        for mark in marks:
            if mark in line:
                found.append(["keyreid", *shlex.split(line.split(mark, 1)[1])])
    return found


def check_marked(block: Block) -> int:
    """Parse the commands of a block that cannot run here; the number of commands."""
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block.place}: {done.stderr}"
    number = 0
    for line in commands(block.text):
        words = shlex.split(SUBSTITUTION.sub("", line), comments=True)
        if words and words[0] in TOOLS:
            for call in keyreid_lines(words) if words[0] == "make" else [words]:
                parse_words(call)
            number += 1
        elif is_benchmark(words):
            parse_benchmark(words)
            number += 1
    return number


def is_benchmark(words: list[str]) -> bool:
    """Whether a command is `python -m benchmarks.NAME ...`, names set before it or not."""
    at = words.index("python") if "python" in words else len(words)
    return words[at + 1 : at + 2] == ["-m"] and "".join(words[at + 2 : at + 3]).startswith(BENCHMARK)


def parse_benchmark(words: list[str]) -> argparse.Namespace:
    """The options of a benchmark's command, which is not run. Raises AssertionError for a wrong one."""
    at = words.index("-m") + 1
    assert all(ASSIGNMENT.match(word) for word in words[: at - 2]), shlex.join(words)
    try:
        return importlib.import_module(words[at]).parse(words[at + 1 :])
    except (SystemExit, ImportError) as error:
        raise AssertionError(f"{shlex.join(words)}: {error}") from error


class Runner:
    """Executes blocks in one working folder, in this process: torch is imported once.

    Names set by a shell block hold in later blocks of the same file, as for a reader at one terminal.
    """

    done: ClassVar[set[tuple[Path, str]]] = set()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: list[str] = []
        self.names: dict = {"__name__": "docs"}

    def run(self, block: Block) -> None:
        """Execute a block. Raises whatever goes wrong in it."""
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            if named := FILE.match(block.text):
                (self.folder / named[1]).write_text(block.text + "\n")
            if block.kind == "python":
                exec(compile(block.text, block.place, "exec"), self.names)
            elif block.kind == "yaml":
                check_recipe(block)
            elif block.kind == "bash":
                for line in commands(block.text):
                    self.line(line, block)
        finally:
            os.chdir(before)

    def line(self, line: str, block: Block) -> None:
        """One shell command. The shell expands its words; the program itself runs here."""
        tool = line.split()[0]
        if any(line.startswith(known) for known in NOT_REPEATED) or (self.folder, line) in self.done:
            return
        if line in ONCE:
            self.done.add((self.folder, line))
        if ASSIGNMENT.match(tool):
            self.settings.append(line)
        elif tool in TOOLS:
            words = self.expand(line)
            for call in keyreid_lines(words) if tool == "make" else [words]:
                self.keyreid(call)
        elif tool == "python":
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            subprocess.run([sys.executable, *self.expand(line)[1:]], check=True, env=environment)
        else:
            raise AssertionError(
                f"{block.place}: no way to run {line!r} here; mark the block with what it needs"
            )

    def expand(self, line: str) -> list[str]:
        """The words of a command after expansion by bash, with the names set so far."""
        tool = line.split()[0]
        script = [*self.settings, f'{tool}() {{ printf "%s\\0" {tool} "$@"; }}', line]
        answer = subprocess.run(
            ["bash", "-euc", "\n".join(script)], capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, f"{line}: {answer.stderr}"
        return answer.stdout.split("\0")[:-1]

    def keyreid(self, words: list[str]) -> None:
        """Run a `keyreid` command, made small."""
        words = [*words[1:], *SMALL.get(words[1], [])]
        cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
        if (
            words[0] == "ablation"
        ):  # takes as many threads as there are cores, which is slow beside other work
            os.sched_setaffinity(0, {min(cores)})
        try:
            keyreid.main(words, prog_name="keyreid", standalone_mode=False)
        except SystemExit as stop:
            assert not stop.code, f"keyreid {shlex.join(words)}: exit code {stop.code}"
        finally:
            os.sched_setaffinity(0, cores)
            torch.set_num_threads(threads)


def check_recipe(block: Block) -> None:
    """A yaml block is a cameras.yaml, travel times, or sections of a recipe: valid over that of walkers."""
    if "cameras" in (content := yaml.safe_load(block.text)):
        Cameras(**content)
        return
    if "travel" in content:
        Ways(**content)
        return
    base = yaml.safe_load((CONFIGS / "walkers.yaml").read_text(encoding="utf-8"))
    check(Recipe, base | content, source=block.place)
