"""Linking: how well, against plain agglomerative clustering, and how fast and large for how many tracklets.

With --train and --test, labelled gallery files of two sets of persons: thresholds from the first, scores on
the second, for plain average linkage over all distances (scipy), for ours without times, with times, with
ways learned from the gallery, and with --travel, a file of travel times.
--size makes embeddings of this many tracklets, four of a person, with times and cameras, and links them. The
floor is the products of all tracklets with all, each pair once.

    python -m benchmarks.link --size 100000
    python -m benchmarks.link --train train.h5 --test test.h5 --travel travel.yaml
"""

import argparse
import os
import platform
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from benchmarks import floors
from benchmarks.made.gallery import TOGETHER, Made
from stages.reid.scoring.distances import distance_rows
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.agglomerate import Merges, agglomerate
from stages.reid.search.agreement import agreement, pairwise_curve
from stages.reid.search.config import LinkConfig
from stages.reid.search.constraints import Apart
from stages.reid.search.gallery import read_gallery
from stages.reid.search.link_calibration import best_level
from stages.reid.search.link_files import read_travel
from stages.reid.search.people import numbered
from stages.reid.search.similarity import compare

LEARNED = "linked, ways learned"
_DAY, _LEG, _SEEN = 86_400.0, 60.0, 5.0  # seconds


def main(words: list[str] | None = None) -> None:
    args = parse(words)
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores")
    if args.train and args.test:
        _quality(read_gallery(args.train), read_gallery(args.test), args.travel)
    if args.size:
        _scale(args.size, args.width, args.index, args.ways)


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--train", type=Path, help="labelled gallery that gives the thresholds")
    parser.add_argument("--test", type=Path, help="labelled gallery of other persons")
    parser.add_argument("--travel", type=Path, help="YAML file of travel times")
    parser.add_argument("--size", type=int, default=0, help="made tracklets")
    parser.add_argument("--width", type=int, default=896, help="numbers of a made embedding")
    parser.add_argument("--ways", action="store_true", help="made tracklets: learn ways, and compare again")
    parser.add_argument(
        "--index", default="exact", help="exact, or FAISS: flat, ivf, hnsw, or a factory string"
    )
    return parser.parse_args(words)


def _quality(train: Embeddings, test: Embeddings, travel: Path | None) -> None:
    def bare(gallery: Embeddings) -> Embeddings:
        return replace(gallery, start=None, end=None, zone=None)

    ways = {"plain average linkage": None, "linked, no times": ()}
    ways |= {"linked, times": (), LEARNED: (), "linked, travel times": travel and read_travel(travel)}
    print(
        f"{'':24}{'pairwise P':>11}{'R':>7}{'F1':>7}{'B-cubed F1':>12}{'IDF1':>7}{'identities':>12}"
        f"{'at once':>9}"
    )
    for name, way in ways.items():
        if way is None and name != "plain average linkage":
            continue
        timed = name != "linked, no times"
        merges = [
            _plain(gallery)
            if way is None
            else _linked(gallery if timed else bare(gallery), way, name == LEARNED)
            for gallery in (train, test)
        ]
        level = best_level(*pairwise_curve(merges[0], train.persons))
        rules, labels = Apart.of(test), merges[1].labels(level)
        scores, identities = agreement(labels, test.persons), numbered(labels, rules)
        wrong = sum(rules.matrix(own, own).any() for own in map(np.flatnonzero, _members(identities)))
        cells = [scores[f"pairwise_{what}"] for what in ("precision", "recall", "f1")]
        print(
            f"{name:24}{cells[0]:11.1%}{cells[1]:7.1%}{cells[2]:7.1%}{scores['bcubed_f1']:12.1%}"
            f"{scores['idf1']:7.1%}{scores['identities']:6d} of {scores['persons']:d}{wrong:9d}"
        )


def _members(identities: np.ndarray) -> list[np.ndarray]:
    return [identities == number for number in np.unique(identities)]


def _plain(gallery: Embeddings) -> Merges:
    """Average linkage over the full matrix of the run's own distance, without constraints."""
    count = len(gallery)
    every = np.arange(count)
    far = distance_rows(gallery, every, gallery.about["distance"])(every).astype(float)
    far = np.maximum((far + far.T) / 2, 0)
    np.fill_diagonal(far, 0)
    tree = linkage(squareform(far, checks=False), "average")
    names, pairs = list(range(count)), []
    for one, other in tree[:, :2].astype(int).tolist():
        pairs.append((names[one], names[other]))
        names.append(names[one])
    return Merges(every, np.array(pairs), -tree[:, 2])


def _linked(gallery: Embeddings, travel: tuple, learned: bool) -> Merges:
    rules = Apart.of(gallery, travel)
    return agglomerate(compare(gallery, LinkConfig(no_ways=not learned), rules).similarity, rules, 1e-6)


def _scale(size: int, width: int, index: str, ways: bool) -> None:
    features = Made(size, width).first(size)
    persons = np.arange(size) // TOGETHER + 1
    cameras = np.arange(size) % TOGETHER + 1
    rng = np.random.default_rng(0)
    start = rng.uniform(0, _DAY, persons.max() + 1)[persons] + cameras * _LEG
    names = np.array([f"{row:07d}" for row in range(size)])
    about = {"distance": "euclidean", "labelled": True}
    gallery = Embeddings(
        features=features, names=names, persons=persons, cameras=cameras, camera_names=cameras.astype(str),
        start=start, end=start + _SEEN, zone=np.zeros(size), frames=tuple((name,) for name in names),
        about=about | {"root": "/"},
    )  # fmt: skip
    made = floors.peak_memory()
    rules, config = Apart.of(gallery), LinkConfig(index=index, no_ways=not ways)
    begin = time.process_time()
    compared = compare(gallery, config, rules)
    middle = time.process_time()
    merges = agglomerate(compared.similarity, rules, 0.3)
    end = time.process_time()
    scores = agreement(merges.labels(0.3), persons)
    print(
        f"{size} tracklets, {width} numbers each, neighbours {index}: compared in {middle - begin:.0f} s of "
        "processor time "
        f"({compared.similarity.nnz // 2} alike pairs), merged in {end - middle:.0f} s; "
        f"{scores['identities']} identities of {scores['persons']} persons, pairwise F1 "
        f"{scores['pairwise_f1']:.1%}"
    )
    floor = size**2 * width / floors.product_rate()
    print(f"comparing: {floors.against(middle - begin, floor, 'products of all pairs')}")
    print(f"{floors.peak_memory()} (before linking: {made}), {floors.busy()}")


if __name__ == "__main__":
    main()
