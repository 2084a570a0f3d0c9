"""The answers of a search as records and as a picture."""

from pathlib import Path
from typing import Any

import numpy as np

from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.pictures import Match, ranking_picture
from stages.reid.scoring.ranking import Ranking

DRAWN = 8  # queries in a picture


def records(gallery: Embeddings, ranking: Ranking, limit: float | None) -> list[dict[str, Any]]:
    """One record per query, JSON values: query, camera, part, start, end, filmed, answers {rank, tracklet,
    camera, part, start, end, filmed, distance}.

    start, end: ISO 8601, seconds of the video, or None. filmed: both in words.
    limit: rejection threshold; with it, `match` of each answer and `somebody` of the query. `right` of each
    answer where persons are labelled.
    """
    labelled = gallery.about.get("labelled", False)
    right = ranking.right(gallery.persons)
    found = []
    for number, row in enumerate(ranking.query):
        answers = []
        for match, distance, good in zip(
            ranking.matches[number], ranking.distances[number], right[number], strict=True
        ):
            if match < 0:
                break
            answer = {
                "rank": len(answers) + 1,
                **_named(gallery, match, "tracklet"),
                "distance": float(distance),
            }
            answer |= {"right": bool(good)} if labelled else {}
            answers.append(answer | ({"match": bool(distance < limit)} if limit is not None else {}))
        somebody = {"somebody": any(a["match"] for a in answers)} if limit is not None else {}
        found.append({**_named(gallery, row, "query"), **somebody, "answers": answers})
    return found


def _named(gallery: Embeddings, row: int, what: str) -> dict[str, Any]:
    part = None if gallery.part is None else str(gallery.part[row])
    named = {what: str(gallery.names[row]), "camera": str(gallery.camera_names[row]), "part": part}
    return named | gallery.times(row) | {"filmed": gallery.filmed(row)}


def label_of(gallery: Embeddings, row: int, part: bool) -> str:
    """What stands under a picture: camera, when it was filmed and, where asked for, the part; a line each."""
    filmed = gallery.filmed(row)
    words = filmed.split()
    lines = [f"camera {gallery.camera_names[row]}"]
    if len(words) < 3:
        lines.append(filmed)
    else:  # day, clock, offset from UTC; two days are longer
        lines += [f"{words[0]} {words[-1]}", *words[1:-1]]
    lines.append(Path(gallery.part[row]).name[-22:] if part else "")
    return "\n".join(line for line in lines if line)


def draw(path: Path, gallery: Embeddings, ranking: Ranking, limit: float | None) -> Path:
    """Draw the first queries with their answers. Raises KeyReIDError for a missing frame."""
    labelled = gallery.about.get("labelled", False)
    right = ranking.right(gallery.persons)

    def match(row: int, distance: float, good: bool | None) -> Match:
        frames = gallery.frames[row]
        label = label_of(gallery, row, len(gallery.sources) > 1)
        return Match(gallery.root / frames[len(frames) // 2], label, distance, good)

    lists = []
    for number, row in enumerate(ranking.query[:DRAWN].tolist()):
        places = np.flatnonzero(ranking.matches[number] >= 0)
        answers = [
            match(
                int(ranking.matches[number, place]),
                float(ranking.distances[number, place]),
                bool(right[number, place]) if labelled else None,
            )
            for place in places
        ]
        lists.append((match(row, 0.0, None), answers))
    title = "" if len(ranking.query) <= DRAWN else f"first {DRAWN} of {len(ranking.query)} queries; "
    title += "query and nearest tracklets, with their distance"
    ranking_picture(path, lists, title if limit is None else f"{title}; threshold {limit:.4g}")
    return path
