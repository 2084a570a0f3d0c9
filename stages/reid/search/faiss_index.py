"""Approximate search in large galleries with FAISS, an optional dependency (requirements/search.txt).

Kinds: flat (exact), ivf (cells around centroids), hnsw (a graph), or any string of FAISS's index factory,
such as OPQ64_256,IVF1024,PQ64. Johnson et al., "Billion-scale similarity search with GPUs", 2019;
Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using HNSW", 2018.
"""

import contextlib
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cache.errors import KeyReIDError
from cache.files import make_folder, write_whole, writing
from cache.text_files import load_record
from stages.extras import LARGE_SEARCH
from stages.reid.scoring.stored_rows import block_rows

KINDS = ("flat", "ivf", "hnsw")
_TRAINING = 64  # training vectors per centroid; FAISS asks for 39 or more
_PROBED = 64  # cells read, of 2 sqrt(N): recall is measured by benchmarks/search.py
_BEAM = 128  # HNSW candidates kept while searching, and while building
_ANSWERS = 2**22  # held at a time where answers have to be dropped
_MOST = 2**26  # bytes of a note
_PCA_ROWS = 2048  # and its cube is what a PCA of wider rows takes: some seconds


class Rows(Protocol):
    """float32 [N, F] that is read where it is asked for, by slice or int64 [M]."""

    shape: tuple[int, int]

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray: ...


def import_faiss():
    """The module. Raises KeyReIDError where it is not installed."""
    with LARGE_SEARCH.imported():
        import faiss
    return faiss


def factory(kind: str, count: int) -> str:
    """FAISS's own description of a kind, for a gallery of `count` rows."""
    return {"flat": "Flat", "ivf": f"IVF{ivf_cells(count)},Flat", "hnsw": "HNSW32,Flat"}.get(kind, kind)


def ivf_cells(count: int) -> int:
    """Cells for a gallery of `count` rows: training and filling take time in proportion to count x cells."""
    return max(1, min(round(2 * math.sqrt(count)), count // 40))


def empty_index(kind: str, count: int, width: int, seed: int = 0):
    """A FAISS index (squared Euclidean distance) set up for `count` rows of `width`; not trained, no rows.

    Raises RuntimeError for a kind that FAISS does not know.
    """
    faiss = import_faiss()
    index = faiss.index_factory(width, factory(kind, count), faiss.METRIC_L2)
    cells = faiss.try_extract_index_ivf(index)
    if cells is not None:
        cells.cp.seed = seed
        cells.nprobe = min(_PROBED, cells.nlist)
    graph = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    if isinstance(graph, faiss.IndexHNSW):
        graph.hnsw.efConstruction = graph.hnsw.efSearch = _BEAM
    return index


def training_rows(index) -> int:
    """Rows that an index should be trained on; 0 where it needs none."""
    if index.is_trained:
        return 0
    cells = import_faiss().try_extract_index_ivf(index)
    return _TRAINING * (cells.nlist if cells is not None else 256)


def pca_rows(width: int) -> int:
    """Rows to train a PCA on. Few of wide ones: it decomposes a matrix of the smaller of width and rows."""
    return _TRAINING * 256 if width <= _PCA_ROWS else _PCA_ROWS


def accept_few_rows(index) -> None:
    """Let the k-means of cells and codes train on as few rows as there are centroids, without a warning."""
    faiss = import_faiss()
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        index = faiss.downcast_index(index.index)
    for settings in (getattr(index, "cp", None), getattr(getattr(index, "pq", None), "cp", None)):
        if settings is not None:
            settings.min_points_per_centroid = 1


def build_index(features: np.ndarray | Rows, kind: str = "flat", seed: int = 0):
    """A FAISS index (squared Euclidean distance) of features float32 [N, F], added block by block.

    Raises KeyReIDError for a kind that FAISS does not know or cannot train on so few rows.
    """
    count, width = features.shape
    try:
        index = empty_index(kind, count, width, seed)
        if most := training_rows(index):
            _train(index, features, np.random.default_rng(seed).permutation(count)[:most])
        _add(index, features, 0)
    except RuntimeError as error:
        reason = str(error).splitlines()[0][-200:]
        raise KeyReIDError(
            f"index {kind} ({factory(kind, count)}) of {count} embeddings {width} wide: FAISS refuses: "
            f"{reason}; expected {', '.join(KINDS)} or a factory string that fits"
        ) from None
    return index


def _train(index, features: np.ndarray | Rows, order: np.ndarray) -> None:
    """Train on some rows, in random order. Where a PCA comes first, only what it leaves of them is held."""
    faiss = import_faiss()
    inner, shorter = index, None
    if isinstance(index, faiss.IndexPreTransform) and index.chain.size() == 1:
        first = faiss.downcast_VectorTransform(index.chain.at(0))
        if isinstance(first, faiss.PCAMatrix):
            first.train(np.ascontiguousarray(features[np.sort(order[: pca_rows(index.d)])]))
            inner, shorter = faiss.downcast_index(index.index), first.apply
    rows, step = np.sort(order), block_rows(index.d)
    blocks = (np.ascontiguousarray(features[rows[at : at + step]]) for at in range(0, len(rows), step))
    sample = np.concatenate([shorter(block) if shorter else block for block in blocks])
    accept_few_rows(index)
    inner.train(sample)
    index.is_trained = True


def search_index(
    index, queries: np.ndarray, k: int, excluded: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances float32 [Q, k] and rows int64 [Q, k] (-1 where there are no more), in one call.

    excluded: bool [N], rows that may not be answers.
    """
    k = min(k, index.ntotal)
    if excluded is None or not excluded.any():
        return index.search(queries, k)
    if (parameters := _selecting(index, ~excluded)) is not None:
        return index.search(queries, k, params=parameters)
    wanted = min(k + int(excluded.sum()), index.ntotal)
    block = max(1, _ANSWERS // wanted)
    blocks = []
    for start in range(0, len(queries), block):
        distances, rows = index.search(queries[start : start + block], wanted)
        blocks.append(drop(distances, rows, excluded[rows], k))
    return tuple(np.concatenate(column) for column in zip(*blocks, strict=True))


def drop(distances: np.ndarray, rows: np.ndarray, wrong: np.ndarray, k: int):
    """The first k answers of each query without the wrong ones: -1 and infinity where there are no more."""
    wrong = wrong | (rows < 0)
    order = np.argsort(wrong, axis=1, kind="stable")[:, :k]  # the wrong ones go last
    wrong, distances, rows = (np.take_along_axis(array, order, 1) for array in (wrong, distances, rows))
    return np.where(wrong, np.inf, distances), np.where(wrong, -1, rows)


def _selecting(index, allowed: np.ndarray):
    """FAISS's parameters for a search among `allowed` rows; None for a kind that takes none."""
    faiss = import_faiss()
    selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        inner = _selecting(index.index, allowed)
        return inner and faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=index.nprobe)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(sel=selector, efSearch=index.hnsw.efSearch)
    if isinstance(index, faiss.IndexFlat | faiss.IndexScalarQuantizer):
        return faiss.SearchParameters(sel=selector)
    return None


def kept_index(
    features: np.ndarray | Rows, kind: str, folder: Path, parts: Sequence[tuple[str, int]], distance: str
):
    """The index from `folder`, or built, and kept there for the next search.

    parts: of the features, in order, a name that stands for the content and the number of rows. distance:
    that the features are made for. An index of the first of these parts grows by the others; it
    is built again once it is twice as large as when it was trained.
    Raises KeyReIDError where the index cannot be built or kept.
    """
    faiss = import_faiss()
    note = {"kind": kind, "distance": distance, "width": features.shape[1], "faiss": faiss.__version__}
    names, count = [name for name, _ in parts], len(features)
    make_folder(folder)  # found out before the index is built
    for path, before in _kept(folder, note):
        held = before["parts"]
        rows = sum(size for _, size in parts[: len(held)])
        if held != names[: len(held)] or count > 2 * before["trained"]:
            continue
        index = _read(path)
        if index is None or index.ntotal != rows:
            continue
        if rows == count:
            return index
        _add(index, features, rows)
        _keep(index, folder, note | {"trained": before["trained"], "parts": names}, _bytes(features))
        for old in (path, path.with_suffix(".json")):
            old.unlink(missing_ok=True)
        return index
    index = build_index(features, kind)
    _keep(index, folder, note | {"trained": count, "parts": names}, _bytes(features))
    return index


def _add(index, features: np.ndarray | Rows, first: int) -> None:
    """Add the rows from `first` on, a block at a time."""
    step = block_rows(features.shape[1])
    for start in range(first, len(features), step):
        index.add(np.ascontiguousarray(features[start : start + step]))


def _bytes(features: np.ndarray | Rows) -> int:
    return 4 * features.shape[0] * features.shape[1]


def _kept(folder: Path, wanted: dict[str, Any]) -> list[tuple[Path, dict[str, Any]]]:
    """Indexes of a kind with their notes, those of most parts first."""
    indexes = []
    for path in folder.glob("*.json"):
        note = load_record(path, _MOST)  # nothing of another program's, or a damaged one
        sound = isinstance(note.get("parts"), list) and type(note.get("trained")) is int
        if sound and wanted.items() <= note.items():
            indexes.append((path.with_suffix(".faiss"), note))
    return sorted(indexes, key=lambda one: -len(one[1]["parts"]))


def _read(path: Path):
    """An index, None where it is not there or damaged: build it again."""
    with contextlib.suppress(RuntimeError):
        return import_faiss().read_index(str(path))
    return None


def _keep(index, folder: Path, note: dict[str, Any], size: int) -> None:
    text = json.dumps(note, indent=1).encode()
    path = folder / f"{hashlib.sha256(text).hexdigest()[:32]}.faiss"
    with writing(path, size) as aside:
        try:
            import_faiss().write_index(index, str(aside))
        except RuntimeError as error:  # as FAISS reports a full disk
            raise OSError(str(error).splitlines()[0]) from error
    write_whole(path.with_suffix(".json"), text)
