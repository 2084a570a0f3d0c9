"""The memory of a loader's worker over ten epochs, with an index as long as that of MARS; prints JSON.

    python -m tests.stages.reid.worker_memory FOLDER

In a process of its own: a forked worker shares its parent's pages until one of the two writes to them, so
in the middle of a long test session the parent's own growth would be counted as the worker's.
"""

import json
import multiprocessing
import sys
from pathlib import Path

import numpy as np

from cache import PoseCache
from stages.reid.data.clip_batches import TrainingClips
from stages.reid.data.config import AugmentConfig, LoaderConfig
from stages.reid.data.loader import disk_reader, training_loader
from stages.reid.data.reader import FrameIndex
from stages.reid.model import ModelConfig
from tests.stages.reid.driver import MODEL, dataset

EPOCHS, BATCHES, CLIPS = 10, 20, 16
HALF = (0.5, 0.5, 0.5)


def private_mb(pid: int) -> float:
    """Memory that a process shares with no other."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1000


def main() -> None:
    folder = Path(sys.argv[1])
    ds, cache, config = dataset(folder), PoseCache.open(folder / "cache"), ModelConfig(**MODEL)
    index = FrameIndex([tracklet.frames for tracklet in ds.train] * 7300)
    count = len(index.lengths)
    reader = disk_reader(ds.root, index, cache, config)
    zeros = np.zeros(count, int)
    clips = TrainingClips(reader, index, zeros, zeros, config, AugmentConfig(), HALF, HALF)
    draws = np.random.default_rng(0).integers(0, count, (EPOCHS * BATCHES, CLIPS))
    stream = [[(int(t), n * CLIPS + i) for i, t in enumerate(row)] for n, row in enumerate(draws)]
    private = []
    for _ in training_loader(clips, stream, LoaderConfig(workers=1)):
        (worker,) = multiprocessing.active_children()
        private.append(private_mb(worker.pid))
    by_epoch = np.median(np.array(private).reshape(EPOCHS, BATCHES), axis=1)
    print(json.dumps({"frames": len(index), "mb": by_epoch.round(2).tolist()}))


if __name__ == "__main__":
    main()
