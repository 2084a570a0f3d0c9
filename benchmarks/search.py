"""Search in large galleries: recall and speed of FAISS against exact search, and what compression costs.

    OMP_NUM_THREADS=2 python -m benchmarks.search [--counts 10000 100000 1000000] [--width 768]
    python -m benchmarks.search --size train.h5 test.h5       galleries of a labelled set (keyreid embed)

Speed: made-up embeddings, four tracklets to a person. Width 768 is ViT-B's global feature; its whole
feature (global and six parts) is 19,200 wide, so that a million take 77 GB: counts that do not fit in
memory are left out, with what they would need. Recall depends on how embeddings are spread. Here the
variance of direction i falls as 1/i over 512 directions, half as large within persons as between them; the
embeddings of walkers fall faster (1/i^2), which is easier to index. Rounds of exact search and of the index
take turns; medians count.

Size: mAP (every tracklet a query, other cameras) after each kind of compression, fitted on train.h5 alone.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stages.reid.distances import distance_rows
from stages.reid.embeddings import Embeddings
from stages.reid.gallery import Gallery
from stages.reid.index import build_index, import_faiss, ivf_cells, search_index
from stages.reid.metrics import score_ranking
from stages.reid.topk import smallest

K = 10
DIRECTIONS = 512
BATCH = 256
KINDS = (  # the quickest to build first
    "flat",
    "SQfp16",
    "PCA128,SQfp16",
    "PCA128,IVF{cells},PQ64x4fs",
    "ivf",
    "IVF{cells},SQfp16",
    "hnsw",
)


def embeddings_like(count: int, width: int, seed: int = 0) -> np.ndarray:
    """Float32 [count + 512, width]: a gallery and 512 queries of its persons, made as the module says."""
    rng = np.random.default_rng(seed)
    directions = min(DIRECTIONS, width)
    spread = np.sqrt(1 / np.arange(1, directions + 1)).astype(np.float32)
    basis = np.linalg.qr(rng.standard_normal((width, directions), np.float32))[0].T * spread[:, None]
    persons = max(1, count // 4)

    def block(people: np.ndarray) -> np.ndarray:
        known, place = np.unique(people, return_inverse=True)
        draws = [
            np.random.default_rng((seed, p)).standard_normal(directions, np.float32) for p in known.tolist()
        ]
        own = np.stack(draws)[place]
        return (own + np.sqrt(0.5) * rng.standard_normal(own.shape, np.float32)) @ basis

    features = np.empty((count + 2 * BATCH, width), np.float32)
    for start in range(0, count, 16384):
        stop = min(start + 16384, count)
        features[start:stop] = block(np.arange(start, stop) // 4 % persons)
    features[count:] = block(rng.permutation(persons)[np.arange(2 * BATCH) % persons])
    return features


def exact_search(joined: np.ndarray, count: int) -> Callable[[int, int], np.ndarray]:
    """A function from a range of queries to the rows of their K nearest, by this project's exact search."""
    distances = distance_rows(Embeddings(joined, *[np.empty(0)] * 5), np.arange(len(joined)), "euclidean")

    def search(start: int, stop: int) -> np.ndarray:
        block = distances(np.arange(count + start, count + stop))
        return np.stack([smallest(row[:count], K) for row in block])

    return search


def rate(search: Callable[[int, int], np.ndarray], size: int, seconds: float) -> float:
    """Queries/s in calls of `size` queries, for about so many seconds."""
    done, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        start = done % (2 * BATCH - size + 1)
        search(start, start + size)
        done += size
    return done / elapsed


def bytes_per_row(index) -> float:
    """What a row takes in memory: its code, its id in an IVF, its links in a graph."""
    faiss = import_faiss()
    links = 4 * 2 * 32 if isinstance(index, faiss.IndexHNSW) else 0
    ids = 8 if faiss.try_extract_index_ivf(index) is not None else 0
    storage = index.storage if links else index
    return faiss.downcast_index(storage).sa_code_size() + links + ids


def available_gb() -> float:
    """Memory that can be had without swapping."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024 / 1e9


def speed(count: int, width: int, rounds: int, seconds: float, skip: set[str]) -> None:
    """One table: every kind of index on `count` embeddings."""
    need, free = 2.3 * count * width * 4 / 1e9, available_gb()
    title = f"{count:,} embeddings, {width:,} wide"
    if need > free:
        print(f"\n{title}: left out, needs about {need:.0f} GB of memory, {free:.0f} GB are free")
        return
    joined = embeddings_like(count, width)
    features, queries = joined[:count], joined[count:]
    exact = exact_search(joined, count)
    truth = np.concatenate([exact(start, start + 64) for start in range(0, 2 * BATCH, 64)])
    print(f"\n{title} ({features.nbytes / 1e9:.2f} GB); queries/s one by one, and in blocks of {BATCH}")
    print(f"{'index':28} {'bytes/row':>9} {'build s':>8} {'recall@10':>9} {'one by one':>10} {'x exact':>8}"
          f" {'blocks':>8} {'x exact':>8}")  # fmt: skip
    cells = ivf_cells(count)
    shown = False
    for kind in KINDS:
        if kind in skip or ("PCA128" in kind and width <= 128):
            continue
        name = kind.format(cells=cells)
        began = time.perf_counter()
        index = build_index(features, name)
        built = time.perf_counter() - began

        def search(start: int, stop: int, index=index) -> np.ndarray:
            return search_index(index, queries[start:stop], K)[1]

        found = search(0, 2 * BATCH)
        recall = np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(found, truth, strict=True)])
        rates = np.array(
            [[rate(s, size, seconds) for s in (exact, search) for size in (1, BATCH)] for _ in range(rounds)]
        )
        one, many, index_one, index_many = (statistics.median(column) for column in rates.T)
        if not shown:
            print(f"{'exact, ours':28} {4 * width:9.0f} {0:8.1f} {1:9.3f} {one:10.1f} {'':8} {many:8.0f}")
            shown = True
        print(
            f"{name:28} {bytes_per_row(index):9.0f} {built:8.1f} {recall:9.3f} {index_one:10.1f} "
            f"{statistics.median(rates[:, 2] / rates[:, 0]):8.1f} {index_many:8.0f} "
            f"{statistics.median(rates[:, 3] / rates[:, 1]):8.1f}",
            flush=True,
        )


def size(train: Gallery, test: Gallery) -> None:
    """Bytes per tracklet against mAP, compression fitted on `train`."""
    faiss = import_faiss()
    learn, features = train.embeddings.features, test.embeddings.features
    width = features.shape[1]
    values = test.embeddings
    print(f"\n{len(features)} tracklets, {width} wide, codes fitted on {len(learn)} others: size against mAP")
    print(f"{'kind':28} {'bytes':>7} {'smaller':>8} {'mAP':>7} {'change':>7}")
    base = None
    most = min(learn.shape)
    kinds = ["Flat", "SQfp16", "SQ8", "SQ4"]
    kinds += [f"PCA{d},Flat" for d in (256, 128, 64, 32, 16) if d <= most]
    kinds += [f"PCA{d},SQfp16" for d in (128, 64) if d <= most]
    kinds += [f"PQ{m}x4" for m in (800, 400, 100, 50) if width % m == 0]
    kinds += [f"PCA128,PQ{m}x4" for m in (64, 32, 16) if most >= 128]
    for kind in kinds:
        index = faiss.index_factory(width, kind)
        with quiet():
            index.train(learn)
        code = index.sa_encode(features)
        plain = index.sa_decode(code)
        squares = (plain.astype(np.float64) ** 2).sum(1)
        distances = (
            squares[:, None] + squares[None] - 2 * plain.astype(np.float64) @ plain.astype(np.float64).T
        )
        query = np.flatnonzero(values.persons > 0)
        scores = score_ranking(
            distances[query], values.persons[query], values.persons, values.cameras[query], values.cameras
        )
        base = base or scores.mean_ap
        print(
            f"{kind:28} {code.shape[1]:7d} {4 * width / code.shape[1]:7.1f}x {100 * scores.mean_ap:7.2f} "
            f"{100 * (scores.mean_ap - base):+7.2f}",
            flush=True,
        )


class quiet:
    """FAISS warns on standard error, from C++, that few rows are left for each centroid."""

    def __enter__(self) -> None:
        self.kept, self.null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(self.null, 2)

    def __exit__(self, *_: object) -> None:
        os.dup2(self.kept, 2)
        os.close(self.kept)
        os.close(self.null)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--skip", nargs="*", default=[], help=f"of {' '.join(KINDS)}")
    parser.add_argument("--size", nargs=2, metavar=("TRAIN", "TEST"), help="gallery files of a labelled set")
    given = parser.parse_args()
    faiss = import_faiss()
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    faiss.omp_set_num_threads(threads)
    print(f"{platform.processor() or platform.machine()}, {threads} threads, FAISS {faiss.__version__}")
    if given.size:
        size(*(Gallery.load(path) for path in given.size))
        return
    for count in given.counts:
        speed(count, given.width, given.rounds, given.seconds, set(given.skip))


if __name__ == "__main__":
    main()
