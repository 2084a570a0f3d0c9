"""Settings and data of a run, so that a resume with others is refused and the difference named."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cache import PoseCache
from cache.differences import differences
from cache.errors import KeyReIDError
from stages.datasets.tracklet import Dataset, Tracklet
from stages.reid.model import ModelConfig
from stages.reid.training.config import TrainConfig

log = logging.getLogger(__name__)

# Fields of the train section that change neither batches nor weights.
FREE = (
    "loader", "device", "compile", "compile_backend", "activation_checkpointing", "log_every",
    "picture_every", "checkpoint.every_minutes", "checkpoint.every_epochs", "checkpoint.every_steps",
    "checkpoint.keep",
)  # fmt: skip

START = {"pretrained", "vit_path"}  # of the model section: only where training starts


@dataclass(frozen=True)
class Identity:
    """Everything that decides what a run computes."""

    train: dict[str, Any]
    model: dict[str, Any]
    data: dict[str, Any]
    num_persons: int

    @classmethod
    def of(
        cls,
        train: TrainConfig,
        model: ModelConfig,
        dataset: Dataset,
        tracklets: Sequence[Tracklet],
        cache: PoseCache,
    ) -> "Identity":
        """tracklets: those trained on."""
        digest = hashlib.sha256()
        for tracklet in tracklets:
            digest.update(
                repr((tracklet.name, tracklet.person, tracklet.camera, len(tracklet.frames))).encode()
            )
        data = {
            "dataset": dataset.name,
            "split": dataset.split,
            "training_tracklets": digest.hexdigest()[:16],
            "pose_cache": cache.info.fingerprint[:16],
        }
        return cls(
            train.model_dump(mode="json"),
            model.model_dump(mode="json", exclude=START),
            data,
            len({t.person for t in tracklets}),
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Identity":
        """Settings that a run of an earlier version did not have yet count as their defaults."""
        train = TrainConfig().model_dump(mode="json")
        model = ModelConfig().model_dump(mode="json", exclude=START)
        return cls(**_filled(values, {"train": train, "model": model}))


def _filled(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Values, and those of `defaults` for what is missing, section by section."""
    both = {n for n, value in values.items() if isinstance(value, dict) and isinstance(defaults.get(n), dict)}
    return defaults | values | {name: _filled(values[name], defaults[name]) for name in both}


def changes(before: Identity, now: Identity) -> list[str]:
    """`name: before -> now` of everything that differs and matters."""
    one, two = (json.loads(json.dumps(identity.as_dict())) for identity in (before, now))  # tuples as lists
    return differences(one, two, free=[f"train.{name}" for name in FREE])


def check_same_run(path: Path, before: Identity, now: Identity, allowed: bool) -> list[str]:
    """The differences, which are logged. Raises KeyReIDError that names them, unless they are allowed.

    A different number of classes is never allowed: the weights would not fit. Nor is another optimiser: the
    state of one does not fit the other.
    """
    if before.num_persons != now.num_persons:
        raise KeyReIDError(
            f"{path}: the checkpoint has {before.num_persons} classes, the training set "
            f"{now.num_persons} identities; resume with the data set and validation share of the first start"
        )
    one, two = (identity.train["optim"]["name"] for identity in (before, now))
    if one != two:
        raise KeyReIDError(
            f"{path}: the run was started with train.optim.name = {one}, not {two}, and its training states "
            f"only fit {one}; keep it, or start a new run"
        )
    changed = changes(before, now)
    if changed and not allowed:
        raise KeyReIDError(
            f"{path}: the run was started with another config: {'; '.join(changed)}; "
            "undo the change, or give --allow-config-change"
        )
    for difference in changed:
        log.warning("resuming with a change: %s", difference)
    return changed
