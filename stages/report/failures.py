"""Where the ranking fails: scores of groups of queries."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stages.report.contents import Scored


@dataclass(frozen=True)
class GroupScores:
    """Means over the queries of a group, shares of 1; failures: queries whose first answer is wrong."""

    title: str
    queries: int
    failures: int
    rank1: float
    mean_ap: float
    mean_inp: float


def score_group(title: str, queries: Iterable[Scored]) -> GroupScores | None:
    """Scores of a group of queries; None for an empty one."""
    queries = list(queries)
    if not queries:
        return None
    number = len(queries)
    failures = sum(q.first_rank > 1 for q in queries)
    return GroupScores(
        title,
        number,
        failures,
        1 - failures / number,
        sum(q.average_precision for q in queries) / number,
        sum(q.inverse_penalty for q in queries) / number,
    )


def by_title(queries: Iterable[Scored], titles: Mapping[str, str]) -> list[GroupScores]:
    """Scores of every group, worst mAP first; titles: query name -> its group."""
    groups: dict[str, list[Scored]] = {}
    for query in queries:
        if query.name in titles:
            groups.setdefault(titles[query.name], []).append(query)
    scores = [score_group(title, members) for title, members in groups.items()]
    return sorted((g for g in scores if g is not None), key=lambda g: (g.mean_ap, g.title))


def best_and_worst(queries: Iterable[Scored], count: int) -> tuple[list[Scored], list[Scored]]:
    """At most count best queries, best first, and as many worst, worst first; none is in both.

    By average precision, then inverse negative penalty, then name. Of few queries the worst go first.
    """
    order = sorted(queries, key=lambda q: (q.average_precision, q.inverse_penalty, q.name))
    worst = order[: min(count, -(-len(order) // 2))]
    return order[len(worst) :][-count:][::-1], worst
