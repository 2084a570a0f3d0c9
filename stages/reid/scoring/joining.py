"""Sets of embeddings put together into one."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from stages.reid.scoring.embeddings import COLUMNS, Embeddings, numbered
from stages.reid.scoring.stored_rows import StoredRows


def join(sets: Iterable[tuple[str, Embeddings]], rows: int | None = None, stored: bool = False) -> Embeddings:
    """One set of several, rows in order. sets: (name of the file, embeddings).

    rows: of all together, where sets are read one by one and should not be in memory at once. stored:
    features stay where they are (`StoredRows`), and are not copied into one array.
    Frames become absolute paths; `part` is the name where a set has none. Persons count as labelled only
    where all are of one labelled data set. Raises KeyReIDError where they were made by different networks.
    """
    if rows is None:
        sets = list(sets)
        rows = sum(len(one) for _, one in sets)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("names", "visibility", *COLUMNS)}
    abouts, frames, sources, at, pieces = [], [], {}, 0, []
    for name, one in sets:
        if one.part is None:
            source = one.about | {"root": str(one.root)}
            one = replace(one, part=np.full(len(one), name), sources={name: source})
        if len(one) == rows:
            return one
        if not abouts:
            first_name, first = name, one
            features = np.empty((0 if stored else rows, one.features.shape[1]), np.float32)
        if one.checkpoint != first.checkpoint:
            raise KeyReIDError(
                f"{name}: made by checkpoint {one.checkpoint[:12]} ({one.about['checkpoint']['path']}), "
                f"{first_name} by {first.checkpoint[:12]} ({first.about['checkpoint']['path']}): their "
                "distances are not comparable; embed one of them again with the other's checkpoint"
            )
        if stored:
            pieces += one.features.pieces if isinstance(one.features, StoredRows) else [one.features]
        else:
            features[at : at + len(one)] = one.features[:]
        at += len(one)
        for column, values in columns.items():
            value = getattr(one, column)
            values.append(
                np.full(len(one), COLUMNS[column]) if value is None and column in COLUMNS else value
            )
        frames += [tuple(str(one.root / f) for f in shown) for shown in one.frames]
        abouts.append(one.about | {"root": str(one.root)})
        sources |= one.sources
    joined = {
        name: None if any(v is None for v in values) else np.concatenate(values)
        for name, values in columns.items()
    }
    # Persons and cameras of different data sets have nothing to do with each other.
    places = {(about.get("dataset"), about["root"]) for about in abouts}
    labelled = len(places) == 1 and all(about.get("labelled") for about in abouts)
    if labelled and all(joined["person_names"]):
        joined["persons"] = _agreed(joined["person_names"], joined["persons"])
        joined["cameras"] = _agreed(joined["camera_names"], joined["cameras"])
    modes = {about.get("camera") for about in abouts}
    about = first.about | {"labelled": labelled, "camera": modes.pop() if len(modes) == 1 else "mixed"}
    made = replace(
        first,
        **joined,
        features=StoredRows(pieces) if stored else features,
        frames=tuple(frames),
        root=Path("/"),
        about=about,
        sources=sources,
    )
    made.check(f"{first_name} and {name}")
    return made


def _agreed(names: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Numbers as they are where each name has one of its own, else new ones, from 1; junk and below stay.

    A tree of persons that has grown may number them in another way.
    """
    known = numbers > 0
    pairs = set(zip(names[known].tolist(), numbers[known].tolist(), strict=True))
    if len(pairs) == len({name for name, _ in pairs}) == len({number for _, number in pairs}):
        return numbers
    return np.where(known, 1 + numbered(names.tolist()), numbers)
