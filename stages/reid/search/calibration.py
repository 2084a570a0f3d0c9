"""Rejection thresholds, the distance beyond which a tracklet is not a match: measured on a labelled set.

Every tracklet of an identity is a query twice. Once with its person taken out of the gallery: if anybody
is nearer than the threshold, that is a false positive. Once with its person there (from other cameras, where
cameras are known): if a right tracklet is nearer than the threshold, that is a true positive.
A false-positive rate is of whole searches, so it belongs to the size of the gallery it was measured with.
Searches of one person are not independent: intervals are by persons.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from cache.border import reading
from cache.errors import KeyReIDError
from cache.files import write_whole
from cache.text_files import load_json
from stages.config import Record
from stages.datasets.tracklet import DISTRACTOR, JUNK
from stages.reid.scoring.distances import Distance
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.statistics import interval_by_person
from stages.reid.search.blocks import distance_to_blocks, groups
from stages.reid.search.config import CalibrationConfig, SearchConfig
from stages.reid.search.footage import footage, footage_note

FILE = "calibration.json"
SCHEMA = 2
DEFAULT_RATES = (0.01, 0.05, 0.1)
_RESAMPLES = 2000
_WAY = "run keyreid calibrate on a labelled gallery"


def nearest(
    gallery: Embeddings, distance: Distance, other_cameras: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each query to its nearest right and its nearest wrong answer, float32 [Q] each.

    Infinity where there is none. Queries: every row of an identity (person above 0). Junk is ignored.
    other_cameras: wrong answers, too, are from other cameras than the query's.
    """
    persons, cameras = gallery.persons, gallery.cameras
    query = np.flatnonzero(persons > DISTRACTOR)
    right, wrong = np.full((2, len(query)), np.inf, np.float32)
    for at, asked in groups(query, gallery.features.shape[1]):
        for first, part in distance_to_blocks(gallery, asked, distance):
            own = np.arange(first, first + part.shape[1])
            for i, (row, line) in enumerate(zip(asked.tolist(), part, strict=True), start=at):
                same = persons[own] == persons[row]
                others = ~same & (persons[own] != JUNK)
                if cameras[row] >= 0:
                    elsewhere = cameras[own] != cameras[row]
                    same &= elsewhere
                    others &= elsewhere | (not other_cameras)
                same &= own != row
                right[i] = line[same].min(initial=right[i])
                wrong[i] = line[others].min(initial=wrong[i])
    return right, wrong


def rates_at(right: np.ndarray, wrong: np.ndarray, rates: Sequence[float], persons: np.ndarray) -> list[dict]:
    """Threshold and true-positive rate at each false-positive rate asked for.

    right, wrong: [Q] as of `nearest`; persons: [Q], whom each query is of. A distance below the threshold is
    a match. The threshold is the largest with at most the rate asked for. identified: share of queries whose
    nearest answer is right and below the threshold. *_interval: 95 %, by persons; NaN with one person.
    """
    present = np.isfinite(right)
    ordered = np.sort(wrong)
    measured = []
    for rate in rates:
        threshold = float(ordered[min(int(np.floor(rate * len(ordered) + 1e-9)), len(ordered) - 1)])
        below = right[present] < threshold
        first = below & (right[present] < wrong[present])
        row = {
            "false_positive_rate": rate,
            "threshold": threshold,
            "measured_false_positive_rate": float((wrong < threshold).mean()),
            "true_positive_rate": float(below.mean()),
            "identified": float(first.mean()),
        }
        (low, high), (least, most) = (
            interval_by_person(values.astype(float)[None], own, _RESAMPLES)[0].tolist()
            for values, own in ((wrong < threshold, persons), (below, persons[present]))
        )
        row |= {"false_positive_interval": [low, high], "true_positive_interval": [least, most]}
        measured.append(row)
    return measured


def measurable(rates: Sequence[float] | None, queries: int) -> tuple[float, ...]:
    """The rates to measure in this many searches; None: those of DEFAULT_RATES that can be.

    Raises KeyReIDError for a rate below one false positive in all searches: its threshold would be chance.
    """
    least = f"{queries} searches tell no rate below {1 / max(queries, 1):.2g}, one false positive"
    few = [rate for rate in rates or () if rate * queries < 1 - 1e-9]
    if few:
        raise KeyReIDError(f"--fpr {min(few):g}: {least}; ask for no less, or give a larger labelled set")
    chosen = rates or tuple(rate for rate in DEFAULT_RATES if rate * queries >= 1)
    if not chosen:
        raise KeyReIDError(f"{least}: too few to calibrate; give a larger labelled set")
    return tuple(chosen)


def calibrate(gallery: Embeddings, config: CalibrationConfig) -> dict:
    """An entry for the calibration file: on what it was measured, and `rates`, the rows of `rates_at`.

    Raises KeyReIDError for a gallery that is not labelled, or has too few tracklets for the rates asked for.
    """
    distance = config.distance or gallery.about["distance"]
    if not gallery.about.get("labelled"):
        raise KeyReIDError("persons of this gallery are a tracker's ids, not identities; give a labelled set")
    persons = gallery.persons
    asked = persons[persons > DISTRACTOR]
    rates = measurable(config.rates, len(asked))
    right, wrong = nearest(gallery, distance, config.other_cameras)
    if not np.isfinite(right).any() or not np.isfinite(wrong).all():
        raise KeyReIDError(
            f"{len(right)} tracklets of identities, {int(np.isfinite(right).sum())} with a right answer from "
            "another camera: too few to calibrate; give a labelled set with two persons or more, seen twice"
        )
    return {
        "distance": distance,
        "camera": gallery.about["camera"],
        "other_cameras": config.other_cameras,
        "checkpoint_sha256": gallery.checkpoint,
        "footage": footage(gallery),
        "persons": len(np.unique(asked)),
        "gallery": int((persons != JUNK).sum()),
        "queries": len(right),
        "queries_with_right_answer": int(np.isfinite(right).sum()),
        "rates": rates_at(right, wrong, rates, asked),
    }


def save(path: Path, entry: dict) -> Path:
    """Add an entry of `calibrate` to a JSON file; one of the same kind (see `threshold`) is replaced.

    Returns the path. Raises KeyReIDError where the file exists and is not a calibration.
    """
    kept = [e for e in _read(path) if _key(e) != _key(entry)] if path.is_file() else []
    write_whole(path, json.dumps({"schema": SCHEMA, "entries": [*kept, entry]}, indent=1).encode())
    return path


class _Rate(Record):
    false_positive_rate: float
    threshold: float


class _Footage(Record):
    datasets: list[str]
    roots: list[str]
    cameras: list[str]


class _Link(Record):
    threshold: float
    travel: bool
    learned: bool = False  # earlier files know of none
    neighbours: int
    shared: int


class _Entry(Record):
    """What is read back of an entry; the rest is for the user."""

    distance: str
    camera: str
    other_cameras: bool
    checkpoint_sha256: str
    footage: _Footage
    persons: int
    gallery: int
    rates: list[_Rate]
    link: list[_Link]


_ENTRIES = TypeAdapter(list[_Entry])


@dataclass(frozen=True)
class Limit:
    """A rejection threshold as the user gives it: a distance, a false-positive rate, or nothing."""

    distance: float | None = None
    rate: float | None = None

    @classmethod
    def parse(cls, text: str | None, config: SearchConfig) -> "Limit":
        """text: such as 0.8, or fpr=0.01. Raises KeyReIDError for anything else, and with re-ranking."""
        if text is None:
            return cls()
        if config.rerank.enabled:
            raise KeyReIDError("--threshold with --rerank: their distances depend on the gallery; use one")
        name, _, value = text.rpartition("=")
        with reading(f"--threshold {text}", remedy="expected a distance, such as 0.8, or fpr=0.01"):
            number = float(value)
            if name not in ("", "fpr") or not 0 <= number < math.inf:
                raise ValueError("outside its range")
        return cls(rate=number) if name else cls(distance=number)

    def value(
        self, gallery: Embeddings, config: SearchConfig, size: int, path: Path | None
    ) -> tuple[float | None, list[str]]:
        """The distance, or None; and notes for the user. size: rows that are searched. path: of a
        calibration.

        Raises KeyReIDError as `threshold`.
        """
        if self.rate is None:
            return self.distance, []
        limit, entry = threshold(
            path or Path(gallery.about["checkpoint"]["path"]).parent / FILE,
            self.rate,
            distance=config.distance or gallery.about["distance"],
            camera=gallery.about["camera"],
            other_cameras=config.other_cameras,
            checkpoint_sha256=gallery.checkpoint,
        )
        notes = footage_note(gallery, entry)
        if size <= 2 * entry["gallery"]:
            return limit, notes
        return limit, [
            *notes,
            f"calibrated in a gallery of {entry['gallery']} tracklets, this one has {size}: "
            "expect more false positives than asked for",
        ]


def threshold(path: Path, rate: float, **wanted: str | bool) -> tuple[float, dict]:
    """The threshold at a false-positive rate, and the entry of the file that it is from.

    Raises KeyReIDError as `find_entry`, and where that rate is not in it.
    """
    entry = find_entry(path, **wanted)
    for row in entry["rates"]:
        if abs(row["false_positive_rate"] - rate) < 1e-12:
            return row["threshold"], entry
    known = ", ".join(f"{row['false_positive_rate']:g}" for row in entry["rates"])
    raise KeyReIDError(f"{path}: has the rates {known}, not {rate:g}; {_WAY} with --fpr {rate:g}")


def find_entry(path: Path, **wanted: str | bool) -> dict:
    """The entry of a calibration file that was measured in a certain way.

    wanted: distance, camera, other_cameras and checkpoint_sha256, or some of them, as in an entry of
    `calibrate`. Raises KeyReIDError where the file or such an entry is not there.
    """
    if not path.is_file():
        raise KeyReIDError(f"{path}: no calibration there; {_WAY}, or give --threshold a distance")
    for entry in _read(path):
        if all(entry[name] == value for name, value in wanted.items()):
            return entry
    what = ", ".join(f"{name} {str(value)[:12]}" for name, value in wanted.items())
    raise KeyReIDError(f"{path}: has nothing for {what}; {_WAY} of that kind")


def _key(entry: dict) -> tuple:
    return tuple(entry[name] for name in ("distance", "camera", "other_cameras", "checkpoint_sha256"))


def _read(path: Path) -> list[dict]:
    with reading(path, "a calibration file of this version", "delete it and calibrate"):
        content = load_json(path)
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}, expected {SCHEMA}")
        _ENTRIES.validate_python(content["entries"])
        return content["entries"]
