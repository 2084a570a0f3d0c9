"""`torchrun`, with time to save on SIGTERM and Ctrl-C, and with exit codes that say how training ended.

    python -m pipeline.launch --standalone --nproc-per-node 2 -m pipeline train ...

Takes the options of torchrun, which ends in exit code 1 and a traceback whatever happened.
"""

import os
import signal
import sys

from pipeline.__main__ import leave

PATIENCE = "600"  # seconds to finish a step or a validation and to save, before processes are killed


def main() -> None:
    """Launch. Exit code: 143 or 130 when signalled, saved or not; else of the first process that failed."""
    signal.signal(signal.SIGINT, leave)  # until torchrun takes over
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", PATIENCE)
    os.environ.setdefault("LOGLEVEL", "ERROR")  # torchrun warns of each signal that it passes on
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    from stages.terminal import say

    try:
        run.main()
    except SignalException as stop:
        sys.exit(128 + stop.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
        say(f"process {rank} ended with exit code {code}", error=True)
        sys.exit(code)


if __name__ == "__main__":
    main()
