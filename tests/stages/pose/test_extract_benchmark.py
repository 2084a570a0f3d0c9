"""The benchmark's table of layouts can be made anywhere, and says what to type."""

import argparse
import os

from rich.console import Console

from benchmarks.extract import layouts


def test_layouts_are_measured_in_both_memory_orders(estimator, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    console = Console(width=150, record=True)
    layouts(str(estimator), argparse.Namespace(batch_size=4, seconds=0.05), tmp_path, console)
    text = console.export_text()
    assert "contiguous" in text and "channels last" in text and "1 x 1" in text
    assert "--workers 1 --threads 1" in text
