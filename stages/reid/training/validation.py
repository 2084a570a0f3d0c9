"""A share of the training identities held out, to choose a checkpoint without the test set."""

from collections.abc import Iterable, Sequence

import numpy as np

from cache.errors import KeyReIDError
from stages.datasets.tracklet import Tracklet
from stages.reid.model import KeyReID
from stages.reid.scoring.embed_set import embed_tracklets
from stages.reid.scoring.metrics import score_ranking


def hold_out(
    tracklets: Sequence[Tracklet], share: float, seed: int
) -> tuple[tuple[Tracklet, ...], tuple[Tracklet, ...]]:
    """(training, validation) tracklets, whole identities each. share 0: all are for training.

    Only identities seen by two or more cameras (or by an unknown one, with two or more tracklets) can be
    ranked, so only those are held out. Raises KeyReIDError where there are fewer than two of them.
    """
    if share == 0:
        return tuple(tracklets), ()
    cameras: dict[int, list[int | None]] = {}
    for tracklet in tracklets:
        cameras.setdefault(tracklet.person, []).append(tracklet.camera)
    usable = sorted(
        p for p, seen in cameras.items() if len(set(seen)) > 1 or (len(seen) > 1 and None in seen)
    )
    count = max(2, round(share * len(cameras)))
    if len(usable) < 2 or count >= len(cameras):
        raise KeyReIDError(
            f"train.validation.share = {share}: {count} of {len(cameras)} identities would be held out, and "
            f"{len(usable)} can be, seen by two or more cameras; at least 2 are needed, and some for training"
        )
    rng = np.random.Generator(np.random.PCG64([seed, 0x5E1EC7]))
    held = set(rng.permutation(usable)[:count].tolist())
    return (
        tuple(t for t in tracklets if t.person not in held),
        tuple(t for t in tracklets if t.person in held),
    )


def cross_camera_scores(model: KeyReID, batches: Iterable, tracklets: Sequence[Tracklet]) -> dict[str, float]:
    """Every tracklet as a query against all of other cameras: mAP and Rank-1, 0..1. Euclidean distance."""
    features, _ = embed_tracklets(model, batches, len(tracklets))
    squares = np.square(features).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * features @ features.T, 0)
    persons = [t.person for t in tracklets]
    # a label of its own for each unknown camera: a tracklet is not an answer to itself
    unknown = 1 + max((t.camera for t in tracklets if t.camera is not None), default=0)
    cameras = [unknown + row if t.camera is None else t.camera for row, t in enumerate(tracklets)]
    scores = score_ranking(distances, persons, persons, cameras, cameras)
    return {"mean_ap": float(scores.mean_ap), "rank_1": float(scores.cmc[0])}
