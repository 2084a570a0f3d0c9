"""The answers of a search as records and as a picture."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from stages.html_page import printable
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.pictures import Match, ranking_picture
from stages.reid.scoring.ranking import Ranking

LINE = 20  # characters below a picture


def records(gallery: Embeddings, ranking: Ranking, limit: float | None) -> list[dict[str, Any]]:
    """One record per query, JSON values: query, camera, part, start, end, filmed, answers {rank, tracklet,
    camera, part, start, end, filmed, distance}.

    start, end: ISO 8601, seconds of the video, or None. filmed: both in words.
    limit: rejection threshold; with it, `match` of each answer and `somebody` of the query. `right` of each
    answer where persons are labelled.
    """
    labelled = gallery.about.get("labelled", False)
    right = ranking.right(gallery.persons)
    records = []
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
        records.append({**_named(gallery, row, "query"), **somebody, "answers": answers})
    return records


def _named(gallery: Embeddings, row: int, what: str) -> dict[str, Any]:
    part = None if gallery.part is None else str(gallery.part[row])
    named = {what: str(gallery.names[row]), "camera": str(gallery.camera_names[row]), "part": part}
    return named | gallery.times(row) | {"filmed": gallery.filmed(row)}


def label_of(gallery: Embeddings, row: int, part: bool) -> str:
    """What stands under a picture: name, camera, when it was filmed and, where asked for, the part."""
    filmed = gallery.filmed(row)
    words = filmed.split()
    lines = [*wrapped(str(gallery.names[row])), f"camera {gallery.camera_names[row]}"]
    if len(words) < 3:
        lines.append(filmed)
    else:  # day, clock, offset from UTC; two days are longer
        lines += [f"{words[0]} {words[-1]}", *words[1:-1]]
    lines.append(Path(gallery.part[row]).name[-22:] if part else "")
    return "\n".join(line for line in lines if line)


def wrapped(name: str) -> list[str]:
    """A name in lines of at most LINE characters, broken behind slashes where that is possible."""
    lines = [""]
    for word in re.findall(r"[^/]*/|[^/]+", printable(name)):
        for piece in (word[at : at + LINE] for at in range(0, len(word), LINE)):
            if len(lines[-1]) + len(piece) > LINE:
                lines.append("")
            lines[-1] += piece
    return lines


def free_name(path: Path) -> Path:
    """The path itself, or where there is something, the first of NAME-2, NAME-3, ... that is free."""
    number, free = 1, path
    while free.exists() or free.is_symlink():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def draw(path: Path, gallery: Embeddings, ranking: Ranking, limit: float | None, count: int) -> Path:
    """Draw the first `count` queries with their answers. Raises KeyReIDError for a missing frame."""
    labelled = gallery.about.get("labelled", False)
    right = ranking.right(gallery.persons)

    def match(row: int, distance: float, good: bool | None) -> Match:
        frames = gallery.frames[row]
        label = label_of(gallery, row, len(gallery.sources) > 1)
        near = None if limit is None else distance < limit
        return Match(gallery.root / frames[len(frames) // 2], label, distance, good, near)

    lists = []
    for number, row in enumerate(ranking.query[:count].tolist()):
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
    title = "" if len(ranking.query) <= count else f"first {count} of {len(ranking.query)} queries; "
    title += "query and nearest tracklets, with their distance"
    ranking_picture(path, lists, title if limit is None else f"{title}; yes: nearer than {limit:.4g}")
    return path
