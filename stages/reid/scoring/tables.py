"""How scores are reported: the figures of a protocol, one line, a table, the mean over splits."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich import box

from cache.errors import KeyReIDError
from stages.reid.scoring.metrics import RankingScores
from stages.reid.scoring.protocols import Protocol
from stages.reid.scoring.statistics import intervals
from stages.terminal import TextTable, text_table

TABLE_RANKS = (1, 5, 10, 20)
SHOWN = ("mAP", "rank1", "rank5", "rank10", "mINP")
_WITH_INTERVAL = ("mAP", "rank1", "mINP")  # the others are in the JSON: 80 columns are few
SCORES = ("mAP", *(f"rank{r}" for r in TABLE_RANKS), "mINP")


def figures(
    scores: RankingScores, protocol: Protocol, gallery: int, bootstrap: int = 0, seed: int = 0
) -> dict:
    """Everything about one protocol as plain values; scores are shares of 1.

    gallery: rows of the gallery. bootstrap: resamples for `interval95`, 0 for none; none either where all
    queries are of one person.
    """
    values = {
        "mAP": scores.mean_ap,
        **{f"rank{r}": float(scores.cmc[r - 1]) for r in TABLE_RANKS},
        "mINP": scores.mean_inp,
        "num_valid": scores.num_valid,
        "num_queries": scores.num_queries,
        "num_gallery": gallery,
        "average_precision": protocol.average_precision,
        "cmc": scores.cmc.tolist(),
    }
    if bootstrap and np.ptp(scores.persons):
        values["interval95"] = intervals(scores, bootstrap, seed, TABLE_RANKS)
    return values


def headline(report: Mapping) -> str:
    """One line that names protocol, checkpoint, split and number of valid queries."""
    name = report["headline"]
    figures = report["protocols"][name]
    split = report.get("split")
    deviation = figures.get("deviation", {})

    def show(score: str) -> str:
        more = f" ± {100 * deviation[score]:.2f}" if score in deviation else ""
        return f"{100 * figures[score]:.2f}{more}"

    return (
        f"{report.get('dataset', '?')}, split {'-' if split is None else split}, protocol {name}, "
        f"checkpoint {report.get('checkpoint') or '-'}: mAP {show('mAP')}, Rank-1 {show('rank1')}, "
        f"mINP {show('mINP')} over {figures['num_valid']} valid of {figures['num_queries']} queries"
    )


def score_table(rows: Mapping[str, Mapping], first: str = "protocol", title: str | None = None) -> TextTable:
    """A rich table with a row of figures per name: protocols of a run, or runs under one protocol.

    In percent; 95 % intervals below, deviation behind. `queries` is valid / all. Fits in 80 columns.
    """
    table = text_table(box=box.SIMPLE, padding=(0, 1, 0, 0), title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    for score in SHOWN:
        table.add_column(score.replace("rank", "Rank-"), justify="right", no_wrap=True)
    table.add_column("queries", justify="right", no_wrap=True)
    for name, figures in rows.items():
        valid = f"{figures['num_valid']}/{figures['num_queries']}"
        table.add_row(name, *(_cell(figures, score) for score in SHOWN), valid)
    return table


def _cell(figures: Mapping, score: str) -> str:
    text = f"{100 * figures[score]:.2f}"
    if score in figures.get("deviation", {}):
        text += f"±{100 * figures['deviation'][score]:.1f}"
    if score in _WITH_INTERVAL and score in figures.get("interval95", {}):
        low, high = figures["interval95"][score]
        text += f"\n{100 * low:.3g}-{100 * high:.3g}"
    return text


def over_splits(reports: Sequence[Mapping]) -> dict:
    """The mean over the splits of a data set, with the sample standard deviation under `deviation`.

    reports: one of `evaluate.score` per split. Of valid queries and gallery rows the least is
    given. Raises KeyReIDError for reports that do not belong together.
    """
    if not reports:
        raise KeyReIDError("no split was evaluated; expected at least one")
    first = reports[0]
    for key in ("dataset", "headline", "distance", "rerank", "camera"):
        if any(r.get(key) != first.get(key) for r in reports):
            raise KeyReIDError(f"the splits differ in {key}; expected evaluations made in the same way")
    combined = {k: first.get(k) for k in ("dataset", "distance", "rerank", "camera", "headline")}
    combined |= {
        "split": f"mean of {len(reports)} ({', '.join(str(r.get('split')) for r in reports)})",
        "checkpoint": ", ".join(dict.fromkeys(str(r.get("checkpoint") or "-") for r in reports)),
        "protocols": {},
    }
    for name in first["protocols"]:
        if any(name not in r["protocols"] for r in reports):
            continue  # left out of a split in which no query has a right answer under it
        each = [r["protocols"][name] for r in reports]
        values = {s: np.array([e[s] for e in each]) for s in SCORES}
        combined["protocols"][name] = {
            **{s: float(v.mean()) for s, v in values.items()},
            "deviation": {s: float(v.std(ddof=1)) if len(v) > 1 else 0.0 for s, v in values.items()},
            **{k: min(e[k] for e in each) for k in ("num_valid", "num_queries", "num_gallery")},
            "average_precision": each[0]["average_precision"],
            "splits": [
                {"split": r.get("split"), **{s: e[s] for s in SCORES}}
                for r, e in zip(reports, each, strict=True)
            ],
        }
    combined["line"] = headline(combined)
    return combined
