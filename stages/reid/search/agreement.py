"""How well identities found agree with the true ones.

Pairwise: of the pairs of tracklets said to be one person, how many are (precision), and of those that are,
how many were said to be (recall). B-cubed: the same for each tracklet, averaged (Amigo et al., 2009).
IDF1: tracklets under the identity that their person is matched with, one to one, the best way (Ristani et
al., 2016).
Junk is left out; every distractor is a person of its own.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from stages.datasets.tracklet import DISTRACTOR, JUNK


def agreement(identities: np.ndarray, persons: np.ndarray) -> dict[str, float | int]:
    """Scores in [0, 1] and counts. identities, persons: int64 [N]."""
    kept = persons != JUNK
    identities, persons = identities[kept], persons[kept].copy()
    strangers = persons == DISTRACTOR
    persons[strangers] = persons.max(initial=0) + 1 + np.arange(strangers.sum())
    rows, columns = (np.unique(values, return_inverse=True)[1] for values in (persons, identities))
    table = sparse.coo_array((np.ones(len(rows)), (rows, columns))).tocsr()
    together = table.data
    of_found, of_person = np.bincount(columns), np.bincount(rows)
    place = table.tocoo()
    both = _pairs(together).sum()
    said, true = _pairs(of_found).sum(), _pairs(of_person).sum()
    count = len(rows)
    return {
        "tracklets": count,
        "identities": len(of_found),
        "persons": len(of_person),
        **_named("pairwise", both / said if said else 1.0, both / true if true else 1.0),
        **_named(
            "bcubed",
            float((together**2 / of_found[place.col]).sum() / count),
            float((together**2 / of_person[place.row]).sum() / count),
        ),
        "idf1": float(_matched(table) / count),
    }


def pairwise_curve(merges, persons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similarity at which merging ends, and pairwise F1 then: float64 [M + 1] each, from no merge on."""
    kept = persons != JUNK
    known = persons.copy()
    strangers = persons == DISTRACTOR
    known[strangers] = known.max(initial=0) + 1 + np.arange(strangers.sum())
    inside: dict[int, dict[int, int]] = {}
    for group, person in zip(merges.groups[kept].tolist(), known[kept].tolist(), strict=True):
        own = inside.setdefault(group, {})
        own[person] = own.get(person, 0) + 1
    said = sum(_pairs(sum(own.values())) for own in inside.values())
    both = sum(_pairs(n) for own in inside.values() for n in own.values())
    true = _pairs(np.unique(known[kept], return_counts=True)[1]).sum()
    scores = [_f1(both, said, true)]
    for kept_name, gone in merges.pairs.tolist():
        one, other = inside.setdefault(kept_name, {}), inside.pop(gone, {})
        said += sum(one.values()) * sum(other.values())
        for person, n in other.items():
            both += n * one.get(person, 0)
            one[person] = one.get(person, 0) + n
        scores.append(_f1(both, said, true))
    return np.concatenate([[np.inf], merges.levels]), np.array(scores)


def _f1(both: float, said: float, true: float) -> float:
    return float(2 * both / (said + true)) if said + true else 1.0


def _pairs(n):
    return n * (n - 1) / 2


def _named(name: str, precision: float, recall: float) -> dict[str, float]:
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {
        f"{name}_precision": float(precision),
        f"{name}_recall": float(recall),
        f"{name}_f1": float(f1),
    }


def _matched(table: sparse.csr_array) -> float:
    """Tracklets that are under the identity of their person, persons and identities matched one to one."""
    persons, identities = table.shape
    # A person may be matched with nothing: one spare column each. Weights are not 0, as 0 means no edge.
    spare = sparse.eye_array(persons, format="csr")
    weights = sparse.hstack([table + (table > 0).astype(float), spare]).tocsr()
    rows, columns = min_weight_full_bipartite_matching(weights, maximize=True)
    real = columns < identities
    return float(np.asarray(table[rows[real], columns[real]]).sum())
