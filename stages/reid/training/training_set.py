"""What a run trains on: tracklets, labels, batches; with every check that can be made before it starts."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cache import PoseCache
from stages.datasets.tracklet import Dataset, Tracklet
from stages.reid.data.clip_batches import TrainingClips, camera_index
from stages.reid.data.config import ClipConfig
from stages.reid.data.loader import (
    Batches,
    check_cache,
    disk_reader,
    test_loader,
    training_loader,
    training_reader,
)
from stages.reid.data.reader import FrameIndex
from stages.reid.data.sampler import BatchStream, IdentitySampler
from stages.reid.model import KeyReID
from stages.reid.training.config import TrainConfig
from stages.reid.training.validation import hold_out

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSet:
    """persons, cameras: the data set's numbers, in the order of the labels and camera indices."""

    root: Path
    cache: PoseCache
    config: TrainConfig
    tracklets: tuple[Tracklet, ...]
    held_out: tuple[Tracklet, ...]
    persons: list[int]
    cameras: list[int]
    sampler: IdentitySampler

    @classmethod
    def of(cls, dataset: Dataset, cache: PoseCache, config: TrainConfig, processes: int) -> "TrainingSet":
        """Raises KeyReIDError for too few identities, a batch that does not divide, or missing poses."""
        tracklets, held_out = hold_out(dataset.train, config.validation.share, config.seed)
        cameras = [t.camera for t in tracklets]
        sampler = IdentitySampler([t.person for t in tracklets], cameras, config.sampler, config.seed)
        BatchStream(sampler, config.epochs, world=processes)
        check_cache(cache, [f for t in (*tracklets, *held_out) for f in t.frames], dataset.root)
        persons = sorted({t.person for t in tracklets})
        known = sorted({c for c in cameras if c is not None})
        return cls(dataset.root, cache, config, tracklets, held_out, persons, known, sampler)

    def batches(
        self, model: KeyReID, start: tuple[int, int], rank: int, world: int, device: object = "cpu"
    ) -> Batches:
        """Training batches of process `rank` of `world`, from (epoch, batch) on, to the end of training."""
        index = FrameIndex([t.frames for t in self.tracklets])
        reader = training_reader(disk_reader(self.root, index, self.cache, model.config), self.config.loader)
        label = {person: i for i, person in enumerate(self.persons)}
        cameras = camera_index([t.camera for t in self.tracklets], self.cameras)
        model.check_cameras(torch.from_numpy(cameras))
        clips = TrainingClips(
            reader,
            index,
            np.array([label[t.person] for t in self.tracklets], dtype=np.int64),
            cameras,
            model.config,
            self.config.augment,
            model.pixel_mean,
            model.pixel_std,
        )
        stream = BatchStream(self.sampler, self.config.epochs, start, rank, world)
        return training_loader(clips, stream, self.config.loader, device)

    def validation_batches(self, model: KeyReID, device: object) -> Iterable:
        """All clips of the tracklets held out, up to `validation.clip_cap` of each."""
        config = self.config.validation
        clips = ClipConfig(
            batch_size=config.batch_size, workers=self.config.loader.workers, clip_cap=config.clip_cap
        )
        return test_loader(model, clips, self.root, self.held_out, self.cache, self.cameras, device)

    def members(self, epoch: int, batch: int) -> list[str]:
        """Names of the tracklets of a batch, over all processes."""
        return [self.tracklets[i].name for i in self.sampler.epoch(epoch)[0][batch]]

    def log(self) -> None:
        """What the sampler found."""
        counts, config = self.sampler.counts, self.config.sampler
        log.info(
            "training on %d identities, %d tracklets, %d cameras; %d identities held out for validation",
            counts.identities, counts.tracklets, len(self.cameras), len({t.person for t in self.held_out}),
        )  # fmt: skip
        log.info(
            "%d batches of %d x %d clips an epoch; %d identities have under %d tracklets, %d one camera",
            counts.batches, config.identities, config.tracklets, counts.short, config.tracklets,
            counts.single_camera,
        )  # fmt: skip
