"""The same shards on a Dask cluster: same bytes, also when a worker is killed in the middle."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from stages import workers
from stages.datasets.tracklet import Dataset, Tracklet
from stages.pose.extract import run
from tests.stages.cluster import kill_busy, two_workers
from tests.stages.pose import tiny
from tests.stages.pose.compare import assert_same_shards


def parent_of(pid: int) -> int:
    """The process that started another one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


distributed = pytest.importorskip("distributed", reason="pip install -r requirements/cluster.txt")


@pytest.fixture
def cluster(tmp_path, request):
    """Address of a scheduler and process ids of its two workers; parameters are Dask's own variables."""
    with two_workers(tmp_path, getattr(request, "param", {})) as made:
        yield made


@pytest.mark.timeout(200)
def test_a_cluster_that_loses_a_worker_makes_the_same_bytes(cluster, frames, estimator, tmp_path):
    address, _ = cluster
    many = tiny.config(estimator, shard_frames=1)
    expected = run(frames, many, tmp_path / "here")
    target = tmp_path / "there"
    killed = []

    with distributed.Client(address, set_as_default=False) as client:
        killer = threading.Thread(target=kill_busy, args=(client, target, "shard-*.h5", 150, killed))
        killer.start()
        run(frames, many.model_copy(update={"scheduler": address}), target)
        killer.join()
    assert killed and killed[0] < 6, "the worker was killed too late to matter"
    assert_same_shards(target, expected)


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "cluster", [{"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}], indirect=True, ids=["no failures"]
)
def test_workers_that_die_at_the_same_shard_again_are_reported(cluster, frames, estimator, tmp_path):
    from cache.errors import KeyReIDError

    address, pids = cluster
    target = tmp_path / "there"
    tracklets = tuple(Tracklet((frame,), 1, 1, frame) for frame in frames.frames())
    many = Dataset("tiny", frames.root, (), (), tracklets)

    def kill_both() -> None:
        deadline = time.monotonic() + 150
        while not list(target.glob("shard-*.h5")) and time.monotonic() < deadline:
            time.sleep(0.005)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_both)
    killer.start()
    with pytest.raises(KeyReIDError, match="Dask workers died repeatedly"):
        run(many, tiny.config(estimator, shard_frames=1, scheduler=address), target)
    killer.join()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_scheduler_that_goes_away_is_named_and_the_run_goes_on_elsewhere(
    frames, estimator, tmp_path, caplog
):
    from cache.errors import KeyReIDError

    many, target = tiny.config(estimator, shard_frames=1), tmp_path / "there"
    with two_workers(tmp_path) as (address, pids):

        def end_cluster() -> None:
            deadline = time.monotonic() + 150
            while not list(target.glob("shard-*.h5")) and time.monotonic() < deadline:
                time.sleep(0.005)
            os.kill(parent_of(pids[0]), signal.SIGKILL)

        killer = threading.Thread(target=end_cluster)
        killer.start()
        with pytest.raises(KeyReIDError, match=f"{address}: the scheduler went away"):
            run(frames, many.model_copy(update={"scheduler": address}), target)
        killer.join()
    assert [r for r in caplog.records if r.name == "distributed.client"] == []  # Dask's go to stderr
    assert_same_shards(run(frames, many, target), run(frames, many, tmp_path / "here"))


def test_a_scheduler_that_is_not_there_is_named(frames, estimator, tmp_path, monkeypatch):
    from cache.errors import KeyReIDError

    monkeypatch.setattr(workers, "ANSWER", 1)
    nowhere = tiny.config(estimator, scheduler="tcp://127.0.0.1:9")
    with pytest.raises(KeyReIDError, match=r"tcp://127.0.0.1:9: no Dask scheduler answers"):
        run(frames, nowhere, tmp_path)
