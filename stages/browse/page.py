"""The page: rows of tracklets as data for its script, and the HTML around them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stages.browse.media import Media
from stages.browse.site import MEDIA
from stages.browse.tracklets import Shown
from stages.datasets.files import natural
from stages.html_page import printable, render
from stages.reid.scoring.embeddings import UNKNOWN

SCRIPTS = ("browse/player.js", "browse/times.js", "browse/panel.js", "browse/browse.js")


@dataclass(frozen=True)
class Row:
    """A row of the page: a person, or a query with its answers.

    entries: tracklets by number, as {"i": number} and what belongs to this place: query, rank, d (distance),
    match, right. line: below the name; people say it themselves.
    """

    name: str
    entries: list[dict[str, Any]]
    line: str = ""


@dataclass(frozen=True)
class Page:
    """What a page shows.

    kind: people or search. confidence, nearest ((number, distance) each): by number of the tracklet; none:
    not known. table: what holds the same without a script. notes: shown above the rows.
    """

    kind: str
    title: str
    summary: str
    table: str
    tracklets: Sequence[Shown]
    media: Sequence[Media]
    rows: Sequence[Row]
    parts: Sequence[str]
    confidence: Mapping[int, float] = field(default_factory=dict)
    nearest: Mapping[int, Sequence[tuple[int, float]]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def html(self) -> str:
        """The whole page."""
        view = {
            "kind": self.kind,
            "title": self.title,
            "summary": self.summary,
            "table": self.table,
            "notes": list(self.notes),
            "made": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
            "data": printable(self.data()),
        }
        # 'self' allows nothing in a page opened as a file.
        pictures = "'self' file: data:"
        return render(
            "browse/browse.html.j2", view, ("browse/player.css", "browse/browse.css"), SCRIPTS, pictures
        )

    def data(self) -> dict[str, Any]:
        """What the script draws, JSON values; browse.js documents them."""
        cameras = sorted({t.camera for t in self.tracklets}, key=natural)
        galleries = sorted({t.part for t in self.tracklets}, key=natural)
        # Where some have clock times, seconds of a video have no place on the axis.
        clock = any(t.has_clock for t in self.tracklets)
        items = []
        for number, (shown, media) in enumerate(zip(self.tracklets, self.media, strict=True)):
            placed = bool(shown.filmed) and shown.has_clock == clock
            items.append(
                {
                    "n": shown.name,
                    "p": galleries.index(shown.part),
                    "c": cameras.index(shown.camera),
                    "s": round(shown.start, 3) if placed else None,
                    "e": round(shown.end, 3) if placed else None,
                    "z": round(shown.zone / 60) if shown.has_clock else 0,
                    "v": "" if placed else shown.filmed,
                    "f": f"{shown.first} to {shown.last}" if shown.first >= 0 else "",
                    "q": self.confidence.get(number),
                    "t": f"{MEDIA}/{media.thumbnail}" if media.thumbnail else "",
                    "h": f"{MEDIA}/{media.sheet}" if media.sheet else "",
                    "k": media.frames,
                    "w": media.width,
                    "m": media.parts,
                    "g": len(shown.frames),
                    "x": media.why,
                    "near": [[other, round(float(d), 4)] for other, d in self.nearest.get(number, ())],
                }
            )
        return {
            "kind": self.kind,
            "clock": clock,
            "cameras": ["camera unknown" if name == UNKNOWN else name for name in cameras],
            "galleries": galleries,
            "parts": list(self.parts),
            "items": items,
            "rows": [{"name": row.name, "line": row.line, "entries": row.entries} for row in self.rows],
        }


def used(media: Sequence[Media]) -> list[str]:
    """Names of the pictures of a page."""
    return [name for one in media for name in (one.thumbnail, one.sheet) if name]
