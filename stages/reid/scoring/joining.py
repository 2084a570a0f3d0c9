"""Sets of embeddings put together into one."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from stages.reid.scoring.embeddings import COLUMNS, Embeddings, numbered
from stages.reid.scoring.stored_frames import StoredFrames
from stages.reid.scoring.stored_rows import StoredRows


def join(sets: Iterable[tuple[str, Embeddings]], rows: int | None = None, stored: bool = False) -> Embeddings:
    """One set of several, rows in order. sets: (name of the file, embeddings).

    rows: of all together, where sets are read one by one and should not be in memory at once. stored:
    features and frames stay where they are (`StoredRows`, `StoredFrames`), and are not copied together.
    Frames become absolute paths; `part` is the name where a set has none. Persons count as labelled only
    where all are of one labelled data set. Raises KeyReIDError where they were made by different networks.
    """
    if rows is None:
        sets = list(sets)
        rows = sum(len(one) for _, one in sets)
    columns: dict[str, np.ndarray | None] = {}
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
        if one.features.shape[1] != first.features.shape[1] or one.parts != first.parts:
            raise KeyReIDError(
                f"{name}: {one.features.shape[1]} numbers and {one.parts} parts a tracklet, {first_name} has "
                f"{first.features.shape[1]} and {first.parts}, and names the same checkpoint; make it again"
            )
        if stored:
            pieces += one.features.pieces if isinstance(one.features, StoredRows) else [one.features]
        else:
            features[at : at + len(one)] = one.features[:]
        for column in ("names", "visibility", *COLUMNS):
            value = getattr(one, column)
            if value is None and column in COLUMNS:
                value = np.full(len(one), COLUMNS[column])
            _put(columns, column, value, at, rows)
        at += len(one)
        if stored:
            frames.append((str(one.root), one.frames))
        else:
            frames += [tuple(str(one.root / f) for f in shown) for shown in one.frames]
        abouts.append(one.about | {"root": str(one.root)})
        sources |= one.sources
    # Persons and cameras of different data sets have nothing to do with each other.
    places = {(about.get("dataset"), about["root"]) for about in abouts}
    labelled = len(places) == 1 and all(about.get("labelled") for about in abouts)
    if labelled and all(columns["person_names"]):
        columns["persons"] = _agreed(columns["person_names"], columns["persons"])
        columns["cameras"] = _agreed(columns["camera_names"], columns["cameras"])
    modes = {about.get("camera") for about in abouts}
    about = first.about | {"labelled": labelled, "camera": modes.pop() if len(modes) == 1 else "mixed"}
    made = replace(
        first,
        **columns,
        features=StoredRows(pieces) if stored else features,
        frames=StoredFrames(frames) if stored else tuple(frames),
        root=Path("/"),
        about=about,
        sources=sources,
    )
    made.check(f"{first_name} and {name}")
    return made


def _put(
    columns: dict[str, np.ndarray | None], name: str, values: np.ndarray | None, at: int, rows: int
) -> None:
    """Write the rows from `at` on of a column of `rows`, whose type gets as wide as is needed.

    None for all rows where one set has none. Sets in a list, concatenated later, would take memory twice.
    """
    column = columns.setdefault(
        name, None if values is None else np.empty((rows, *values.shape[1:]), values.dtype)
    )
    if column is None or values is None:
        columns[name] = None
        return
    columns[name] = column.astype(np.promote_types(column.dtype, values.dtype), copy=False)
    columns[name][at : at + len(values)] = values


def _agreed(names: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Numbers as they are where each name has one of its own, else new ones, from 1; junk and below stay.

    A tree of persons that has grown may number them in another way.
    """
    known = numbers > 0
    pairs = set(zip(names[known].tolist(), numbers[known].tolist(), strict=True))
    if len(pairs) == len({name for name, _ in pairs}) == len({number for _, number in pairs}):
        return numbers
    return np.where(known, 1 + numbered(names), numbers)
