"""The whole command, killed with SIGKILL many times, makes the bytes of one that nobody disturbs."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.stages.pose import tiny
from tests.stages.reid.conftest import CONTEXT
from tests.stages.reid.own import write_run
from tests.stages.reid.test_append import film

EVENTS = ("open", "os.rename", "os.remove")
WORDS = ("embed", "clips", "--run", "run", "--cache", "poses/clips", "--part-size", "2", "--workers", "0")
WAYS = {"file": ("-o", "people.h5"), "gallery": ("--append", "people")}


def run_command(home: Path, words: tuple[str, ...], kill_at: int) -> None:
    """`keyreid` in a process of its own, which kills itself at a file event under `home`; 0: never."""
    from pipeline.cli import keyreid

    left = kill_at

    def count(event: str, arguments: tuple) -> None:
        nonlocal left
        path = os.path.abspath(str(arguments[0])) if event in EVENTS else ""  # noqa: PTH100
        if path.startswith(str(home)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    os.chdir(home)
    sys.addaudithook(count)
    keyreid(words, standalone_mode=False)


def finished(home: Path, words: tuple[str, ...], kill_at: int = 0) -> bool:
    process = CONTEXT.Process(target=run_command, args=(home, words, kill_at))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == 0


def results(home: Path) -> dict[str, bytes]:
    """What the command leaves, moved out of its way; of the index, what does not say when."""
    made = {path.name: path.read_bytes() for path in home.glob("people*") if path.is_file()}
    for path in home.glob("people/part-*"):
        made[path.name] = path.read_bytes()
    if (home / "people").is_dir():
        index = json.loads((home / "people/gallery.json").read_text())
        made["order"] = str([part["sha256"] for part in index["parts"]]).encode()
    for path in home.glob("p*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return made


def parts(home: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in home.glob("people*/part-*.h5")}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    write_run(folder / "run", tiny.write_estimator(folder / "estimator"))
    film(folder / "clips", "door", 23, tracks=7)
    return folder


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", ["gallery", pytest.param("file", marks=pytest.mark.slow)])
def test_a_command_that_is_killed_goes_on_and_makes_the_same_bytes(way, home):
    words = WORDS + WAYS[way]
    assert finished(home, words)
    quiet = results(home)
    assert len(quiet) == (1 if way == "file" else 5)
    kills, seen = 0, {}
    while not finished(home, words, kill_at=40 + 25 * kills):
        now = parts(home)
        assert all(now.get(name, inode) == inode for name, inode in seen.items()), "a part was made twice"
        seen, kills = seen | now, kills + 1
    assert kills >= 3
    assert results(home) == quiet
