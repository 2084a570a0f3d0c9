"""Which tracklets of a gallery may be answers: by time and camera."""

import numpy as np

from cache.border import reading
from cache.errors import KeyReIDError
from stages.datasets.times import moment
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.config import Selection

ENDS = {"since": "--from", "until": "--to"}


def selected(gallery: Embeddings, rows: np.ndarray, wanted: Selection) -> np.ndarray:
    """Those of `rows` that meet all conditions, int64: seen at some moment from `since` to `until`, by these
    cameras.

    A tracklet whose time is not known, or not of the kind asked for (clock times or seconds), meets none.
    Raises KeyReIDError for what is not a time, for two kinds, and where no tracklet is left.
    """
    limits = _limits(wanted)
    if not limits and not wanted.cameras:
        return rows
    gallery = gallery.without_features(rows)
    good = np.ones(len(gallery), bool)
    if wanted.cameras:
        known = sorted(set(gallery.camera_names.tolist()))
        for name in wanted.cameras:
            if name not in known:
                raise KeyReIDError(f"--camera {name}: no tracklet of it; the gallery has {', '.join(known)}")
        good &= np.isin(gallery.camera_names, wanted.cameras)
    if limits:
        clock = next(iter(limits.values()))[0]
        timed = np.zeros(len(gallery), bool)
        if gallery.start is not None and gallery.end is not None:
            zone = np.full(len(gallery), np.nan) if gallery.zone is None else gallery.zone
            timed = ~np.isnan(gallery.start) & (~np.isnan(zone) if clock else np.isnan(zone))
        if not timed.any():
            option = ENDS[next(iter(limits))]
            kind = (
                "a clock time (track and import-mot take one with --start)" if clock else "seconds of a video"
            )
            raise KeyReIDError(f"{option}: no tracklet of the gallery has {kind}; leave it out")
        good &= timed
        if "since" in limits:
            good &= gallery.end >= limits["since"][1]
        if "until" in limits:
            good &= gallery.start <= limits["until"][1]
    if not good.any():
        raise KeyReIDError(f"{_said(wanted)}: none of {len(gallery)} tracklets{_range(gallery)}; change them")
    return rows[good]


def _limits(wanted: Selection) -> dict[str, tuple[bool, float]]:
    limits = {}
    for name, option in ENDS.items():
        text = getattr(wanted, name)
        if text is not None:
            clock = "a clock time with its offset from UTC, such as 2026-11-26T08:00:00+01:00"
            with reading(f"{option} {text}", remedy=f"expected {clock}, or seconds of the video"):
                limits[name] = moment(text)
    if len(limits) == 2:
        (clock, since), (other, until) = limits.values()
        if clock != other:
            raise KeyReIDError(f"{_said(wanted)}: a clock time and seconds of a video; give two of one kind")
        if since > until:
            raise KeyReIDError(f"{_said(wanted)}: --from is after --to; exchange them")
    return limits


def _said(wanted: Selection) -> str:
    """The options, as given."""
    times = [f"{option} {getattr(wanted, name)}" for name, option in ENDS.items() if getattr(wanted, name)]
    return " ".join([*times, *(f"--camera {name}" for name in wanted.cameras)])


def _range(gallery: Embeddings) -> str:
    """Time span of the tracklets that have a clock time, in words."""
    if gallery.zone is None or np.isnan(gallery.zone).all():
        return ""
    rows = np.flatnonzero(~np.isnan(gallery.zone))
    first, last = rows[np.argmin(gallery.start[rows])], rows[np.argmax(gallery.end[rows])]
    return f", which are from {gallery.when(first)[0]} to {gallery.when(last)[1]}"
