"""Where shard tasks run: here, in local processes, or on a Dask cluster. joblib does all three."""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import joblib

from cache.errors import KeyReIDError
from cache.manifest import ShardEntry
from stages.extras import extra
from stages.interrupts import workers_unaware
from stages.pose.shard_task import ShardTask, make_poses, run_shard, write_poses

FEW = 256


def cores() -> int:
    return len(os.sched_getaffinity(0))


def run_tasks(
    tasks: Iterable[ShardTask], workers: int, threads: int, scheduler: str | None
) -> Iterator[tuple[int, ShardEntry]]:
    """Run shard tasks; yields (number, entry) as each is done, in any order.

    workers: local processes; 1: this one. scheduler: tcp://host:port of a Dask scheduler instead.
    Raises KeyReIDError where a task fails or its process dies.
    """
    if scheduler is not None:
        yield from _on_dask(tasks, scheduler)
    elif workers == 1:
        yield from _here(tasks)
    else:
        yield from _in_processes(tasks, workers, threads)


def _here(tasks: Iterable[ShardTask]) -> Iterator[tuple[int, ShardEntry]]:
    """In this process; a shard is packed to its end and written while the network is at the next one."""
    with ThreadPoolExecutor(1) as writer:
        writing: dict[int, Future] = {}  # none or one
        for task in tasks:
            batches = make_poses(task)
            yield from ((number, entry.result()) for number, entry in writing.items())
            writing = {task.number: writer.submit(write_poses, task, batches)}
        yield from ((number, entry.result()) for number, entry in writing.items())


def _numbered(task: ShardTask, parent: int | None = None) -> tuple[int, ShardEntry]:
    """Run a task in a worker. parent: process id of the run, where it is on this machine."""
    if parent is not None:
        _end_with(parent)
    return task.number, run_shard(task)


@functools.cache
def _end_with(parent: int) -> None:
    """End this worker when the run is gone: workers of a killed run would linger."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _in_processes(tasks: Iterable[ShardTask], workers: int, threads: int) -> Iterator[tuple[int, ShardEntry]]:
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # Workers of an earlier stage of this process would be taken for leaking once the network is in them.
    get_reusable_executor().shutdown(wait=True)
    try:
        with workers_unaware(), joblib.parallel_config(backend="loky", inner_max_num_threads=threads):
            pool = joblib.Parallel(
                n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs"
            )
            yield from pool(joblib.delayed(_numbered)(task, os.getpid()) for task in tasks)
    except TerminatedWorkerError as error:
        raise KeyReIDError(
            "a worker process was killed, possibly out of memory; run the command again to continue, "
            f"with fewer than --workers {workers} if it happens again"
        ) from error
    finally:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _on_dask(tasks: Iterable[ShardTask], scheduler: str) -> Iterator[tuple[int, ShardEntry]]:
    with extra(f"--scheduler {scheduler}", "-r requirements/cluster.txt"):
        from distributed import Client, KilledWorker

        backend = _dask_backend()
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise KeyReIDError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error})") from error
    with contextlib.closing(client), joblib.parallel_config(backend=backend(client=client)):
        pool = joblib.Parallel(return_as="generator_unordered", batch_size=1)
        try:
            yield from pool(joblib.delayed(_numbered)(task) for task in tasks)
        except KilledWorker as error:
            raise KeyReIDError(
                f"--scheduler {scheduler}: Dask workers died repeatedly at one shard, possibly out "
                "of memory; see their logs and run the command again to go on"
            ) from error


def _dask_backend() -> type:
    """joblib's backend for Dask, with one change: errors that are not the task's own, such as KilledWorker,
    reach the run, which would otherwise wait forever."""
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        def submit(self, func, callback=None):
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: done.exception() and callback(done.exception()))
            return future

    return Backend


def default_workers(threads: int, tasks: int, frames: int, device: str) -> int:
    """Enough workers to use every core with `threads` each; a few share a GPU.

    Never more than tasks, and none for less than FEW frames: starting one takes seconds.
    """
    fit = max(cores() // threads, 1)
    return max(1, min(fit if device == "cpu" else min(fit, 4), tasks, frames // FEW))
