"""What a checkpoint was trained on, and what that allows at test time."""

import logging
from collections.abc import Mapping
from typing import Any

from cache import PoseCache
from cache.errors import KeyReIDError
from stages.datasets.tracklet import Dataset

log = logging.getLogger(__name__)


def origin_of(dataset: Dataset, cache: PoseCache) -> dict[str, Any]:
    """What a checkpoint keeps of the data that it is trained on; JSON values.

    data: the data set by its tracklets, and by the content of its frames as stage one read them.
    """
    content = cache.info.about_frames.get("content")
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "data": {"tracklets": dataset.identity, "frames": content},
        "pose_cache": cache.info.fingerprint,
    }


def same_data(extra: Mapping[str, Any], dataset: Dataset, cache: PoseCache) -> bool:
    """Whether a checkpoint was trained on this very data set, whatever made its poses.

    Any number of data sets are called `folder`, or `walkers`: the same one has the same tracklets, and frames
    of the same content. Checkpoints that do not say so are known by the fingerprint of their pose cache.
    """
    now = origin_of(dataset, cache)
    if extra.get("dataset") != dataset.name or extra.get("data", now["data"]) != now["data"]:
        return False
    return extra.get("pose_cache") == now["pose_cache"] or (
        "data" in extra and now["data"]["frames"] is not None
    )


def known_cameras(
    extra: Mapping[str, Any], dataset: Dataset, num_cameras: int, cache: PoseCache, camera: str = "given"
) -> list[int]:
    """Cameras of this data set that the network has an embedding for, in its order; [] for none.

    camera: as in the config. given: camera numbers of another data set name other cameras, so all of those
    are unknown to it; weights that do not say where they come from (converted ones) are believed where the
    number of cameras fits. number: numbers are those of the training set; raises KeyReIDError where the
    checkpoint names none. unknown: none.
    """
    if camera == "unknown":
        return []
    if camera == "number":
        if not extra.get("cameras"):
            raise KeyReIDError("eval.camera number: the checkpoint does not say which cameras it knows")
        return list(extra["cameras"])
    cameras = list(extra.get("cameras") or ()) if same_data(extra, dataset, cache) else []
    if extra.get("dataset") is None and len(dataset.cameras()) == num_cameras:
        cameras = list(dataset.cameras())
    if not cameras:
        log.warning(
            "the network knows no camera of %s: all count as unknown (where their numbers are those of its "
            "training set: --set eval.camera=number)", dataset.root
        )  # fmt: skip
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
