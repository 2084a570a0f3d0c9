"""Who is ranked against whom: the evaluation protocols in use, by name.

MARS is scored in three ways in the literature, and their figures differ by several points:

official         all 12,180 test tracklets in the gallery, junk ignored, AP by the trapezoid rule,
                 1,980 queries (the authors' own evaluation code)
queries-kept     the 11,310 tracklets that are not junk, rectangular AP, 1,980 queries
queries-dropped  the 9,330 of them that are not queries, rectangular AP; 140 queries lose their last right
                 answer and are left out, 1,840 count

Other data sets have one protocol, `standard`: the gallery as it is, rectangular AP. Market-1501 has two,
which differ in the AP rule only: `official`, as in its own evaluation code, and `standard`, as in papers now.
"""

from dataclasses import dataclass

import numpy as np

from cache.errors import KeyReIDError
from stages.datasets.tracklet import JUNK
from stages.reid.scoring.metrics import AveragePrecision


@dataclass(frozen=True)
class Protocol:
    """name; the AP rule; whether junk and the queries themselves are rows of the gallery."""

    name: str
    average_precision: AveragePrecision
    junk: bool
    queries: bool


MARS_PROTOCOLS = (
    Protocol("official", "trapezoid", junk=True, queries=True),
    Protocol("queries-kept", "rectangular", junk=False, queries=True),
    Protocol("queries-dropped", "rectangular", junk=False, queries=False),
)
STANDARD = Protocol("standard", "rectangular", junk=True, queries=True)
RECTANGULAR = ("ls-vid", "mevid")  # with queries in the gallery, but no AP by the trapezoid rule
MARKET_PROTOCOLS = (MARS_PROTOCOLS[0], STANDARD)
PROTOCOLS = {p.name: p for p in (*MARS_PROTOCOLS, STANDARD)}


def protocols_for(
    queries_in_gallery: bool, names: tuple[str, ...] = (), dataset: str | None = None
) -> tuple[Protocol, ...]:
    """The protocols of a data set, or those asked for by name.

    queries_in_gallery: whether the queries are rows of the gallery, as in the MARS layout. dataset: its name.
    """
    if not names:
        if queries_in_gallery:
            return MARS_PROTOCOLS[1:] if dataset in RECTANGULAR else MARS_PROTOCOLS
        return MARKET_PROTOCOLS if dataset == "market1501" else (STANDARD,)
    for name in names:
        if name not in PROTOCOLS:
            raise KeyReIDError(f"protocol {name!r} is not known; expected one of {', '.join(PROTOCOLS)}")
    return tuple(PROTOCOLS[name] for name in names)


def gallery_of(protocol: Protocol, query: np.ndarray, gallery: np.ndarray, persons: np.ndarray) -> np.ndarray:
    """The gallery rows that a protocol ranks, in order; arguments as in `places_of`."""
    return gallery[places_of(protocol, query, gallery, persons)]


def places_of(protocol: Protocol, query: np.ndarray, gallery: np.ndarray, persons: np.ndarray) -> np.ndarray:
    """Places in `gallery` of the rows that a protocol ranks, in order.

    query, gallery: int64 indices into the embedded tracklets. persons: int64 [N], of those tracklets.
    """
    keep = np.ones(len(gallery), bool)
    if not protocol.junk:
        keep &= persons[gallery] != JUNK
    if not protocol.queries:
        keep &= ~np.isin(gallery, query)
    return np.flatnonzero(keep)
