"""The progress bar counts what it can; a bar that is missing does not stop the run."""

import threading

import pytest

from cache.folder import PROGRESS
from stages.pose.progress import Bar, note_progress


@pytest.mark.parametrize("spoil", ["removed", "cut", "a folder"])
def test_a_missing_bar_does_not_stop_the_run(tmp_path, monkeypatch, spoil):
    monkeypatch.setattr("stages.pose.progress.INTERVAL", 0.01)
    failed, path = [], tmp_path / PROGRESS
    monkeypatch.setattr(threading, "excepthook", failed.append)
    if spoil == "a folder":
        path.mkdir()
    with Bar() as bar, bar.follow("poses", tmp_path, [3, 4], set()) as whole:
        if spoil != "a folder":
            path.unlink() if spoil == "removed" else path.write_bytes(b"x")
        note_progress(tmp_path, 1, 2)
        whole.add(0)
        while not failed and bar._progress.tasks[0].completed < 3:
            threading.Event().wait(0.01)
    assert not failed
