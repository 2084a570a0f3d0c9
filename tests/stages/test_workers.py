"""Tasks in local processes; on Dask: tests/stages/pose/test_dask.py and tests/stages/reid/test_dask.py."""

import os

import joblib

from stages.workers import run_tasks


def process_of(task: int) -> int:
    return os.getpid()


def test_local_workers_are_not_those_of_an_earlier_stage():
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        earlier = set(joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(8)))
    ours = set(run_tasks(process_of, range(8), workers=2, threads=1, scheduler=None))
    assert earlier and ours and not earlier & ours
