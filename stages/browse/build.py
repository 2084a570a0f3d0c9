"""Writes the page of people: who was where and when, in one folder."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from cache.errors import KeyReIDError
from stages.browse.config import BrowseConfig
from stages.browse.media import missing_note, part_names, write_media
from stages.browse.page import Page, Row, used
from stages.browse.people import IDENTITIES, People, read_people
from stages.browse.site import SITE, check_site, close_site, open_site
from stages.browse.tracklets import Footage
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.gallery import read_gallery


def run(
    config: BrowseConfig,
    people: Path,
    output: Path | None = None,
    galleries: Sequence[Path | str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the page of a folder of `keyreid link`; returns the path of its index.html.

    output: folder of the page, default PEOPLE/site; one that this function made before is replaced, any
    other refused. galleries: where the tracklets are now, if not where they were linked. progress: called
    with tracklets done and in all.
    Raises KeyReIDError for what is missing, and for identities and galleries that do not go together.
    """
    folder = output or people / SITE
    check_site(folder)
    linked = read_people(people)
    gallery = read_gallery([*galleries] or linked.galleries, stored=True)
    footage = Footage()
    tracklets = footage.shown(gallery, _places(linked, gallery))
    media_folder = open_site(folder)
    media = write_media(media_folder, tracklets, config, progress)
    sizes = Counter(row.identity for row in linked.rows)
    alone = sum(size == 1 for size in sizes.values())
    entries: dict[int, list[dict]] = {}
    for number, row in enumerate(linked.rows):
        entries.setdefault(row.identity, []).append({"i": number})
    page = Page(
        kind="people",
        title="Who was where",
        summary=f"{len(sizes)} {'person' if len(sizes) == 1 else 'people'} in {len(tracklets)} tracklets "
        f"of {len({t.camera for t in tracklets})} cameras; "
        f"{alone} {'was' if alone == 1 else 'were'} seen once.",
        table=IDENTITIES,
        tracklets=tracklets,
        media=media,
        rows=[Row(f"Person {identity}", entry) for identity, entry in entries.items()],
        parts=part_names(config),
        confidence={number: row.confidence for number, row in enumerate(linked.rows)},
        nearest=dict(enumerate(linked.nearest)),
        notes=[*linked.notes, *footage.notes, *missing_note(media)],
    )
    return close_site(folder, page.html(), used(media))


def _places(linked: People, gallery: Embeddings) -> list[int]:
    """The row of the gallery for each row of identities.csv."""
    parts, names = gallery.part.tolist(), gallery.names.tolist()
    rows = {key: row for row, key in enumerate(zip(parts, names, strict=True))}
    places = [rows.get((row.part, row.tracklet)) for row in linked.rows]
    if None in places:
        row = linked.rows[places.index(None)]
        raise KeyReIDError(
            f"{linked.folder / IDENTITIES}: tracklet {row.tracklet} of {row.part} is not in the gallery: it "
            "has changed; run keyreid link again"
        )
    return places
