"""The full `train` command in two processes: they learn what one learns, and stop and resume as one does."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.reid.training.checkpoint import CheckpointFolder
from tests.pipeline.conftest import TINY_SET, Trained

# Where torch is a CPU build beside a CUDA build of torchvision, accelerate's own imports need stages.compat.
ACCELERATE = "import stages.compat; from accelerate.commands.launch import main; main()"
ROOT = Path(__file__).resolve().parents[2]


def make_line() -> list[str]:
    """What `make train NPROC=2` gives to Python before the command itself: torchrun with its options."""
    words = ["make", "-n", "--no-print-directory", "-C", str(ROOT), "VENV=/none", "train", "NPROC=2"]
    answer = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    (line,) = [shlex.split(line) for line in answer.splitlines() if " -m pipeline train " in line]
    assert line[0] == "/none/bin/python"
    return line[1 : line.index("train") - 2]


LAUNCHERS = {
    "make": make_line(),
    "accelerate": ["-c", ACCELERATE, "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
                   "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"],
}  # fmt: skip


def launch(launcher: list[str], trained: Trained, folder: Path, *words: str) -> subprocess.Popen:
    """Start `train` with the runs in folder."""
    command = [sys.executable, "-W", "ignore", *launcher, "-m", "pipeline", "train"]
    command += ["--data-root", str(trained.data), "--cache", str(trained.poses), "--runs", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*command, *TINY_SET, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, cwd=folder,
    )  # fmt: skip


def losses(run: Path) -> list[float]:
    """Of the steps that are written down whole."""
    path = run / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("launcher", ["make", pytest.param("accelerate", marks=pytest.mark.slow)])
def test_two_launched_processes_learn_what_one_learns(launcher, trained: Trained, tmp_path):
    started = launch(LAUNCHERS[launcher], trained, tmp_path)
    out, err = started.communicate()
    assert started.returncode == 0, err[-3000:]
    assert out.count("trained: ") == 1
    (run,) = (tmp_path / "walkers").iterdir()
    assert "2 process(es)" in (run / "log.txt").read_text()
    one, two = losses(trained.run), losses(run)
    assert len(one) == 8 and two == pytest.approx(one, rel=1e-5)


def trainers_of(pid: int) -> list[int]:
    """The processes that a launcher has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("number", "everyone", "code"),
    [
        (signal.SIGTERM, True, 143),
        pytest.param(signal.SIGINT, False, 130, marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_the_launcher_saves_and_a_resume_finishes(
    number, everyone, code, trained: Trained, keyreid, tmp_path
):
    """everyone: as a batch system does, so that each process gets the signal twice."""
    started = launch(LAUNCHERS["make"], trained, tmp_path, "--epochs", "12")
    while not (runs := list(tmp_path.glob("walkers/*"))) or len(losses(runs[0])) < 3:
        assert started.poll() is None, started.communicate()[1][-3000:]
        time.sleep(0.01)
    for pid in (*(trainers_of(started.pid) if everyone else ()), started.pid):
        os.kill(pid, number)
    _, err = started.communicate()
    assert started.returncode == code, err[-3000:]
    assert "Traceback" not in err and "stopped after step" in err
    (run,) = runs
    done = len(losses(run))
    assert done < 48
    assert CheckpointFolder(run / "checkpoints", 1).newest().name == f"state-{done:08d}.pt"
    resumed = keyreid("train", "--resume", "--run", run)
    assert resumed.code == 0, resumed.err
    assert len(losses(run)) == 48 and (run / "model.safetensors").is_file()


@pytest.mark.timeout(100)
def test_a_mistake_in_the_input_gives_its_exit_code_through_the_launcher(trained: Trained, tmp_path):
    started = launch(LAUNCHERS["make"], trained, tmp_path, "--set", "train.sampler.identities=9")
    _, err = started.communicate()
    assert started.returncode == 2 and "Traceback" not in err, err[-3000:]
    assert "keyreid: error: " in err and "ended with exit code 2" in err


def test_ctrl_c_while_the_launcher_loads_is_one_line():
    started = subprocess.Popen(
        [sys.executable, "-m", "pipeline.launch", "--nproc-per-node", "2", "-m", "pipeline", "env"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    while "libtorch_cpu" not in Path(f"/proc/{started.pid}/maps").read_text():
        time.sleep(0.01)
    os.killpg(started.pid, signal.SIGINT)
    _, err = started.communicate()
    assert (started.returncode, err) == (130, "keyreid: interrupted\n")
