"""Signals, and how many processes a machine takes."""

import os
import signal

import pytest
import torch

from cache.errors import KeyReIDError
from stages.reid.training.config import TrainConfig
from stages.reid.training.processes import StopSignals, start_processes


def test_a_signal_is_noted_and_one_that_follows_at_once_is_the_same():
    with StopSignals() as signals:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received == signal.SIGTERM


def test_a_second_signal_ends_the_process_at_once():
    child = os.fork()
    if not child:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGTERM)
            signals._since -= StopSignals.MOMENT  # as if it had been that long ago
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGINT


def test_more_processes_than_cuda_devices_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(KeyReIDError, match=r"3 processes on this machine.* 2 CUDA device"):
        start_processes(TrainConfig())


def test_compile_with_several_processes_is_refused_as_the_compiler_would_give_up_in_silence(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(KeyReIDError, match=r"train\.compile with 2 processes.*train\.compile = false"):
        start_processes(TrainConfig(device="cpu", compile=True))
