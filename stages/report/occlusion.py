"""How much of a walker is hidden: from the generator's record, or from the heat of stage one."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.text_files import load_table
from stages.datasets.tracklet import Tracklet
from stages.reid.scoring.embeddings import Embeddings

RECORD = "occluders.csv"
MIXED = "several"


@dataclass(frozen=True)
class Occlusion:
    """Mean share of the figure that is covered, over a tracklet's frames, and by what ("" by nothing)."""

    covered: float
    kind: str


@dataclass(frozen=True)
class Groups:
    """Queries by how much of them can be seen.

    kind: "covered" (known exactly) or "heat" (estimated from heat). titles: of the groups, in order.
    group: number of each query's group, by name. value: what it was formed by, 0..1.
    """

    kind: str
    titles: list[str]
    group: dict[str, int]
    value: dict[str, float]


def read_occluders(root: Path) -> dict[str, tuple[str, float]] | None:
    """Frame -> (kind, share covered) of a walkers data set; None where the data set keeps no such record."""
    path = root / RECORD
    if not path.is_file():
        return None
    return dict(load_table(path, _occluder, ("frame", "kind", "covered"), "make the data set again"))


def _occluder(row: dict[str, str]) -> tuple[str, tuple[str, float]]:
    covered = float(row["covered"])
    if not 0 <= covered <= 1:
        raise ValueError(f"covered is {covered}, expected 0 to 1")
    return row["frame"], (row["kind"], covered)


def of_tracklet(tracklet: Tracklet, occluders: dict[str, tuple[str, float]]) -> Occlusion:
    """A tracklet's occlusion; frames without a line are not covered."""
    hidden = [occluders[frame] for frame in tracklet.frames if frame in occluders]
    kinds = {kind for kind, _ in hidden}
    kind = next(iter(kinds)) if len(kinds) == 1 else MIXED if kinds else ""
    return Occlusion(sum(covered for _, covered in hidden) / len(tracklet.frames), kind)


def by_cover(covered: dict[str, float]) -> Groups:
    """Groups by the share covered: none, then bands of twenty hundredths."""
    titles = ["not covered", "up to 20 % covered", "20 to 40 % covered", "more than 40 % covered"]

    def group(value: float) -> int:
        return 0 if value == 0 else 1 if value <= 0.2 else 2 if value <= 0.4 else 3

    return Groups("covered", titles, {name: group(v) for name, v in covered.items()}, covered)


def by_heat(embeddings: Embeddings, names: list[str]) -> Groups | None:
    """Four groups of nearly equal size by the mean visibility of the parts; None without part heat."""
    if embeddings.visibility is None or not names:
        return None
    row = {str(name): i for i, name in enumerate(embeddings.names)}
    values = {name: float(embeddings.visibility[row[name]].mean()) for name in names}
    cuts = np.unique(np.quantile(list(values.values()), [0.25, 0.5, 0.75]).round(3))
    edges = [min(values.values()), *cuts.tolist(), max(values.values())]
    titles = [f"heat {a:.3f} to {b:.3f}" for a, b in itertools.pairwise(edges)]
    group = {name: int(np.searchsorted(cuts, value, side="left")) for name, value in values.items()}
    return Groups("heat", titles, group, values)


def hidden_parts(embeddings: Embeddings, names: list[str], limit: float = 0.5) -> dict[str, list[int]]:
    """Numbers of the parts of each tracklet whose mean peak heat is below limit."""
    if embeddings.visibility is None:
        return {}
    row = {str(name): i for i, name in enumerate(embeddings.names)}
    return {name: np.flatnonzero(embeddings.visibility[row[name]] < limit).tolist() for name in names}
