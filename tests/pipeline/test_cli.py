"""The command line as a whole: table of contents, completion, how commands end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from cache.writer import write_cache
from pipeline.cli import COMMANDS, GROUPS
from stages.datasets import load_dataset
from tests.pipeline.conftest import TINY
from tests.stages.cluster import two_workers
from tests.stages.pose.compare import assert_same_shards

FOLDER = Path(__file__).resolve().parents[2] / "pipeline/commands"


def test_help_lists_every_command_once_in_its_group(keyreid):
    text = keyreid("--help").out
    titles = [f"{title}:" for title in GROUPS]
    assert [line for line in text.splitlines() if line in titles] == titles
    assert all(text.count(f"\n  {name} ") == 1 for name in COMMANDS)
    files = {path.stem.replace("_", "-") for path in FOLDER.glob("[a-z]*.py")}
    assert files == set(COMMANDS) and sum(map(len, GROUPS.values())) == len(files)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["keyreid", "extr"], {"extract-poses"}),
        (["keyreid", "search", "--dist"], {"--distance"}),
        (["keyreid", "search", "--distance", ""], {"euclidean", "cosine", "visible"}),
        (["keyreid", "eval", "--out"], {"--output"}),
    ],
)
def test_the_shell_completes_commands_options_and_values(typed, expected):
    words = {"_KEYREID_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(typed),
             "COMP_CWORD": str(len(typed) - 1)}  # fmt: skip
    code = "from pipeline.cli import keyreid; keyreid(prog_name='keyreid')"
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, env=os.environ | words, check=False)
    assert {line.split(",", 1)[1] for line in done.stdout.splitlines()} == expected, done.stderr


@pytest.mark.parametrize("command", ["calibrate", "compare", "search", "env", "doctor"])
def test_ctrl_c_ends_any_command_in_one_line_and_130(keyreid, monkeypatch, command):
    """The command's own function is replaced by what Ctrl-C raises in it."""
    from pipeline.cli import keyreid as group

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    found = group.get_command(None, command)
    monkeypatch.setattr(found, "invoke", interrupted)
    words = {"calibrate": ["g"], "compare": ["a", "b"], "search": ["--gallery", "g", "--query", "q"]}
    result = keyreid(command, *words.get(command, []))
    assert result.code == 130 and result.err.split("\n")[-2:] == ["keyreid: interrupted", ""], result
    assert "Traceback" not in result.err


def interrupt(words, ready, again=False):
    """Start a command as a terminal does, press Ctrl-C once it is ready; its exit code and stderr.

    again: press once more when it has said that it was interrupted.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, words)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and not ready(process.pid):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    if again:
        while process.stderr.readline() not in ("keyreid: interrupted\n", ""):
            pass
        os.killpg(process.pid, signal.SIGINT)
    return process.returncode or process.wait(60), process.stderr.read().split("\n")


def workers_of(pid):
    """Worker processes, whose modules may still be loading."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [c for c in children if "popen_loky_posix" in Path(f"/proc/{c}/cmdline").read_text()]


def test_ctrl_c_with_workers_is_one_line_however_early_it_comes(tmp_path):
    code, lines = interrupt(
        ["synthesize", "-o", tmp_path / "w", "--workers", 2], lambda pid: len(workers_of(pid)) > 1
    )
    assert code == 130 and [line for line in lines if line] == ["keyreid: interrupted"]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_ctrl_c_while_an_ablation_trains_is_one_line(walkers_tiny, tmp_path):
    names = load_dataset("walkers", walkers_tiny).frames()
    heat = np.zeros((len(names), 17, 64, 32), np.uint8)
    write_cache(tmp_path / "poses", names, heat, np.zeros((len(names), 17, 3)), np.full((len(names), 2), 64))
    content = {"recipe": "walkers", "seeds": [1, 2], "set": [*TINY, "train.epochs=500"]}
    content |= {"variants": {"a": []}}
    (tmp_path / "ablation.yaml").write_text(yaml.safe_dump(content))
    where = ["--data-root", walkers_tiny, "--cache", tmp_path / "poses", "-o", tmp_path / "out"]

    def training(_):
        return len(list(tmp_path.glob("out/*/seed-*/metrics.jsonl"))) > 1

    words = ["ablation", "--config", tmp_path / "ablation.yaml", *where, "--workers", "2"]
    code, lines = interrupt(words, training)
    assert code == 130 and [line for line in lines if line][-1] == "keyreid: interrupted"
    assert not any("Traceback" in line or "Error" in line for line in lines), lines


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_of_a_run_on_dask_is_one_line_and_the_same_command_goes_on(keyreid, walkers_tiny, tmp_path):
    pytest.importorskip("distributed", reason="pip install -r requirements/cluster.txt")
    poses, tiny = tmp_path / "poses", ["--set", "pose.shard_frames=8"]
    words = ["extract-poses", "--data-root", walkers_tiny, *tiny, "--cache"]
    with two_workers(tmp_path) as (address, _):
        on_dask = [*words, poses, "--scheduler", address]
        code, lines = interrupt(on_dask, lambda _: len(list(poses.glob("shard-*.h5"))) > 1)
        assert code == 130 and [line for line in lines if line] == ["keyreid: interrupted"]
        assert not list(poses.glob("*.tmp")) and not (poses / "manifest.json").exists()
        assert keyreid(*on_dask).code == 0
    assert keyreid(*words, tmp_path / "here").code == 0
    assert_same_shards(poses, tmp_path / "here")


def test_what_a_locale_cannot_print_is_printed_as_escapes(tmp_path):
    path = tmp_path / "é✓.csv"
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = (
        "from stages.terminal import *; from pipeline import cli; text = chr(0x2713) + chr(0xe9)\n"
        "def printed():\n say(text); show(text_table(text)); say(text, True, 'bold')\n"
        " with progress('{task.description}') as bar: bar.add_task(text)\n"
        "cli.show_warnings = printed; cli.main()"
    )
    run = [sys.executable, "-c", code, "gallery", "list", str(path)]
    done = subprocess.run(run, capture_output=True, text=True, env=os.environ | locale, check=False)
    assert done.returncode == 2 and done.stdout.count("\\u2713\\xe9") == 2, done
    assert done.stderr.count("\\u2713\\xe9") == 2 and "Traceback" not in done.stderr, done


def test_ctrl_c_while_modules_load_is_one_line():
    loading = "numpy/_core/_multiarray_umath"
    code, lines = interrupt(["env"], lambda pid: loading in Path(f"/proc/{pid}/maps").read_text())
    assert code == 130 and lines == ["keyreid: interrupted", ""]


def test_a_second_ctrl_c_while_the_command_ends_changes_nothing():
    def loading(pid):
        return "libtorch_cpu" in Path(f"/proc/{pid}/maps").read_text()

    assert interrupt(["env"], loading, again=True) == (130, [""])


def test_ctrl_c_while_a_dataclass_is_made_is_exit_code_130_too(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import _thread, sys, types\n"
        "command = types.ModuleType('pipeline.commands.env')\n"
        "def invoke(*_, **__): exec('_thread.interrupt_main()\\nwhile True: pass', {'_thread': _thread})\n"
        "class Stop:\n make_context = staticmethod(invoke)\n"
        "command.command = Stop()\n"
        "sys.modules[command.__name__] = command\n"
    )
    where = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(FOLDER.parents[1])])}
    run = [sys.executable, "-m", "pipeline", "env"]
    done = subprocess.run(run, capture_output=True, text=True, env=os.environ | where, check=False)
    assert done.returncode == 130 and done.stderr.split() == ["keyreid:", "interrupted"], done


@pytest.mark.parametrize("option", ["--data-root", "--config"])
def test_a_path_that_the_system_refuses_is_one_line(keyreid, tmp_path, option):
    result = keyreid("doctor", "--dataset", "folder", "--data-root", tmp_path, option, "x" * 5000)
    assert result.code == 2 and result.err.startswith("keyreid: error: ") and "name too long" in result.err
    assert result.err.count("\n") == 1


def test_a_wrong_command_or_option_is_exit_code_2(keyreid):
    assert keyreid("trian").code == 2
    assert keyreid("train", "--epoch", 3).code == 2


@pytest.mark.parametrize("words", [["synthesize", "-o", "w"], ["env"]])
def test_a_command_started_in_a_deleted_folder_is_one_line(tmp_path, words):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os; os.rmdir(os.getcwd()); from pipeline.cli import main; main()"
    run = [sys.executable, "-c", code, *words]
    where = {"PYTHONPATH": str(FOLDER.parents[1])}
    done = subprocess.run(run, cwd=gone, capture_output=True, text=True, env=os.environ | where, check=False)
    assert done.returncode == 2 and done.stderr.startswith("keyreid: error: the current folder: "), done
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [["train", "--set", "train.epochs={}"], ["embed", "x", "--append", "y", "--part", "{}/3"], ["{}"],
     ["embed", "--dataset", "folder", "--split", "{}"], ["doctor", "--data-root", "{}"]],
)  # fmt: skip
def test_a_value_of_5000_digits_is_shortened(keyreid, words):
    result = keyreid(*(word.format("9" * 5000) for word in words))
    assert result.code == 2 and "...(48" in result.err and len(result.err) < 600
    assert "Traceback" not in result.err
