"""A Dask scheduler with two workers, in processes of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

CLUSTER = """
import sys, distributed
if __name__ == "__main__":
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        print(cluster.scheduler_address, *[w.pid for w in cluster.workers.values()], flush=True)
        sys.stdin.read()
"""


@contextlib.contextmanager
def two_workers(folder: Path, variables: Mapping[str, str] = {}) -> Iterator[tuple[str, list[int]]]:
    """Address of a scheduler and process ids of its two workers. variables: Dask's own."""
    script = folder / "cluster.py"
    script.write_text(CLUSTER)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", **variables}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    try:
        address, *pids = process.stdout.readline().split()
        yield address, [int(pid) for pid in pids]
        process.stdin.close()
        process.wait(timeout=30)
    finally:
        process.kill()
        process.wait()


def kill_busy(client, folder: Path, made: str, seconds: float, killed: list[int]) -> None:
    """Kill a worker that has a task once `folder` has a match of `made`; `killed` gets their number."""
    pids = client.run(os.getpid)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done = len(list(folder.glob(made)))
        busy = [worker for worker, tasks in client.processing().items() if tasks]
        if done and busy:
            killed.append(done)
            os.kill(pids[busy[0]], signal.SIGKILL)
            return
        time.sleep(0.005)
