"""The linking threshold: the mean distance from which identities are kept apart, from a labelled set."""

from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.agglomerate import agglomerate
from stages.reid.search.agreement import agreement, pairwise_curve
from stages.reid.search.calibration import FILE, find_entry
from stages.reid.search.config import LinkConfig
from stages.reid.search.constraints import Apart, Travel
from stages.reid.search.footage import footage_note
from stages.reid.search.similarity import compare

_PLATEAU = 0.02  # of F1: thresholds this near to the best count as equal, and their middle is taken
SETTINGS = ("neighbours", "shared")


def calibrate_link(
    gallery: Embeddings, config: LinkConfig, travel: tuple[Travel, ...] = (), learned: bool = False
) -> dict | None:
    """Link a labelled gallery at every threshold; the one with the best pairwise F1, and its scores.

    learned: with ways that are learned from the gallery; None where it has none to learn.
    Settings, persons and tracklets are in it, and `threshold`, a mean distance in (0, 1].
    """
    apart = Apart.of(gallery, travel)
    compared = compare(gallery, config.model_copy(update={"no_ways": not learned}), apart)
    if learned and not compared.ways:
        return None
    merges = agglomerate(compared.similarity, apart, 1e-6)
    levels, scores = pairwise_curve(merges, gallery.persons)
    least = best_level(levels, scores)
    agreed = agreement(merges.labels(least), gallery.persons)
    keys = ("pairwise_precision", "pairwise_recall", "pairwise_f1", "identities", "persons", "tracklets")
    return {
        "threshold": 1 - least,
        "travel": bool(travel),
        "learned": learned,
        **{name: getattr(config, name) for name in SETTINGS},
        **{name: agreed[name] for name in keys},
    }


def best_level(levels: np.ndarray, scores: np.ndarray) -> float:
    """Where merging should end: the middle of the levels whose F1 is within 0.02 of the best.

    levels, scores: as of `pairwise_curve`.
    """
    good = levels[np.isfinite(levels) & (scores >= scores.max() - _PLATEAU)]
    return float((good.max() + good.min()) / 2) if len(good) else 1.0


def link_thresholds(
    gallery: Embeddings, config: LinkConfig, travel: bool, given: float | None, path: Path | None
) -> tuple[dict[bool, float], str, list[str]]:
    """Thresholds, where they came from, and notes for the user.

    The threshold at False is that without learned ways; at True that with them, where it was measured.
    travel: whether travel times are given, which has a threshold of its own. given: by the user, or None.
    path: calibration file; default: beside the checkpoint. Raises KeyReIDError where there is none that fits.
    """
    if given is not None:
        return {False: given, True: given}, "given", []
    path = path or Path(gallery.about["checkpoint"]["path"]).parent / FILE
    entry = find_entry(
        path,
        distance=config.distance or gallery.about["distance"],
        camera=gallery.about["camera"],
        checkpoint_sha256=gallery.checkpoint,
    )
    wanted = {"travel": travel} | {name: getattr(config, name) for name in SETTINGS}
    limits = {
        bool(measured.get("learned")): measured["threshold"]  # earlier files know of none
        for measured in entry["link"]
        if all(measured[name] == value for name, value in wanted.items())
    }
    if False in limits:
        return limits, str(path), footage_note(gallery, entry)
    what = ", ".join(f"{name} {value}" for name, value in wanted.items())
    raise KeyReIDError(
        f"{path}: linking was not calibrated with {what}; run keyreid calibrate with these (--travel FILE), "
        "or give --threshold a mean distance"
    )
