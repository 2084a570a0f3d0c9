"""Progress on the terminal: frames done, frames per second, time left."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TimeRemainingColumn
from rich.text import Text

from cache.files import read_regular
from cache.folder import PROGRESS
from stages.terminal import console, progress, say

INTERVAL = 0.5  # seconds between looks at the progress file


def note_progress(folder: Path, shard: int, frames: int) -> None:
    """Note for the progress bar how many frames of a shard are done; a missing bar does not stop the run."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder / PROGRESS, os.O_WRONLY)
        try:
            os.pwrite(descriptor, np.int64(frames).tobytes(), 8 * shard)
        finally:
            os.close(descriptor)


class Rate(ProgressColumn):
    """Recent frames per second."""

    def render(self, task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} frames/s" if speed else "- frames/s")


class Bar:
    """One line on the terminal, nothing where the output is not a terminal (then only the messages)."""

    def __enter__(self) -> "Bar":
        self._progress = progress(
            "{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            "left",
            TimeRemainingColumn(),
            speed_estimate_period=60,
            disable=not console(error=True).is_terminal,
        )
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, message: str) -> None:
        say(message, error=True)

    @contextlib.contextmanager
    def count(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Yields advance(n), to be called when n more are done."""
        task = self._progress.add_task(name, total=total)
        yield lambda more: self._progress.advance(task, more)
        self._progress.remove_task(task)

    @contextlib.contextmanager
    def follow(self, name: str, folder: Path, sizes: Sequence[int], finished: set[int]) -> Iterator[set[int]]:
        """Follow the counts that workers note in `folder`; yields a set for the numbers of finished shards.

        sizes: frames per shard; finished: shards that were there before.
        """
        left = sum(sizes) - sum(sizes[number] for number in finished)
        task = self._progress.add_task(name, total=left)
        path = folder / PROGRESS
        with contextlib.suppress(OSError):
            path.write_bytes(bytes(8 * len(sizes)))
        before, whole = frozenset(finished), set()
        stop = threading.Event()

        def look() -> None:
            counts = np.zeros(len(sizes), np.int64)
            with contextlib.suppress(OSError):
                noted = read_regular(path, counts.nbytes)
                counts = np.frombuffer(noted, np.int64) if len(noted) == counts.nbytes else counts
            done = sum(
                size if number in whole else min(int(counts[number]), size)
                for number, size in enumerate(sizes)
                if number not in before
            )
            self._progress.update(task, completed=done)

        def watch() -> None:
            while not stop.wait(INTERVAL):
                look()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield whole
        finally:
            stop.set()
            watcher.join()
            if path.is_file():
                path.unlink()
        self._progress.update(task, completed=left)
