"""What a checkpoint was trained on, and what that allows at test time."""

import logging
from collections.abc import Mapping
from typing import Any

from cache import PoseCache
from cache.errors import KeyReIDError
from stages.datasets.tracklet import Dataset

log = logging.getLogger(__name__)


def same_data(extra: Mapping[str, Any], dataset: Dataset, cache: PoseCache) -> bool:
    """Whether a checkpoint was trained on this data set.

    Published sets are known by their name. Two trees of the layout `folder` are the same where their pose
    caches are, whose fingerprint is of every frame's content.
    """
    if extra.get("dataset") != dataset.name:
        return False
    return dataset.name != "folder" or extra.get("pose_cache") == cache.info.fingerprint


def known_cameras(
    extra: Mapping[str, Any], dataset: Dataset, num_cameras: int, cache: PoseCache
) -> list[int]:
    """Cameras of this data set that the network has an embedding for, in its order; [] for none.

    Camera numbers of another data set name other cameras, so all of those are unknown to it. Weights that
    do not say where they come from (converted ones) are believed where the number of cameras fits.
    """
    cameras = list(extra.get("cameras") or ()) if same_data(extra, dataset, cache) else []
    if extra.get("dataset") is None and len(dataset.cameras()) == num_cameras:
        cameras = list(dataset.cameras())
    if not cameras:
        log.warning("the network knows no camera of %s: all count as unknown", dataset.root)
    return cameras


def check_test(
    extra: Mapping[str, Any], dataset: Dataset, cache: PoseCache, other_poses: bool = False
) -> None:
    """Raises KeyReIDError where a checkpoint would be tested on what it was trained on, or on other poses.

    extra: what the checkpoint's JSON keeps of its training. other_poses: allow another pose cache.
    """
    if extra.get("dataset") != dataset.name:
        return
    if extra.get("split") != dataset.split:
        raise KeyReIDError(
            f"the checkpoint was trained on split {extra.get('split')} of {dataset.name}; split "
            f"{dataset.split} holds persons that it has seen: use --set dataset.split={extra.get('split')}"
        )
    trained = extra.get("pose_cache")
    if trained and trained != cache.info.fingerprint and not other_poses:
        raise KeyReIDError(
            f"pose cache {cache.folder} is not the one the checkpoint was trained with "
            f"(fingerprint {cache.info.fingerprint[:12]}, not {trained[:12]}: other weights, frames or "
            "settings); give the right --cache, or --allow-other-poses to test with these"
        )
