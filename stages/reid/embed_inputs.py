"""What is embedded: the tracklets of a subset, and stage one's poses of them."""

from collections.abc import Sequence
from pathlib import Path

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.manifest import MANIFEST
from stages.datasets.tracklet import Dataset, Tracklet
from stages.pose import extract
from stages.pose.config import PoseConfig, load_spec

SUBSETS = ("all", "train", "test", "query", "gallery")


def chosen_of(dataset: Dataset, subset: str) -> Sequence[Tracklet]:
    """The tracklets of a subset, of SUBSETS. Raises KeyReIDError where there is none."""
    groups = {
        "all": dataset.tracklets,
        "test": dataset.test_tracklets,
        "train": lambda: dataset.train,
        "query": lambda: dataset.query,
        "gallery": lambda: dataset.gallery,
    }
    chosen = groups[subset]()
    if not chosen:
        raise KeyReIDError(f"--subset {subset}: {dataset.root} has no such tracklet; choose another subset")
    return chosen


def poses_of(config: PoseConfig | None, dataset: Dataset, folder: Path, own: bool, redo: bool) -> PoseCache:
    """Stage one's cache of a data set, made where it is not there; config: the pose network's,
    None: not known.

    own: tracklets of your own, which a new import may have changed: the cache is compared with the frames.
    redo: replace a cache of other frames or of another network. Raises KeyReIDError for what does not fit.
    """
    wanted = None if config is None else load_spec(config.estimator).name
    ready = (folder / MANIFEST).is_file() and not redo
    if not ready and config is None:
        raise no_poses(folder)
    if not ready:
        extract.run(dataset, config.model_copy(update={"force": redo}), folder)
    poses = PoseCache.open(folder)
    missing = poses.missing(dataset.frames())
    if missing:
        raise KeyReIDError(
            f"pose cache {folder}: {len(missing)} frames are missing, the first is {missing[0]}: it was made "
            "for other tracklets; name another folder with --cache, or use --redo-poses"
        )
    if wanted is not None and poses.info.estimator != wanted:
        raise KeyReIDError(
            f"pose cache {folder}: made with {poses.info.estimator}, the run with {wanted}; name another "
            f"folder with --cache, use --redo-poses, or say --estimator {poses.info.estimator}"
        )
    if ready and own and config is not None:
        try:
            extract.run(dataset, config, folder)
        except KeyReIDError as error:
            raise KeyReIDError(f"{error}; keyreid embed does that with --redo-poses") from error
        poses = PoseCache.open(folder)
    return poses


def no_poses(folder: Path) -> KeyReIDError:
    """The error where poses are neither there nor can be made."""
    return KeyReIDError(
        f"{folder}: no pose cache, and no config.yaml beside the checkpoint names a pose network; "
        "give --cache, or --estimator"
    )
