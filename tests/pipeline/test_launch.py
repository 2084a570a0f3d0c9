"""The full `train` command under torchrun and accelerate launch: two processes learn what one learns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.conftest import TINY_SET, Trained

# Where torch is a CPU build beside a CUDA build of torchvision, accelerate's own imports need stages.compat.
ACCELERATE = "import stages.compat; from accelerate.commands.launch import main; main()"
LAUNCHERS = {
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    "accelerate": ["-c", ACCELERATE, "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
                   "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"],
}  # fmt: skip


@pytest.mark.timeout(200)
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_launched_processes_learn_what_one_learns(launcher, trained: Trained, tmp_path):
    command = [sys.executable, "-W", "ignore", *LAUNCHERS[launcher], "-m", "pipeline", "train"]
    command += ["--data-root", str(trained.data), "--cache", str(trained.poses), "--runs", str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [*command, *TINY_SET], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("trained: ") == 1
    (run,) = (tmp_path / "walkers").iterdir()
    assert "2 process(es)" in (run / "log.txt").read_text()
    one, two = (
        [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (trained.run, run)
    )
    assert len(one) == 8 and two == pytest.approx(one, rel=1e-5)
