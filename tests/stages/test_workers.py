"""Tasks in local processes; on Dask: tests/stages/pose/test_dask.py and tests/stages/reid/test_dask.py."""

import os
import threading

import joblib
import pytest

from stages.workers import run_tasks


def process_of(task: int) -> int:
    return os.getpid()


def test_local_workers_are_not_those_of_an_earlier_stage():
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        earlier = set(joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(8)))
    ours = set(run_tasks(process_of, range(8), workers=2, threads=1, scheduler=None))
    assert earlier and ours and not earlier & ours


@pytest.mark.slow
def test_a_run_waits_for_workers_of_a_cluster_as_long_as_it_takes(caplog):
    distributed = pytest.importorskip("distributed", reason="pip install -r requirements/cluster.txt")
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        starting = threading.Timer(13, cluster.scale, (1,))  # joblib alone waits for 10 s
        starting.start()
        address = cluster.scheduler_address
        assert list(run_tasks(process_of, range(2), 1, 1, address)) == [os.getpid()] * 2
        starting.join()
    assert f"--scheduler {address} has no workers" in caplog.text
