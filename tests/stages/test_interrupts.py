"""Ctrl-C and processes that are being started."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from stages.interrupts import interrupts_later

MASK = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"


@pytest.fixture(autouse=True)
def ctrl_c_is_heard():
    """Also where these tests run in the background of a shell, which ignores it there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_another_thread_that_is_given_the_signal_does_not_bring_it_up_earlier():
    done, over = [], threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt), interrupts_later():
            signal.pthread_kill(thread.ident, signal.SIGINT)
            time.sleep(0.5)  # until it is there
            done.append(True)
    finally:
        over.set()
        thread.join()
    assert done and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_comes_up_afterwards_and_not_in_a_process_started_meanwhile():
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_later():
        child = subprocess.Popen([sys.executable, "-c", MASK], stdout=subprocess.PIPE, text=True)
        os.kill(os.getpid(), signal.SIGINT)
        done.append(child.communicate()[0])
    assert "SIGINT" in done[0]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
