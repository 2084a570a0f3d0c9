"""Runs that are killed, stopped, or meet a full disk."""

import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from stages.reid.training.checkpoint import CheckpointFolder
from tests.stages.reid.conftest import finish, records, start, train
from tests.stages.reid.driver import Job

SAVES = {"epochs": 4, "checkpoint": {"every_steps": 2, "keep": 3}}


def wait_for_step(run_dir, step, processes):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and all(p.is_alive() for p in processes):
        if len(records(run_dir)) >= step:
            return
        time.sleep(0.001)
    raise AssertionError(f"the run ended before step {step}")


def workers_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def weights(run_dir):
    return [(run_dir / f"{name}.safetensors").read_bytes() for name in ("model", "ema")]


@pytest.mark.parametrize(
    ("world", "workers", "accumulate"),
    [
        (1, 2, 3),
        pytest.param(1, 1, 1, marks=pytest.mark.slow),
        pytest.param(2, 1, 1, marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_at_random_steps_and_resumed_equals_one_never_stopped(
    once, tiny, tmp_path, world, workers, accumulate
):
    config = {**SAVES, "loader": {"workers": workers}, "optim": {"accumulate": accumulate}}
    model = {"drop_path": 0.2}
    whole = once(world=world, train=config, model=model)
    job = Job(tiny, tmp_path / "run", config, model, world=world)
    rng = random.Random(world * 10 + workers)
    for kill_at in (rng.randint(3, 9), rng.randint(12, 18)):
        processes = start(job)
        wait_for_step(job.run_dir, kill_at, processes)
        for process in processes:
            process.kill()
        assert set(finish(processes)) == {-signal.SIGKILL}
        assert not (job.run_dir / "model.safetensors").exists()
        job = replace(job, resume=True)
    train(job)
    assert weights(job.run_dir) == weights(whole)
    seen = [(r["step"], r["loss"]) for r in records(job.run_dir)]
    assert seen == [(r["step"], r["loss"]) for r in records(whole)]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_saves_and_ends_with_its_exit_code(once, tiny, tmp_path, number, code):
    config = {"epochs": 4, "checkpoint": {"every_steps": 0, "every_epochs": 0}, "loader": {"workers": 1}}
    job = Job(tiny, tmp_path / "run", config)
    processes = start(job)
    wait_for_step(job.run_dir, 3, processes)
    workers = workers_of(processes[0].pid)
    assert workers
    for target in (*workers, processes[0].pid):  # as a terminal does on Ctrl-C, and a batch system on cancel
        os.kill(target, number)
    assert finish(processes) == [code]
    (state,) = (job.run_dir / "checkpoints").glob("state-*.pt")
    assert int(state.stem.split("-")[1]) == records(job.run_dir)[-1]["step"] < 20
    assert weights(train(replace(job, resume=True))) == weights(once(train=config))


def printed(run_dir):
    return (run_dir / "stderr-0.txt").read_text()


def stopped(job, at=2):
    """Start a run, stop it by a signal at that step or later, and return after which."""
    processes = start(job)
    wait_for_step(job.run_dir, at, processes)
    os.kill(processes[0].pid, signal.SIGTERM)
    assert finish(processes) == [143]
    return records(job.run_dir)[-1]["step"]


def test_what_a_stopped_run_says_of_its_state_is_true(tiny, tmp_path):
    job = Job(tiny, tmp_path / "run", {"epochs": 50, "checkpoint": {"every_steps": 0, "every_epochs": 0}})
    step = stopped(job)
    assert printed(job.run_dir).endswith(f"stopped after step {step}; resume: {job.run_dir}\n")
    later = stopped(replace(job, resume=True, largest_file=200_000), step + 2)
    lines = printed(job.run_dir)
    assert f"resuming after step {step}, from {job.run_dir / 'checkpoints'}" in lines
    assert lines.endswith(
        f"stopped after step {later}; resume: {job.run_dir} goes on after step {step}, the last one saved\n"
    )


def test_a_run_that_could_save_nothing_says_so(tiny, tmp_path):
    job = Job(tiny, tmp_path / "run", {"epochs": 50}, largest_file=200_000)
    step = stopped(job)
    lines = printed(job.run_dir)
    assert f"stopped after step {step}; no training state is saved, a resume would start from the" in lines
    assert not list((job.run_dir / "checkpoints").iterdir())
    processes = start(replace(job, train={"epochs": 1}, resume=True))
    assert finish(processes) == [2], "there is no room for the network either"
    assert f"{job.run_dir} has no checkpoint yet: starting from the beginning\n" in printed(job.run_dir)
    message = (job.run_dir / "error.txt").read_text()
    assert "last.safetensors" in message and "no training state is saved" in message and "\n" not in message


def test_a_run_killed_between_the_renames_of_its_only_state_starts_again_and_a_damaged_one_is_kept(
    once, tiny, tmp_path
):
    config = {"epochs": 1, "checkpoint": {"every_steps": 0}}
    job = Job(tiny, tmp_path / "run", config)
    train(job)
    (state,) = (job.run_dir / "checkpoints").glob("state-*.pt")
    expected, record = weights(job.run_dir), state.with_suffix(".json").read_text()
    state.with_suffix(".json").write_text(record.replace('"bytes": ', '"bytes": 1'))
    assert finish(start(replace(job, resume=True))) == [2]
    message = (job.run_dir / "error.txt").read_text()
    assert state.name in message and "no other state to resume from; copy" in message and state.exists()
    state.with_suffix(".json").unlink()  # it is renamed last
    for name in ("model", "last", "ema"):
        (job.run_dir / f"{name}.safetensors").unlink()
    train(replace(job, resume=True))
    said = f"{job.run_dir} has no checkpoint, only one that was not finished: starting from the beginning\n"
    assert said in printed(job.run_dir) and weights(job.run_dir) == expected


def test_without_a_terminal_every_epoch_is_a_line(once):
    folder = once()
    lines = printed(folder).splitlines()
    assert f"started on cpu, 1 process(es), 0 reading workers each: {folder}" in lines
    epochs = [line for line in lines if line.startswith("epoch")]
    assert [line.split(":")[0] for line in epochs] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all("loss" in line and "clips/s" in line for line in epochs)


def test_a_signal_to_one_process_stops_all(tiny, tmp_path):
    job = Job(tiny, tmp_path / "run", {"epochs": 50}, world=2)
    processes = start(job)
    wait_for_step(job.run_dir, 2, processes)
    os.kill(processes[1].pid, signal.SIGTERM)
    assert finish(processes) == [143, 143]
    assert CheckpointFolder(job.run_dir / "checkpoints", 2).newest() is not None


def test_training_goes_on_where_the_disk_is_full_and_the_previous_checkpoint_stays(once, tiny, tmp_path):
    """States have over 1 MB here, networks under 0.5 MB."""
    config = {"epochs": 4, "checkpoint": {"every_epochs": 1, "keep": 5}}
    job = Job(tiny, tmp_path / "run", config)
    processes = start(job)
    wait_for_step(job.run_dir, 6, processes)
    while not any((job.run_dir / "checkpoints").glob("state-*.json")):  # a state is written in the background
        time.sleep(0.01)
    processes[0].kill()
    finish(processes)
    before = {p.name: p.read_bytes() for p in (job.run_dir / "checkpoints").iterdir() if p.suffix != ".tmp"}
    assert before
    train(replace(job, resume=True, largest_file=1_000_000))
    after = {p.name: p.read_bytes() for p in (job.run_dir / "checkpoints").iterdir()}
    assert after == before
    assert "could not be written" in (job.run_dir / "log-0.txt").read_text()
    assert weights(job.run_dir) == weights(once(train=config))


def test_a_killed_worker_ends_the_run_with_one_line(tiny, tmp_path):
    job = Job(tiny, tmp_path / "run", {"epochs": 500, "loader": {"workers": 1}})
    processes = start(job)
    wait_for_step(job.run_dir, 2, processes)
    os.kill(workers_of(processes[0].pid)[0], signal.SIGKILL)
    assert finish(processes) == [2]
    message = (job.run_dir / "error.txt").read_text()
    assert "reading process ended by itself" in message and "train.loader.workers" in message
    assert "\n" not in message
