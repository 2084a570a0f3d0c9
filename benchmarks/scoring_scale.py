"""Scoring far beyond MARS: exact AP and first answers of 20,000 x 200,000 embeddings, in bounded memory.

    python -m benchmarks.scoring_scale --queries 20000 --gallery 200000 --width 768

The whole matrix would be 16 GB; blocks of 256 queries are held. Some queries are scored again by sorting.
The floor is the product of queries and gallery alone.
"""

import argparse

import numpy as np

from benchmarks import floors
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embeddings import TestSet
from stages.reid.scoring.protocols import STANDARD
from stages.reid.scoring.ranking import rank_protocols


def make(queries: int, gallery: int, width: int, seed: int = 0) -> TestSet:
    """Noisy copies of one centre per person, ten gallery items each; six cameras."""
    rng = np.random.default_rng(seed)
    count = queries + gallery
    persons = rng.integers(1, max(2, gallery // 10), count)
    features = np.empty((count, width), np.float32)
    centres = rng.standard_normal((persons.max() + 1, width), np.float32)
    for first in range(0, count, 10_000):
        chosen = centres[persons[first : first + 10_000]]
        features[first : first + 10_000] = chosen + 3 * rng.standard_normal(chosen.shape, np.float32)
    return TestSet(
        features=features,
        names=np.arange(count).astype(str),
        persons=persons,
        cameras=rng.integers(0, 6, count),
        query=np.arange(queries),
        gallery=np.arange(queries, count),
        global_width=width,
        about={"dataset": "noise"},
    )


def by_sorting(data: TestSet, query: int) -> float | None:
    """AP of one query from a sort of float64 distances, or None without a right answer."""
    difference = data.features[data.gallery] - data.features[query]
    order = np.argsort(np.einsum("nf,nf->n", difference, difference, dtype=np.float64), kind="stable")
    persons, cameras = data.persons[data.gallery][order], data.cameras[data.gallery][order]
    same = persons == data.persons[query]
    hits = same[~(same & (cameras == data.cameras[query]))]
    ranks = np.flatnonzero(hits) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).mean()) if len(ranks) else None


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--gallery", type=int, default=200_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--block", type=int, default=256)
    parser.add_argument("--check", type=int, default=20, help="queries to score again by sorting")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    data = make(options.queries, options.gallery, options.width)
    start = floors.now()
    [(scores, ranking, _)] = rank_protocols(data, [STANDARD], EvalConfig(block=options.block))
    seconds = floors.now() - start
    average_precision = dict(zip(scores.valid.tolist(), scores.average_precision.tolist(), strict=True))
    check = min(options.check, options.queries)
    picked = np.random.default_rng(1).choice(options.queries, check, replace=False)
    worst = max(abs((by_sorting(data, q) or 0.0) - average_precision.get(q, 0.0)) for q in picked.tolist())
    print(f"{options.queries} x {options.gallery}, width {options.width}, blocks of {options.block}")
    kept = ranking.matches.shape[1]
    print(f"mAP {scores.mean_ap:.4f}, {scores.num_valid} valid queries, {kept} answers kept")
    print(f"AP of {len(picked)} queries against a sort: largest difference {worst:.1e}")
    matrix = options.queries * options.gallery * 4 / 2**30
    products = 2 * options.queries * options.gallery * options.width / floors.product_rate()
    print(f"{seconds:.1f} s, {floors.against(seconds, products, 'its products')}")
    print(f"{floors.peak_memory()}; the matrix alone: {matrix:.1f} GB; {floors.busy()}")


if __name__ == "__main__":
    main()
