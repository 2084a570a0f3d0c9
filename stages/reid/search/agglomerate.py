"""Average linkage over a sparse similarity, under constraints that hold for whole clusters.

The most alike two clusters merge first, by the mean similarity of their pairs, pairs that are not held
counting 0, until no two are at least as alike as asked for. Two clusters of which any pair cannot be one
person never merge. Libraries (scipy, scikit-learn) link without constraints, or over a full matrix.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from stages.reid.search.constraints import Apart

_NEVER = -np.inf


@dataclass(frozen=True)
class Merges:
    """What merged, in order. groups: int64 [N], clusters to begin with, named by their lowest row.

    pairs: int64 [M, 2], names of clusters: the second became part of the first. levels: float64 [M], the
    lowest similarity at which anything had merged by then.
    """

    groups: np.ndarray
    pairs: np.ndarray
    levels: np.ndarray

    def labels(self, least: float) -> np.ndarray:
        """The cluster of each row int64 [N], named by one of its rows, where merging ended at `least`."""
        parent = np.arange(len(self.groups))
        for (kept, gone), level in zip(self.pairs.tolist(), self.levels.tolist(), strict=True):
            if level < least:
                break
            parent[gone] = kept
        root = self.groups
        while not np.array_equal(root, up := parent[root]):
            root = up
        return root


class _Clusters:
    """Clusters with the sums of similarities between them; see `agglomerate`."""

    def __init__(self, similarity: sparse.csr_array, groups: np.ndarray, apart: Apart):
        self.apart = apart
        order = np.argsort(groups, kind="stable")
        names, first = np.unique(groups[order], return_index=True)
        self.members = dict(zip(names.tolist(), np.split(order, first[1:]), strict=True))
        count = len(groups)
        grouping = sparse.csr_array((np.ones(count), (groups, np.arange(count))), shape=(count, count))
        sums = (grouping @ similarity @ grouping.T).tocsr()
        self.near: dict[int, dict[int, float]] = {}
        for name in self.members:
            span = slice(sums.indptr[name], sums.indptr[name + 1])
            near = dict(zip(sums.indices[span].tolist(), sums.data[span].tolist(), strict=True))
            near.pop(name, None)
            self.near[name] = near
        self.waiting: dict[int, set[int]] = {}  # too late a way as they are; not so once they have grown

    def forbid(self, a: int, b: int) -> None:
        """These two never merge."""
        self.near[a][b] = self.near[b][a] = _NEVER

    def mean(self, a: int, b: int) -> float:
        """Mean similarity of the pairs between two clusters."""
        return self.near[a].get(b, 0.0) / (len(self.members[a]) * len(self.members[b]))

    def may_merge(self, a: int, b: int) -> bool:
        """Whether the constraints allow it; pairs that they rule out are remembered."""
        one, other = self.members[a], self.members[b]
        if self.apart.matrix(one, other).any():
            self.forbid(a, b)
            return False
        if self.apart.late(np.concatenate([one, other])):
            self.waiting.setdefault(a, set()).add(b)
            self.waiting.setdefault(b, set()).add(a)
            return False
        return True

    def merge(self, a: int, b: int) -> Iterable[int]:
        """b becomes part of a. Returns the clusters whose mean similarity to a may have risen, in order."""
        self.members[a] = np.concatenate([self.members[a], self.members.pop(b)])
        gone, own = self.near.pop(b), self.near[a]
        own.pop(b, None)
        gone.pop(a, None)
        for other, value in gone.items():
            theirs = self.near[other]
            del theirs[b]
            theirs[a] = own[other] = own.get(other, 0.0) + value
        again = set(gone) | self.waiting.pop(a, set()) | self.waiting.pop(b, set())
        for other in again:
            self.waiting.get(other, set()).difference_update((a, b))
        return sorted(again & self.near.keys() - {a})


def agglomerate(
    similarity: sparse.csr_array,
    apart: Apart,
    least: float,
    must: Iterable[tuple[int, int]] = (),
    cannot: Iterable[tuple[int, int]] = (),
) -> Merges:
    """Merge until no two clusters are on average `least` alike.

    similarity: symmetric [N, N], at least 0, diagonal 0. must: pairs of rows that are one person, whatever
    `apart` says. cannot: pairs that are not. The same input gives the same merges.
    """
    groups = joined_rows(similarity.shape[0], must)
    clusters = _Clusters(similarity, groups, apart)
    for a, b in cannot:
        clusters.forbid(int(groups[a]), int(groups[b]))
    near, members = clusters.near, clusters.members
    heap = [(-clusters.mean(a, b), a, b) for a in near for b in near[a] if a < b]
    heap = [entry for entry in heap if -entry[0] >= least]
    heapq.heapify(heap)
    pairs, levels, level = [], [], np.inf
    while heap:
        stored, a, b = heapq.heappop(heap)
        if a not in members or b not in members:
            continue
        mean = clusters.mean(a, b)
        if mean != -stored:  # has changed since; a rise was pushed when it came about
            if least <= mean < -stored:
                heapq.heappush(heap, (-mean, a, b))
            continue
        if not clusters.may_merge(a, b):
            continue
        if len(near[a]) < len(near[b]):  # the larger stays
            a, b = b, a
        level = min(level, mean)
        pairs.append((a, b))
        levels.append(level)
        for other in clusters.merge(a, b):
            mean = clusters.mean(a, other)
            if mean >= least:
                heapq.heappush(heap, (-mean, min(a, other), max(a, other)))
    return Merges(groups, np.array(pairs, np.int64).reshape(-1, 2), np.array(levels))


def joined_rows(count: int, must: Iterable[tuple[int, int]]) -> np.ndarray:
    """The lowest row of each row's group, where `must` joins rows: int64 [N]."""
    pairs = np.array(list(must), np.int64).reshape(-1, 2)
    graph = sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = sparse.csgraph.connected_components(graph, directed=False)
    _, first = np.unique(labels, return_index=True)
    return first[labels]
