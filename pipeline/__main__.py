"""`keyreid`, and `python -m pipeline`: Ctrl-C is one line from the first moment, while modules load, too."""

import os
import signal
from types import FrameType


def main() -> None:
    """Entry point."""
    signal.signal(signal.SIGINT, _leave)
    from pipeline.cli import main as command_line

    signal.signal(signal.SIGINT, signal.default_int_handler)
    command_line()


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"keyreid: interrupted\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
