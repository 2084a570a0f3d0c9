"""Where tasks run: here, in local processes, or on a Dask cluster. joblib does the latter two."""

import contextlib
import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import joblib

from cache.errors import KeyReIDError
from stages.extras import CLUSTER
from stages.interrupts import workers_unaware

log = logging.getLogger(__name__)
FEW = 256
PATIENCE = 5  # seconds between two looks at a cluster
ANSWER = 10  # seconds in which a scheduler must answer
LOUD = ("distributed.client", "distributed.core", "tornado.application", "asyncio")
FOREVER = 1e8  # seconds; joblib would give up waiting for workers after 10
Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    return len(os.sched_getaffinity(0))


def run_tasks(
    run: Callable[[Task], Result], tasks: Iterable[Task], workers: int, threads: int, scheduler: str | None
) -> Iterator[Result]:
    """run(task) of every task, as each is done, in any order.

    run: a function of a module, for it travels with the task. workers: local processes. threads: of
    libraries, per process. scheduler: tcp://host:port of a Dask scheduler instead of processes.
    Raises KeyReIDError where a task fails or its process dies.
    """
    if scheduler is not None:
        yield from _on_dask(run, tasks, scheduler)
    else:
        yield from _in_processes(run, tasks, workers, threads)


def _followed(run: Callable[[Task], Result], task: Task, parent: int) -> Result:
    """Run a task in a worker. parent: process id of the run."""
    _end_with(parent)
    return run(task)


@functools.cache
def _end_with(parent: int) -> None:
    """End this worker when the run is gone: workers of a killed run would linger."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _in_processes(
    run: Callable[[Task], Result], tasks: Iterable[Task], workers: int, threads: int
) -> Iterator[Result]:
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # Workers of an earlier stage of this process would be taken for leaking once the network is in them.
    get_reusable_executor().shutdown(wait=True)
    try:
        with workers_unaware(), joblib.parallel_config(backend="loky", inner_max_num_threads=threads):
            pool = joblib.Parallel(
                n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs"
            )
            yield from pool(joblib.delayed(_followed)(run, task, os.getpid()) for task in tasks)
    except TerminatedWorkerError as error:
        raise KeyReIDError(
            "a worker process was killed, possibly out of memory; run the command again to continue, "
            f"with fewer processes than {workers} if it happens again"
        ) from error
    finally:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _on_dask(run: Callable[[Task], Result], tasks: Iterable[Task], scheduler: str) -> Iterator[Result]:
    with CLUSTER.imported():
        from distributed import Client, KilledWorker
        from distributed.client import FutureCancelledError

        backend = _dask_backend()
    try:
        client = Client(scheduler, timeout=f"{ANSWER}s")
    except (OSError, ValueError) as error:
        raise KeyReIDError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error})") from error
    with (
        _silent(*LOUD),
        contextlib.closing(client),
        joblib.parallel_config(backend=backend(client=client, wait_for_workers_timeout=FOREVER)),
    ):
        pool = joblib.Parallel(return_as="generator_unordered", batch_size=1)
        try:
            with _missing_workers(client, scheduler):
                yield from pool(joblib.delayed(run)(task) for task in tasks)
        except (KilledWorker, FutureCancelledError) as error:
            what = "the scheduler went away; start it again with its workers"
            if isinstance(error, KilledWorker):
                what = "Dask workers died repeatedly at one task, possibly out of memory; see their logs"
            raise KeyReIDError(
                f"--scheduler {scheduler}: {what} and run the command again to go on"
            ) from error


@contextlib.contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Without what loggers say: Dask prints a traceback of what the run says in a line."""
    before = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    for logger in before:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


@contextlib.contextmanager
def _missing_workers(client, scheduler: str) -> Iterator[None]:
    """Say it while there are no workers: Dask waits for some without end or word."""
    over = threading.Event()

    def watch() -> None:
        said = False
        while client.status == "running" and not over.wait(PATIENCE):
            with contextlib.suppress(OSError):  # the scheduler went away: the run finds out
                missing = not client.nthreads()
                if missing and not said:
                    log.warning("--scheduler %s has no workers; waiting for some (Ctrl-C stops)", scheduler)
                said = missing

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(timeout=1)  # it may be waiting for the scheduler's answer


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
