"""Ctrl-C and processes that are being started."""

import os
import signal
import subprocess
import sys

import pytest

from stages.interrupts import interrupts_later

MASK = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"


def test_ctrl_c_comes_up_afterwards_and_not_in_a_process_started_meanwhile():
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_later():
        child = subprocess.Popen([sys.executable, "-c", MASK], stdout=subprocess.PIPE, text=True)
        os.kill(os.getpid(), signal.SIGINT)
        done.append(child.communicate()[0])
    assert "SIGINT" in done[0]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
