"""The figures of the page: scores, curves, spread of distances, as the template shows them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stages.reid.scoring.protocols import PROTOCOLS
from stages.report.charts import Chart, Series, line_chart, thinned
from stages.report.contents import Contents
from stages.report.distances import Distances

HISTOGRAM_BINS = 48
CMC_RANKS = 20
SHOWN = {"mAP": "mAP", "rank1": "Rank-1", "rank5": "Rank-5", "rank10": "Rank-10", "mINP": "mINP"}
# records of training that are drawn: key, title, axis, shown as percent
CURVES = (
    ("loss", "Loss", "loss", False),
    ("identity_loss", "Identity loss", "loss", False),
    ("triplet_loss", "Triplet loss", "loss", False),
    ("center_loss", "Center loss", "loss", False),
    ("attention_loss", "Attention loss", "loss", False),
    ("accuracy", "Accuracy on training clips", "accuracy", True),
    ("learning_rate", "Learning rate", "rate", False),
    ("attention_frames", "Entropy of temporal attention", "nats", False),
)
FALLING = ("center_loss", "attention_loss")  # over orders of magnitude: drawn on a logarithmic axis
VALIDATION = (("mean_ap", "mAP on held-out identities"), ("rank_1", "Rank-1 on held-out identities"))


def score_rows(contents: Contents) -> list[dict[str, Any]]:
    """One row per protocol: figures, intervals, what it ranks."""
    return [
        _row(name, figures, name == contents.scores["headline"])
        for name, figures in contents.scores["protocols"].items()
    ]


def baseline_rows(contents: Contents) -> list[dict[str, Any]]:
    """The trained network and its baselines under the headline protocol; empty without baselines."""
    if not contents.baselines:
        return []
    trained = contents.scores["protocols"][contents.scores["headline"]]
    rows = {"trained network": trained, **contents.baselines}
    return [_row(name, figures, name == "trained network") for name, figures in rows.items()]


def _row(name: str, figures: Mapping[str, Any], headline: bool) -> dict[str, Any]:
    intervals = figures.get("interval95", {})
    rule = figures.get("average_precision") or (
        PROTOCOLS[name].average_precision if name in PROTOCOLS else "rectangular"
    )
    return {
        "name": name,
        "headline": headline,
        "scores": [(title, figures.get(key), intervals.get(key)) for key, title in SHOWN.items()],
        "valid": figures.get("num_valid"),
        "queries": figures.get("num_queries"),
        "gallery": figures.get("num_gallery"),
        "rule": rule,
    }


def training_charts(contents: Contents) -> list[Chart]:
    """A small chart for every quantity that training has recorded."""
    charts = []
    train = [r for r in contents.steps if r.get("kind", "train") == "train"]
    for key, title, axis, share in CURVES:
        records = [r for r in train if key in r]
        if records:
            x, y = thinned([r["step"] for r in records], [r[key] for r in records])
            whole = (0.0, 1.0) if share else None
            log = key in FALLING and min(y) * 10 < max(y)
            charts.append(line_chart(title, [Series(title, x, y)], "step", axis, whole, share, log))
    held = [r for r in contents.steps if r.get("kind") == "validation"]
    for ending, title in VALIDATION:
        keys = sorted({k for r in held for k in r if k == ending or k.endswith((f"/{ending}", f"_{ending}"))})
        series = []
        for key in keys:
            records = [r for r in held if key in r]
            series.append(Series(key, [r["step"] for r in records], [r[key] for r in records]))
        if series:
            charts.append(line_chart(title, series, "step", "share", (0.0, 1.0), True))
    return charts


def cmc_chart(contents: Contents) -> Chart:
    """Share of queries with a right answer among the first r, one line per protocol."""
    series = [
        Series(name, list(range(1, CMC_RANKS + 1)), figures["cmc"][:CMC_RANKS])
        for name, figures in contents.scores["protocols"].items()
    ]
    return line_chart("Cumulative match characteristic", series, "rank", "queries", (0.0, 1.0), True)


def distance_chart(distances: Distances) -> Chart:
    """Histograms of the distances of right and of wrong matches, each as shares of its own number."""
    edges, counts = distances.histogram.coarse(HISTOGRAM_BINS)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    series = [
        Series(name, edges.tolist(), row.tolist(), step=True)
        for name, row in zip(("right matches", "wrong matches"), shares, strict=True)
    ]
    return line_chart("Distances of matches", series, "distance", "share of pairs", None, True)
