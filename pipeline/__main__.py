"""`keyreid`, and `python -m pipeline`: Ctrl-C is one line from the first moment, while modules load, too."""

import os
import signal
import time
from types import FrameType

MOMENT = 2.0  # seconds


def main() -> None:
    """Entry point."""
    signal.signal(signal.SIGINT, leave)
    from pipeline.cli import main as command_line

    signal.signal(signal.SIGINT, Interrupt())
    try:
        command_line()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: Python's own end would die of it


class Interrupt:
    """Raises KeyboardInterrupt. Pressed again within a moment, Ctrl-C does not stop the tidying up."""

    def __init__(self) -> None:
        self._since = -MOMENT

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """A handler of SIGINT."""
        now = time.monotonic()
        if now - self._since >= MOMENT:
            self._since = now
            raise KeyboardInterrupt


def leave(number: int, frame: FrameType | None) -> None:
    """A handler of SIGINT: one line, and the end."""
    os.write(2, b"keyreid: interrupted\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
