"""Linking: galleries in, identities out: who was where, over cameras and days."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from cache.files import make_folder
from stages.browse import build as browse
from stages.browse.config import BrowseConfig
from stages.browse.site import SITE, check_site
from stages.extras import LARGE_SEARCH
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.search.agglomerate import agglomerate, joined_rows
from stages.reid.search.agreement import agreement
from stages.reid.search.config import LinkConfig
from stages.reid.search.constraints import Apart
from stages.reid.search.gallery import index_folder, part_notes, read_gallery
from stages.reid.search.learned_ways import Way
from stages.reid.search.link_calibration import link_thresholds
from stages.reid.search.link_files import check_cameras, find_pairs, read_groups, read_travel
from stages.reid.search.people import confidences, numbered, write_people
from stages.reid.search.similarity import compare

_MANY = 4  # tracklets for each neighbour asked for; of fewer, everybody is near everybody


@dataclass(frozen=True)
class Corrections:
    """Files of what a user knows; None: nothing. travel: YAML; must, cannot: lists of tracklets."""

    travel: Path | None = None
    must: Path | None = None
    cannot: Path | None = None


def run(
    config: LinkConfig,
    galleries: Sequence[Path | str],
    output: Path,
    threshold: float | None = None,
    calibration: Path | None = None,
    corrections: Corrections = Corrections(),
    progress: Callable[[int, int], None] = lambda done, total: None,
    page: BrowseConfig | None = None,
) -> Path:
    """Link the tracklets of galleries to identities; returns the folder, see `stages.reid.search.people`.

    galleries: as of `read_gallery`. threshold: mean distance of identities that are still linked, in (0, 1];
    default: that of the calibration, a file of keyreid calibrate, default beside the checkpoint.
    page: also write the page of `stages.browse.build` into the folder.
    Raises KeyReIDError, before anything is compared, for what cannot be read or contradicts itself.
    """
    if config.index != "exact":
        LARGE_SEARCH.check()
    if output.exists() and not output.is_dir():
        raise KeyReIDError(f"--output {output}: a file; expected the name of a folder")
    if threshold is not None and not 0 < threshold <= 1:
        raise KeyReIDError(f"--threshold {threshold:g}: expected a mean distance above 0 and at most 1")
    if page is not None:
        check_site(output / SITE)
    travel = () if corrections.travel is None else read_travel(corrections.travel)
    lists = {path: read_groups(path) for path in (corrections.must, corrections.cannot) if path is not None}
    index_folder(galleries, config.index_folder)  # refuses; its own is for features as they are stored
    gallery = read_gallery(galleries, stored=True)
    if len(gallery) < 2:
        raise KeyReIDError("a gallery of one tracklet: nothing can be linked; embed more")
    if corrections.travel is not None:
        check_cameras(corrections.travel, travel, gallery)
    must, cannot = (
        [] if path is None else find_pairs(path, lists[path], gallery)
        for path in (corrections.must, corrections.cannot)
    )
    must += repeated(gallery)
    groups = joined_rows(len(gallery), must)
    for a, b in cannot:
        if groups[a] == groups[b]:
            raise KeyReIDError(
                f"{corrections.cannot}: {gallery.names[a]} and {gallery.names[b]} are one person by "
                f"{corrections.must or 'their frames'}; leave one of the two lines out"
            )
    apart = Apart.of(gallery, travel)
    notes = part_notes(gallery)
    limits, source, more = link_thresholds(gallery, config, bool(travel), threshold, calibration)
    asked = config
    if True not in limits and not config.no_ways:
        config = config.model_copy(update={"no_ways": True})
        if apart.timed and not travel:
            more.append(
                "ways between cameras are not learned: the calibration has no threshold with them; run "
                "keyreid calibrate again on footage with times"
            )
    if len(gallery) < _MANY * config.neighbours:
        more.append(
            f"WARNING: {len(gallery)} tracklets are few for linking by the {config.neighbours} nearest of "
            "each, and different people may be joined: embed more footage (at least "
            f"{_MANY * config.neighbours} tracklets), or lower --neighbours, here and in keyreid calibrate"
        )
    make_folder(output)
    compared = compare(gallery, config, apart, progress)
    limit = limits[bool(compared.ways)]
    merges = agglomerate(compared.similarity, apart, 1 - limit, must, cannot)
    identities = numbered(merges.labels(1 - limit), apart)
    if missing := len(apart.start) - apart.timed:
        more.append(
            f"{missing} of {len(apart.start)} tracklets have no time or no camera: they may be linked with "
            "whom they were filmed beside"
        )
    learned = learned_ways(compared.ways, gallery)
    more += [
        f"learned from who looks alike: the way between {' and '.join(way['cameras'])} takes "
        f"{way['least']:.0f} to {way['greatest']:.0f} s"
        for way in learned
    ]
    record = {
        "galleries": [str(path) for path in galleries],
        "model": gallery.about["checkpoint"],
        "threshold": {"value": limit, "from": source},
        "settings": asked.model_dump(mode="json", exclude={"index_folder"}),
        "constraints": {
            "tracklets_with_times": apart.timed,
            "travel": [{k: None if v == np.inf else v for k, v in asdict(way).items()} for way in travel],
            "must_link": len(must),
            "cannot_link": len(cannot),
        },
        "learned_ways": learned,
        "counts": {
            "tracklets": len(gallery),
            "identities": int(identities.max()),
            "alone": int((np.bincount(identities) == 1).sum()),
            "cameras": len(set(gallery.camera_names.tolist())),
        },
        "scores": agreement(identities, gallery.persons) if gallery.about.get("labelled") else None,
        "notes": [*notes, *more],
    }
    confidence = confidences(compared.similarity, identities, 1 - limit)
    folder = write_people(output, gallery, identities, confidence, compared.neighbours, config.shown, record)
    if page is not None:
        browse.run(page, folder)
    return folder


def learned_ways(ways: tuple[Way, ...], gallery: Embeddings) -> list[dict]:
    """Ways between cameras learned from a gallery, as records: names of cameras, seconds, how sure (z)."""
    names = dict(zip(gallery.camera_numbers.tolist(), gallery.camera_names.tolist(), strict=True))
    return [
        {
            "cameras": [names[number] for number in way.cameras],
            "least": round(way.least, 1),
            "greatest": round(way.greatest, 1),
            "sure": round(way.sure, 1),
        }
        for way in ways
    ]


def repeated(gallery: Embeddings) -> list[tuple[int, int]]:
    """Pairs of rows that are one tracklet, embedded twice."""
    first: dict[int, int] = {}
    pairs = [(first.setdefault(place, row), row) for row, place in enumerate(gallery.places.tolist())]
    return [(a, b) for a, b in pairs if a != b]
