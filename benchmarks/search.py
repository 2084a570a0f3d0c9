"""Search in large galleries: recall and speed of FAISS against exact search, and what compression costs.

    python -m benchmarks.search --counts 10000 100000 1000000 --width 19200
    python -m benchmarks.search --counts 10000 --memory 4     # GB that an index may use
    python -m benchmarks.search --counts 1000000 --like runs/RUN/eval/embeddings.h5 --on-disk /tmp
    python -m benchmarks.search --size train.h5 test.h5       # galleries of a labelled set (keyreid embed)

Speed: made-up embeddings, four tracklets to a person, and 256 queries of the same persons. Width 19,200 is
ViT-B's whole feature (global and six parts), 768 its global feature alone. A million whole features take
77 GB. So rows are made in blocks of 4,096, the same ones each time, and only one block is held. Exact search
is timed on each block while it is there, distances and choice of the nearest; making the block is not
counted. The rate is that of a gallery held in memory, also where this one is too large for that. An index is
trained on the first rows and filled block by block; one that does not fit is left out with what it needs.

Recall depends on how embeddings are spread. Here the variance of direction i falls as 1/i over 512
directions, half as large within persons as between them; the embeddings of walkers fall faster (1/i^2), which
is easier to index. Indexes are timed in rounds; medians count. The last lines are of the product's own
search() on the gallery after the PCA, beside the FAISS index in it.

--like: embeddings are made like those in this file, of a labelled set: persons between two of its persons,
what differs within a person from its tracklets. --on-disk: rows are kept there in half precision, and the
best 100 of a small index are compared again with the rows themselves, read from disk: the way for a million.

Size: mAP (every tracklet a query, other cameras) after each kind of compression, fitted on train.h5 alone.
"""

import argparse
import contextlib
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import floors
from benchmarks.made.gallery import BLOCK, QUERIES, Made, MadeLike
from benchmarks.made.indexes import K, Survey, build, bytes_per_row, survey, timed
from benchmarks.made.product_search import product_search
from stages.reid.metrics import score_ranking
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.faiss_index import (
    accept_few_rows,
    import_faiss,
    ivf_cells,
    search_index,
)

RERANKED, CANDIDATES = "PCA256,IVF{cells},SQ8", 100
AT_LEAST = {"recall@10": 0.95, "queries/s on two cores": 200, "bytes/row in memory at most": 1024}
KINDS = (  # the quickest to build first
    "PCA128,SQfp16",
    "PCA128,IVF{cells},PQ64x4fs",
    "PCA256,IVF{cells},SQ8",
    "PCA256,IVF{cells},SQfp16",
    "PCA256,HNSW32,SQfp16",
    "flat",
    "SQfp16",
    "ivf",
    "IVF{cells},SQfp16",
    "hnsw",
)


def reranked(made: Made, seen: Survey, rows: np.ndarray) -> None:
    """Print recall and speed of a small index whose best candidates are compared again with rows on disk.

    rows: float16 [N, width], a memory map.
    """
    kind = RERANKED.format(cells=ivf_cells(made.count))
    index, built = build(made, kind, seen, available_gb())
    cells = import_faiss().extract_index_ivf(index)
    print(
        f"{kind}, its best {CANDIDATES} compared with rows on disk: {bytes_per_row(index):.0f} bytes/row in "
        f"memory, {2 * made.width} on disk, built in {built:.0f} s; wanted: {AT_LEAST}"
    )
    parameters = cells.nprobe
    for probed in (parameters, 2 * parameters):
        cells.nprobe = min(probed, cells.nlist)
        began = time.process_time(), time.perf_counter()
        _, candidates = search_index(index, made.queries, CANDIDATES)
        answers = np.full((QUERIES, K), -1)
        for query, (own, near) in enumerate(zip(made.queries, candidates, strict=True)):
            near = np.sort(near[near >= 0])
            exact = ((rows[near].astype(np.float32) - own) ** 2).sum(1)
            nearest = near[np.argsort(exact, kind="stable")[:K]]
            answers[query, : len(nearest)] = nearest
        core, wall = time.process_time() - began[0], time.perf_counter() - began[1]
        recall = np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(answers, seen.nearest, strict=True)])
        read = CANDIDATES * 2 * made.width + bytes_per_row(index) * made.count * cells.nprobe / cells.nlist
        floor = QUERIES * read / (floors.copy_rate() / 2)
        print(f"  {cells.nprobe} cells: recall@10 {recall:.3f}, {QUERIES / wall:.0f} queries/s, "
              f"{QUERIES / core:.0f} for each second of a core; {floors.against(core, floor, 'bytes read')}",
              flush=True)  # fmt: skip


def rate(search: Callable[[int, int], np.ndarray], size: int, seconds: float) -> float:
    """Queries/s in calls of `size` queries, for about this many seconds."""
    done, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        start = done % (QUERIES - size + 1)
        search(start, start + size)
        done += size
    return done / elapsed


def available_gb() -> float:
    """Memory that can be had without swapping."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024 / 1e9


def speed(made: Made, rounds: int, seconds: float, skip: set[str], memory: float | None, disk: Path | None):
    """One table: every kind of index on the embeddings."""
    count, width = made.count, made.width
    print(f"\n{count:,} embeddings, {width:,} wide: {count * width * 4 / 1e9:.3g} GB as float32", flush=True)
    with contextlib.ExitStack() as stack:
        rows = None
        if disk is not None:
            file = stack.enter_context(tempfile.TemporaryFile(dir=disk))
            rows = np.memmap(file, np.float16, "w+", shape=(count, width))
        took, seen = timed(lambda: survey(made, rounds, rows))
        if rows is not None and seen.pca is not None:
            reranked(made, seen, rows)
    print(
        f"exact search: arithmetic alone, on blocks of {BLOCK:,} rows in memory; making them is not counted"
    )
    print(
        f"one pass over it: {took:.0f} s, {seen.pca_seconds:.1f} of them PCA, which 'build s' counts as well"
    )
    print(f"queries/s one by one, and in blocks of {QUERIES}")
    print(f"{'index':28} {'bytes/row':>9} {'build s':>8} {'recall@10':>9} {'one by one':>10} {'x exact':>8}"
          f" {'blocks':>8} {'x exact':>8}")  # fmt: skip
    exact_one, exact_many = 1 / seen.one, QUERIES / seen.many
    print(f"{'exact, ours':28} {4 * width:9.0f} {0:8.1f} {1:9.3f} {exact_one:10.1f} {'':8} {exact_many:8.0f}")
    for kind in KINDS:
        if kind in skip or (kind.startswith("PCA") and seen.pca is None):
            continue
        name = kind.format(cells=ivf_cells(count))
        built = build(made, name, seen, memory or 0.8 * available_gb())
        if isinstance(built, str):
            print(f"{name:28} {built}", flush=True)
            continue
        index, took = built

        def search(start: int, stop: int, index=index) -> np.ndarray:
            return search_index(index, made.queries[start:stop], K)[1]

        first, answers = timed(lambda search=search: search(0, QUERIES))
        recall = np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(answers, seen.nearest, strict=True)])
        one = statistics.median(rate(search, 1, seconds) for _ in range(rounds))
        many = QUERIES / first  # enough where it took long
        if first < 5 * seconds:
            many = statistics.median(rate(search, QUERIES, seconds) for _ in range(rounds))
        print(
            f"{name:28} {bytes_per_row(index):9.0f} {took:8.1f} {recall:9.3f} {one:10.1f} "
            f"{one / exact_one:8.1f} {many:8.0f} {many / exact_many:8.1f}",
            flush=True,
        )
        del built, index, search  # before the next one is built
    if seen.pca is not None:
        queries = seen.pca.apply(made.queries)
        product_search(
            queries,
            seen.reduced,
            K,
            lambda call, size: statistics.median(rate(call, size, seconds) for _ in range(rounds)),
        )
    print(f"{floors.peak_memory()}, {floors.busy()}")


def size(train: Embeddings, test: Embeddings) -> None:
    """Bytes per tracklet against mAP, compression fitted on `train`."""
    faiss = import_faiss()
    learn, features = train.features, test.features
    width = features.shape[1]
    values = test
    print(f"\n{len(features)} tracklets, {width} wide, codes fitted on {len(learn)} others: size against mAP")
    print(f"{'kind':28} {'bytes':>7} {'smaller':>8} {'mAP':>7} {'change':>7}")
    base = None
    most = min(learn.shape)
    kinds = ["Flat", "SQfp16", "SQ8", "SQ4"]
    kinds += [f"PCA{d},Flat" for d in (256, 128, 64, 32, 16) if d <= most]
    kinds += [f"PCA{d},SQfp16" for d in (128, 64) if d <= most]
    # np: without reordering centroids for Hamming distances, which takes minutes and changes no vector.
    kinds += [f"PQ{m}x4np" for m in (800, 400, 100, 50) if width % m == 0]
    kinds += [f"PCA128,PQ{m}x4np" for m in (64, 32, 16) if most >= 128]
    for kind in kinds:
        index = faiss.index_factory(width, kind)
        accept_few_rows(index)
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


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--width", type=int, default=19_200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--memory", type=float, help="GB an index may use; default: 0.8 of what is free")
    parser.add_argument("--skip", nargs="*", default=[], help=f"of {' '.join(KINDS)}")
    parser.add_argument("--like", type=Path, help="embeddings of a labelled set; instead of --width")
    parser.add_argument(
        "--on-disk", type=Path, metavar="FOLDER", help="for rows, and the search that reads them"
    )
    parser.add_argument("--size", nargs=2, metavar=("TRAIN", "TEST"), help="gallery files of a labelled set")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    faiss = import_faiss()
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    faiss.omp_set_num_threads(threads)
    print(f"{platform.processor() or platform.machine()}, {threads} threads, FAISS {faiss.__version__}")
    if given.size:
        size(*(Embeddings.load(path) for path in given.size))
        return
    like = Embeddings.load(given.like) if given.like else None
    for count in given.counts:
        made = Made(count, given.width) if like is None else MadeLike(count, like)
        speed(made, given.rounds, given.seconds, set(given.skip), given.memory, given.on_disk)


if __name__ == "__main__":
    main()
