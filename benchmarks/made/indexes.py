"""What one pass over a made gallery gives, exact answers and a PCA, and the FAISS indexes built of it."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.made.gallery import BLOCK, QUERIES, Made
from stages.reid.scoring.distances import distance_rows, smallest
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.faiss_index import empty_index, import_faiss, pca_rows, training_rows

K = 10
REDUCED = 256  # widest PCA of the kinds; its first directions are the narrower ones
GRAPH_READS = 3000  # rows that HNSW compares a new row with, about
GRAPH_LIMIT = 1e13  # bytes read while building a graph: some minutes


@dataclass
class Survey:
    """What one pass over the gallery gives.

    nearest: int64 [QUERIES, K] rows. one, many: seconds of exact search for one query, and for QUERIES.
    pca: FAISS's, trained, or None. reduced: float32 [N, REDUCED], the gallery through it.
    """

    nearest: np.ndarray
    one: float = 0.0
    many: float = 0.0
    pca: object = None
    reduced: np.ndarray | None = None
    pca_seconds: float = 0.0


def survey(made: Made, rounds: int, rows_file: np.ndarray | None = None) -> Survey:
    """Exact search and the PCA in one pass. Small galleries are timed more often.

    rows_file: float16 [N, width], gets the rows.
    """
    faiss = import_faiss()
    seen = Survey(np.empty((QUERIES, 0), np.int64))
    repeats = int(np.clip(rounds * 100_000 // made.count, 1, 3 * rounds))
    if min(made.width, made.count) > REDUCED:
        seen.pca = faiss.PCAMatrix(made.width, REDUCED)
        sample = made.first(pca_rows(made.width))
        seen.pca_seconds = timed(lambda: seen.pca.train(sample))[0]
        del sample
        seen.reduced = np.empty((made.count, REDUCED), np.float32)
    values = np.empty((QUERIES, 0), np.float32)
    for start, joined in made.blocks():
        columns = np.arange(QUERIES, len(joined))
        if rows_file is not None:
            rows_file[start : start + len(columns)] = joined[QUERIES:]
        distances = distance_rows(_bare(joined), columns, "euclidean")

        def search(first: int, stop: int, distances=distances) -> tuple[np.ndarray, np.ndarray]:
            block = distances(np.arange(first, stop))
            return block, np.stack([smallest(row, K) for row in block])

        ones = [timed(lambda i=i: search(i, i + 1))[0] for i in range(repeats + 1)][1:]  # the first warms up
        manys = [timed(lambda: search(0, QUERIES)) for _ in range(repeats)]
        seen.one += statistics.median(ones)
        seen.many += statistics.median(seconds for seconds, _ in manys)
        block, places = manys[0][1]
        values = np.concatenate([values, np.take_along_axis(block, places, 1)], axis=1)
        rows = np.concatenate([seen.nearest, start + places], axis=1)
        order = np.argsort(values, axis=1, kind="stable")[:, :K]
        values, seen.nearest = (np.take_along_axis(array, order, 1) for array in (values, rows))
        if seen.pca is not None:
            seconds, reduced = timed(lambda joined=joined: seen.pca.apply(joined[QUERIES:]))
            seen.pca_seconds += seconds
            seen.reduced[start : start + BLOCK] = reduced
    return seen


def build(made: Made, kind: str, seen: Survey, limit: float):
    """(index of the gallery, seconds it took without making the rows), or why it is left out."""
    faiss = import_faiss()
    index = empty_index(kind, made.count, made.width)
    sample = min(training_rows(index), made.count)
    if isinstance(index, faiss.IndexPreTransform):
        faiss.downcast_VectorTransform(index.chain.at(0)).copy_from(seen.pca)
        inner = faiss.downcast_index(index.index)
        rows = np.ascontiguousarray(seen.reduced[:, : inner.d])
        seconds = seen.pca_seconds + timed(lambda: inner.train(rows[:sample]))[0]
        seconds += timed(lambda: inner.add(rows))[0]
        index.is_trained, index.ntotal = True, inner.ntotal
        return index, seconds
    codes = bytes_per_row(index) * made.count / 1e9
    need = 1.5 * codes + sample * made.width * 4 / 1e9  # lists of codes grow by doubling
    if need > limit:
        return f"left out: its codes take {codes:.3g} GB, building it {need:.3g}; {limit:.3g} may be used"
    reads = GRAPH_READS * made.count * made.width * 4
    if isinstance(index, faiss.IndexHNSW) and reads > GRAPH_LIMIT:
        return f"left out: building the graph reads about {reads / 1e12:.0f} TB of rows this wide"
    seconds = 0.0
    if sample:
        rows = made.first(sample)
        seconds += timed(lambda: index.train(rows))[0]
        del rows
    for _, joined in made.blocks():
        seconds += timed(lambda joined=joined: index.add(joined[QUERIES:]))[0]
    return index, seconds


def bytes_per_row(index) -> float:
    """What a row takes in memory: its code, its id in an IVF, its links in a graph."""
    faiss = import_faiss()
    if isinstance(index, faiss.IndexPreTransform):
        index = faiss.downcast_index(index.index)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.downcast_index(index.storage).code_size + 4 * 2 * 32
    return index.code_size + (8 if isinstance(index, faiss.IndexIVF) else 0)


def timed(call: Callable) -> tuple[float, object]:
    """Seconds, and the value of the call."""
    began = time.perf_counter()
    value = call()
    return time.perf_counter() - began, value


def _bare(features: np.ndarray) -> Embeddings:
    """Features without anything beside them."""
    places = np.arange(len(features))
    return Embeddings(features=features, names=places.astype(str), persons=places, cameras=places)
