"""How fast `score_ranking` is, against a loop over gallery items and against numpy one query at a time.

    python -m benchmarks.scoring --rounds 3 --queries 1840 --gallery 9330

The first is how the released evaluator works. All three score the same matrix; results are compared before
times are. The three take turns, and the median of the rounds counts. The floor is reading the distances once.
"""

import argparse
import statistics

import numpy as np

from benchmarks import floors
from stages.reid.metrics import score_ranking


def by_item(distances, query_persons, gallery_persons, query_cameras, gallery_cameras):
    """Per query a Python loop over the whole sorted gallery, two quotients an item. Mean AP (trapezoid)."""
    total, valid = 0.0, 0
    for row, person, camera in zip(distances, query_persons, query_cameras, strict=True):
        order = np.argsort(row, kind="stable")
        same = gallery_persons == person
        ignored = set(np.flatnonzero((same & (gallery_cameras == camera)) | (gallery_persons == -1)).tolist())
        right = set(np.flatnonzero(same & (gallery_cameras != camera)).tolist())
        if not right:
            continue
        ap, hits, skipped, recall_before, precision_before = 0.0, 0, 0, 0.0, 1.0
        for place, item in enumerate(order.tolist()):
            if item in ignored:
                skipped += 1
                continue
            if item in right:
                hits += 1
            recall = hits / len(right)
            precision = hits / (place - skipped + 1)
            ap += (recall - recall_before) * (precision_before + precision) / 2
            recall_before, precision_before = recall, precision
        total += ap
        valid += 1
    return total / valid


def by_query(distances, query_persons, gallery_persons, query_cameras, gallery_cameras):
    """Per query a handful of numpy calls on whole rows. Mean AP (trapezoid)."""
    total, valid = 0.0, 0
    order = np.argsort(distances, axis=1, kind="stable")
    for row, person, camera in zip(order, query_persons, query_cameras, strict=True):
        persons, cameras = gallery_persons[row], gallery_cameras[row]
        keep = ~((persons == person) & (cameras == camera)) & (persons != -1)
        hits = persons[keep] == person
        if not hits.any():
            continue
        precision = hits.cumsum() / np.arange(1, len(hits) + 1)
        before = np.concatenate([[1.0], precision[:-1]])
        total += ((precision + before) / 2)[hits].mean()
        valid += 1
    return total / valid


def ours(*arrays):
    """`score_ranking`, which gives CMC and mINP as well."""
    return score_ranking(*arrays, average_precision="trapezoid").mean_ap


def problem(queries: int, gallery: int, seed: int = 0):
    """Distances and labels like those of MARS: 6 cameras, a third distractors, 9 right answers per query."""
    rng = np.random.default_rng(seed)
    persons = max(2, round(gallery * 6082 / 9330 / 9.8))
    gallery_persons = np.where(rng.random(gallery) < 3248 / 9330, 0, rng.integers(1, persons + 1, gallery))
    query_persons = rng.integers(1, persons + 1, queries)
    distances = rng.random((queries, gallery), dtype=np.float32)
    distances *= np.where(query_persons[:, None] == gallery_persons, np.float32(0.02), np.float32(1))
    return (
        distances,
        query_persons,
        gallery_persons,
        rng.integers(0, 6, queries),
        rng.integers(0, 6, gallery),
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=1840)
    parser.add_argument("--gallery", type=int, default=9330)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    arrays = problem(options.queries, options.gallery)
    contenders = {"released-style loop": by_item, "numpy per query": by_query, "score_ranking": ours}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    values = {}
    for _ in range(options.rounds):
        for name, function in contenders.items():
            start = floors.now()
            values[name] = function(*arrays)
            seconds[name].append(floors.now() - start)
    spread = max(values.values()) - min(values.values())
    assert spread < 1e-9, f"the three disagree: {values}"
    median = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"{options.queries} x {options.gallery}, mAP {values['score_ranking']:.6f} by all three")
    for name, value in median.items():
        print(f"{name:20s} {value:9.3f} s   {value / median['score_ranking']:7.1f} x score_ranking")
    read = arrays[0].nbytes / (floors.copy_rate() / 2)
    print(f"score_ranking: {floors.against(median['score_ranking'], read, 'reading the distances once')}")
    print(f"{floors.peak_memory()}, {floors.busy()}")


if __name__ == "__main__":
    main()
