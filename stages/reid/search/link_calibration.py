"""The threshold of linking, from which mean distance on identities stay apart: from a labelled set."""

from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.agglomerate import agglomerate
from stages.reid.search.agreement import agreement, pairwise_curve
from stages.reid.search.calibration import FILE, find_entry
from stages.reid.search.config import LinkConfig
from stages.reid.search.constraints import Apart
from stages.reid.search.footage import footage_note
from stages.reid.search.similarity import compare

_PLATEAU = 0.01  # of F1: thresholds this near to the best count as equal, and their middle is taken
SETTINGS = ("neighbours", "shared")


def calibrate_link(gallery: Embeddings, config: LinkConfig) -> dict:
    """Link a labelled gallery at every threshold; the one with the best pairwise F1, and what it gave.

    Settings, persons and tracklets are in it, and `threshold`, a mean distance in (0, 1].
    """
    apart = Apart.of(gallery)
    merges = agglomerate(compare(gallery, config, apart).similarity, apart, 1e-6)
    levels, scores = pairwise_curve(merges, gallery.persons)
    levels = np.minimum(levels, 1.0)
    good = levels[scores >= scores.max() - _PLATEAU]
    least = float((good.max() + good.min()) / 2)
    found = agreement(merges.labels(least), gallery.persons)
    keys = ("pairwise_precision", "pairwise_recall", "pairwise_f1", "identities", "persons", "tracklets")
    return {
        "threshold": 1 - least,
        **{name: getattr(config, name) for name in SETTINGS},
        **{name: found[name] for name in keys},
    }


def link_threshold(
    gallery: Embeddings, config: LinkConfig, given: float | None, path: Path | None
) -> tuple[float, str, list[str]]:
    """The threshold, where it came from, and notes for the user.

    given: by the user, or None. path: calibration file; default: beside the checkpoint. Raises KeyReIDError
    where there is none that fits.
    """
    if given is not None:
        return given, "given", []
    path = path or Path(gallery.about["checkpoint"]["path"]).parent / FILE
    entry = find_entry(
        path,
        distance=config.distance or gallery.about["distance"],
        camera=gallery.about["camera"],
        checkpoint_sha256=gallery.checkpoint,
    )
    measured = entry["link"]
    for name in SETTINGS:
        if measured[name] != getattr(config, name):
            raise KeyReIDError(
                f"{path}: linking was calibrated with {name} {measured[name]}, not {getattr(config, name)}; "
                "leave the option out, or give --threshold a mean distance"
            )
    return measured["threshold"], str(path), footage_note(gallery, entry)
