"""Ctrl-C where there are worker processes: the terminal signals all of them, and one of them is to answer."""

import _thread
import contextlib
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker

from joblib.externals.loky.backend import resource_tracker as joblib_tracker

LOOK = 0.1  # seconds


@contextlib.contextmanager
def workers_unaware() -> Iterator[None]:
    """Processes that are started within `with` never see Ctrl-C; in this one it is KeyboardInterrupt as ever.

    The mask of a thread is that of the processes it starts, so SIGINT is blocked here, and a thread waits for
    it. Does nothing outside the main thread, where no KeyboardInterrupt comes up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    for tracker in (resource_tracker, joblib_tracker):
        tracker.ensure_running()  # these helper processes, when they are started, let signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    over = threading.Event()

    def wait() -> None:
        while not over.is_set():
            if signal.sigtimedwait({signal.SIGINT}, LOOK) is not None:
                _thread.interrupt_main()

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    try:
        yield
    finally:
        over.set()
        waiter.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def interrupts_later() -> Iterator[None]:
    """Ctrl-C within `with` comes up after it, and never in processes that are started there.

    The mask of this thread is that of the processes. Another thread may be given the signal meanwhile, and
    Python then calls the handler in the main thread all the same, so there is one that remembers it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
        if caught and callable(handler):
            handler(signal.SIGINT, None)  # at once: raise_signal would come up some calls later
        elif caught:
            signal.raise_signal(signal.SIGINT)
