"""Progress bars for stages that report (done, all)."""

import contextlib
from collections.abc import Callable, Collection, Iterator

from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn

from stages.terminal import console, progress


@contextlib.contextmanager
def progress_bar(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yields report(done, all); shows what is done, the speed and the time left, on standard error.

    Nothing is shown before the first report, so that an error before it stands alone.
    """
    columns = (
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        unit,
        "{task.fields[speed]}",
        TimeRemainingColumn(),
    )
    bar = progress(*columns, disable=not console(error=True).is_terminal)
    task = bar.add_task(what, total=None, speed="")

    def report(done: int, total: int) -> None:
        bar.start()
        speed = bar.tasks[task].speed
        bar.update(task, completed=done, total=total, speed=f"{speed:.3g}/s" if speed else "")

    try:
        yield report
    finally:
        bar.stop()


@contextlib.contextmanager
def progress_bars(unit: str) -> Iterator[Callable[[str, int, int], None]]:
    """Yields report(what, done, all) for work of several parts; a bar for each, one after the other."""
    with contextlib.ExitStack() as stack:
        bars: dict[str, Callable[[int, int], None]] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in bars:
                stack.close()
                bars[what] = stack.enter_context(progress_bar(what, unit))
            bars[what](done, total)

        yield report


def shown(batches: Collection, what: str) -> Iterator:
    """The batches, with a progress bar."""
    with progress_bar(what, "batches") as report:
        for done, batch in enumerate(batches, start=1):
            yield batch
            report(done, len(batches))
