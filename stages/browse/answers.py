"""Writes the page of a search: each query with its answers, in the cards of the page of people."""

from pathlib import Path

import numpy as np

from stages.browse.config import BrowseConfig
from stages.browse.media import missing_note, part_names, write_media
from stages.browse.page import Page, Row, used
from stages.browse.site import close_site, open_site
from stages.browse.tracklets import Footage
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.ranking import Ranking


def write_answers(
    config: BrowseConfig, gallery: Embeddings, ranking: Ranking, limit: float | None, output: Path
) -> Path:
    """Write the page of a ranking into the folder `output`; returns the path of its index.html.

    limit: rejection threshold; None: none. The nearest tracklets of a query are its answers.
    Raises KeyReIDError for a folder with other contents.
    """
    labelled = gallery.about.get("labelled", False)
    right = ranking.right(gallery.persons)
    numbers: dict[int, int] = {}  # of a row of the gallery, on the page
    rows, nearest = [], {}
    for place, query in enumerate(ranking.query.tolist()):
        entries = [{"i": numbers.setdefault(query, len(numbers)), "query": True}]
        for column in np.flatnonzero(ranking.matches[place] >= 0).tolist():
            match, distance = int(ranking.matches[place, column]), float(ranking.distances[place, column])
            entry = {"i": numbers.setdefault(match, len(numbers)), "rank": column + 1, "d": distance}
            entry |= {"match": distance < limit} if limit is not None else {}
            entries.append(entry | ({"right": bool(right[place, column])} if labelled else {}))
        nearest[entries[0]["i"]] = [(entry["i"], entry["d"]) for entry in entries[1:]]
        rows.append(Row(str(gallery.names[query]), entries, _line(entries, limit)))
    footage = Footage()
    tracklets = footage.shown(gallery, numbers)
    media = write_media(open_site(output), tracklets, config)
    page = Page(
        kind="search",
        title="Search",
        summary=f"{len(rows)} {'query' if len(rows) == 1 else 'queries'}, each with its nearest tracklets"
        + ("." if limit is None else f"; yes: nearer than the threshold, {limit:.4g}."),
        table="keyreid search",
        tracklets=tracklets,
        media=media,
        rows=rows,
        parts=part_names(config),
        nearest=nearest,
        notes=[*footage.notes, *missing_note(media)],
    )
    return close_site(output, page.html(), used(media))


def _line(entries: list[dict], limit: float | None) -> str:
    if limit is None:
        return f"{len(entries) - 1} answers"
    near = sum(entry["match"] for entry in entries[1:])
    return f"yes for {near} of {len(entries) - 1} answers" if near else "no match"
