"""Does it help to count parts by how visible they are? On walkers, where occlusion is known.

    python -m benchmarks.visible_parts --embeddings runs/walkers/RUN/eval/embeddings.h5

Queries are divided into occluded and clear ones; the two distances are compared query by query. The walkers
are those of --data-root, data/walkers.
"""

import argparse
from pathlib import Path

from stages.datasets.walkers.occlusion import Occlusion
from stages.reid.scoring.compare import QueryScore, compare_queries
from stages.reid.scoring.config import EvalConfig
from stages.reid.scoring.embeddings import TestSet
from stages.reid.scoring.protocols import PROTOCOLS
from stages.reid.scoring.ranking import rank_protocols

Scores = dict[str, QueryScore]


def per_query(embeddings: TestSet, distance: str) -> Scores:
    """Query name to its scores under queries-dropped."""
    protocol = PROTOCOLS["queries-dropped"]
    [(scores, _, _)] = rank_protocols(embeddings, [protocol], EvalConfig(distance=distance))
    names = embeddings.names[embeddings.query[scores.valid]].tolist()
    columns = (scores.persons, scores.average_precision, scores.inverse_penalty, scores.first_rank)
    values = (QueryScore(*row) for row in zip(*(c.tolist() for c in columns), strict=True))
    return dict(zip(names, values, strict=True))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--embeddings", type=Path, help="embeddings.h5 of an evaluation on walkers")
    parser.add_argument("--data-root", type=Path, default=Path("data/walkers"))
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.embeddings is None:
        print("skipped: needs --embeddings RUN/eval/embeddings.h5 and --data-root of walkers")
        return
    embeddings = TestSet.load(options.embeddings)
    occlusion = Occlusion(options.data_root)
    euclidean, visible = (per_query(embeddings, d) for d in ("euclidean", "visible"))
    occluded = {q for q in euclidean if q in occlusion}
    print("queries          n  euclidean  visible    gain    95 % interval       p")
    for label, chosen in (
        ("occluded", occluded),
        ("clear", euclidean.keys() - occluded),
        ("all", euclidean.keys()),
    ):
        if not chosen:
            continue
        pair = ({"mAP": {q: scores[q] for q in chosen}} for scores in (euclidean, visible))
        row = compare_queries(*pair)["mAP"]["scores"]["mAP"]
        interval = " .. ".join(f"{100 * v:+6.2f}" for v in row["interval95"] or ()) or "-"  # one person: none
        print(
            f"{label:12s} {len(chosen):5d} {100 * row['a']:10.2f} {100 * row['b']:8.2f} "
            f"{100 * row['difference']:+7.2f}  {interval:>16s}  {row['p']:.4f}"
        )


if __name__ == "__main__":
    main()
