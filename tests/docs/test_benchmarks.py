"""Benchmarks: their page, their commands wherever a document names one, and each of them run, made small."""

import importlib
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch

from tests.docs.blocks import (
    ROOT,
    Block,
    check_marked,
    commands,
    is_benchmark,
    parse_benchmark,
    read_blocks,
)
from tests.docs.test_blocks import FILES, NAMES

SCRIPTS = [path.stem for path in sorted((ROOT / "benchmarks").glob("*.py")) if path.stem != "__init__"]
# In a line of text, which may end within the command, or in a block.
NAMED = re.compile(r"^python -m benchmarks\..+|(?<=`)python -m benchmarks\.[^`]+", re.MULTILINE)
# Options that make each as small as it goes, and a part of what it then prints.
SMALL = {
    "browse": ("--tracklets 6 --frames 2 --rounds 1", "index.html: "),
    "cache": ("--frames 6 --rounds 1 --data-root data/walkers", "bytes a frame with everything"),
    "extract": ("--estimators walkers --frames 6 --rounds 1 --data-root data/walkers", "at the median"),
    "link": ("--size 200 --width 64", "identities of 50 persons"),
    "network": ("--small --clips 2 --repeats 1", "by count: ratio of the operations"),
    "occluded_queries": ("", "skipped: needs --data-root of Market-1501"),
    "real_people": ("", "skipped: needs --data-root of Market-1501"),
    "real_poses": ("", "skipped: needs --data-root"),
    "released_cameras": ("", "skipped: needs --data-root of MARS"),
    "scoring": ("--rounds 1 --queries 40 --gallery 300", "by all three"),
    "scoring_scale": ("--queries 100 --gallery 1000 --width 16 --check 5", "AP of 5 queries against a sort"),
    "track": ("--video door.mp4 --boxes door.txt", "IDF1"),
    "synthesize": ("--rounds 1 --tracklets 1", "frames/s median of 1 rounds"),
    "visible_parts": ("--embeddings EMBEDDINGS --data-root data/walkers", "95 % interval"),
}
ELSEWHERE = {  # these have tests of their own
    "export": "tests/benchmarks/test_export.py",
    "floors": "tests/benchmarks/test_floors.py",
    "loader": "tests/benchmarks/test_loader.py",
    "reliability": "tests/benchmarks/test_reliability.py",
    "search": "tests/benchmarks/test_search.py",
}


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> list[Block]:
    """The blocks of the generated page."""
    monkeypatch.syspath_prepend(str(ROOT / "docs/tools"))
    from benchmarks_page import benchmarks_page

    return read_blocks(ROOT / "docs/benchmarks.md", benchmarks_page())


@pytest.fixture
def quick(work: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Runs a benchmark in the working folder; cores, threads and real data are as before when it is done."""
    cores, threads, opencv = os.sched_getaffinity(0), torch.get_num_threads(), cv2.getNumThreads()
    monkeypatch.chdir(work)
    monkeypatch.delenv("KEYREID_REAL_DATA", raising=False)
    (embeddings,) = list(work.glob("runs/walkers/*/eval/embeddings.h5"))[:1]

    def run(name: str, options: str) -> None:
        words = shlex.split(options.replace("EMBEDDINGS", str(embeddings)))
        importlib.import_module(f"benchmarks.{name}").main(words)

    yield run
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(threads)
    cv2.setNumThreads(opencv)


def test_every_benchmark_is_on_the_page_with_commands_that_it_takes(page: list[Block]):
    found = set()
    for block in page:
        assert block.kind == "bash" and block.needs
        assert check_marked(block) == len(commands(block.text)) > 0, block.text
        found |= {re.search(r"benchmarks\.(\w+)", line)[1] for line in commands(block.text)}
    assert found == set(SCRIPTS)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_benchmarks_that_a_document_names_take_these_options(path: Path):
    for found in NAMED.findall(path.read_text(encoding="utf-8").replace("\\\n", " ")):
        words = shlex.split(found, comments=True)
        assert is_benchmark(words)
        parse_benchmark(words)


@pytest.mark.parametrize("name", SMALL)
def test_a_small_run_of_each_says_what_it_measured(name: str, quick, capfd: pytest.CaptureFixture):
    options, said = SMALL[name]
    quick(name, options)
    assert said in capfd.readouterr().out


@pytest.mark.slow
def test_tracking_is_measured_on_made_videos_too(quick, capfd: pytest.CaptureFixture):
    quick("track", "--persons 2")
    assert "IDF1" in capfd.readouterr().out


def test_no_benchmark_is_without_a_run():
    assert {*SMALL, *ELSEWHERE} == set(SCRIPTS)
    for name, path in ELSEWHERE.items():
        assert re.search(rf"from benchmarks\.{name} import (\w+, )*main\b", (ROOT / path).read_text())


@pytest.mark.parametrize(
    "line",
    [
        "python -m benchmarks.nothing",
        "python -m benchmarks.scoring --round",
        "X=1 python -m benchmarks.cache 3",
    ],
)
def test_a_wrong_command_of_a_benchmark_is_noticed(line: str):
    with pytest.raises(AssertionError):
        check_marked(Block(ROOT / "docs/benchmarks.md", 1, "bash", line, "time"))
