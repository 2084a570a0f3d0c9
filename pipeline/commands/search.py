"""`keyreid search`: who in the gallery is the person of a query?"""

import json
import math
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cache.errors import KeyReIDError
from cache.files import make_folder
from pipeline.options import PATH, output_option, renamed
from pipeline.settings import config_options, setting
from stages.reid.search.config import SearchConfig

DRAWN = 8  # queries in a picture


@click.command()
@click.option("--gallery", "galleries", type=PATH, multiple=True, required=True, help="Repeat for more.")
@click.option("--query", required=True, help="Tracklet, folder of pictures, or gallery file.")
@config_options(SearchConfig)
@setting(SearchConfig, "top", help="Answers per query.")
@setting(SearchConfig, "distance", help="Default: as in the run.")
@setting(SearchConfig, "rerank.enabled", "--rerank", help="k-reciprocal re-ranking.")
@setting(SearchConfig, "other_cameras", help="Leave out tracklets of the query's own camera.")
@click.option("--threshold", metavar="DISTANCE|fpr=RATE", help="Rejection threshold: farther is no match.")
@click.option("--calibration", type=PATH, help="File of keyreid calibrate. Default: beside the checkpoint.")
@setting(SearchConfig, "index", help="exact; FAISS: flat, ivf, hnsw, or a factory string.")
@setting(SearchConfig, "index_folder", help="Keep the FAISS index there for the next search.")
@output_option("Ranking picture (PNG). Default: beside the (first) gallery.")
@click.option("--no-picture", is_flag=True, help="Draw none.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--device", default="auto", show_default=True, help="For a query that has to be embedded.")
@renamed("--picture", "-o/--output")
def command(
    galleries: tuple[Path, ...],
    query: str,
    config: SearchConfig,
    threshold: str | None,
    calibration: Path | None,
    output: Path | None,
    no_picture: bool,
    as_json: bool,
    device: str,
) -> None:
    """Rank the tracklets of a gallery by their distance to a query.

    The query is a tracklet of the gallery (its name, or a part that only one has; FILE:NAME where
    several galleries have the name), a folder of pictures of one person, or a gallery file, each
    tracklet of which is a query.
    """
    from stages.reid.search.search import search

    picture = None if no_picture else output
    if picture and picture.is_dir():
        raise KeyReIDError(f"--output {picture}: a folder; expected the name of a PNG file")
    joined, query_rows, rows = _load(galleries, query, device)
    if picture:
        make_folder(picture.parent)
    limit = _threshold(threshold, calibration, joined, config, len(rows))
    found = search(joined, query_rows, rows, config)
    answers = _answers(joined, found, limit)
    if as_json:
        click.echo(json.dumps(answers, indent=1))
    else:
        _print(answers, limit, joined.about.get("labelled", False))
    if not no_picture:
        path = picture or galleries[0].with_name(f"{galleries[0].stem}-search.png")
        _draw(path, joined, found, limit)
        click.echo(f"picture: {path}", err=as_json)


def _load(galleries: tuple[Path, ...], query: str, device: str):
    """The rows of all files in one gallery, the rows that are queries, and those that may be found."""
    import numpy as np

    from stages.reid.search.gallery import Gallery, join
    from stages.reid.search.search import find_query

    loaded = [(str(path), Gallery.load(path)) for path in galleries]
    count = sum(len(gallery) for _, gallery in loaded)
    rows = np.arange(count)
    path = Path(query)
    try:
        is_file = path.is_file()
    except OSError:  # too long for a path
        is_file = False
    if is_file:
        loaded.append((query, Gallery.load(path)))
    elif path.is_dir():
        loaded.append((query, _embedded(path, loaded[0][1], device)))
    else:
        joined = join(loaded)
        files = np.repeat([name for name, _ in loaded], [len(gallery) for _, gallery in loaded])
        return joined, np.array([find_query(joined, query, rows, files)]), rows
    joined = join(loaded)
    _warn_of_poses(loaded)
    return joined, np.arange(count, len(joined)), rows


def _embedded(folder: Path, like, device: str):
    """A gallery of one tracklet: the pictures of a folder, embedded with the gallery's own network."""
    from stages.datasets.files import list_images, natural
    from stages.reid.embedder import Embedder

    names = sorted(list_images(folder), key=natural)
    if not names:
        raise KeyReIDError(
            f"--query {folder}: no picture in that folder; expected the frames of one tracklet"
        )
    checkpoint = Path(like.about["checkpoint"]["path"])
    if not checkpoint.is_file():
        raise KeyReIDError(
            f"{checkpoint}: the gallery's checkpoint is gone; embed the query with keyreid embed"
        )
    return Embedder(checkpoint, device=device).query([folder / name for name in names])


def _warn_of_poses(loaded: list) -> None:
    weights = {gallery.about["poses"]["weights_sha256"] for _, gallery in loaded}
    if len(weights) > 1:
        click.echo(
            "note: the files were made with different pose networks; distances suffer from it", err=True
        )


def _threshold(text: str | None, calibration: Path | None, gallery, config, size: int) -> float | None:
    from stages.reid.search.calibration import FILE, threshold

    if text is None:
        return None
    if config.rerank.enabled:
        raise KeyReIDError("--threshold with --rerank: their distances depend on the gallery; use one")
    name, _, value = text.rpartition("=")
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if name not in ("", "fpr") or not 0 <= number < math.inf:
        raise KeyReIDError(f"--threshold {text}: expected a distance, such as 0.8, or fpr=0.01")
    if not name:
        return number
    path = calibration or Path(gallery.about["checkpoint"]["path"]).parent / FILE
    limit, entry = threshold(
        path,
        number,
        distance=config.distance or gallery.about["distance"],
        camera=gallery.about["camera"],
        other_cameras=config.other_cameras,
        checkpoint_sha256=gallery.checkpoint,
    )
    if size > 2 * entry["gallery"]:
        click.echo(
            f"note: calibrated in a gallery of {entry['gallery']} tracklets, this one has {size}: "
            "expect more false positives than asked for",
            err=True,
        )
    return limit


def _answers(gallery, found, limit: float | None) -> list[dict]:
    """One record per query, as the JSON has it."""
    values = gallery.embeddings
    labelled = gallery.about.get("labelled", False)
    records = []
    for row, matches, distances in zip(found.query, found.matches, found.distances, strict=True):
        answers = [
            {
                "rank": rank,
                "tracklet": str(values.names[match]),
                "camera": str(gallery.camera_names[match]),
                "distance": float(distance),
                **({"right": bool(values.persons[match] == values.persons[row])} if labelled else {}),
                **({"match": bool(distance < limit)} if limit is not None else {}),
            }
            for rank, (match, distance) in enumerate(zip(matches, distances, strict=True), start=1)
            if match >= 0
        ]
        records.append(
            {
                "query": str(values.names[row]),
                "camera": str(gallery.camera_names[row]),
                **({"somebody": any(a["match"] for a in answers)} if limit is not None else {}),
                "answers": answers,
            }
        )
    return records


def _print(records: list[dict], limit: float | None, labelled: bool) -> None:
    console = Console()
    for record in records:
        table = Table(title=f"query {record['query']}, camera {record['camera']}")
        heads = ["rank", "tracklet", "camera", "distance"]
        for head in heads + ["match"] * (limit is not None) + ["right"] * labelled:
            table.add_column(head, overflow="fold")
        for answer in record["answers"]:
            cells = [str(answer["rank"]), answer["tracklet"], answer["camera"], f"{answer['distance']:.4g}"]
            if limit is not None:
                cells.append("yes" if answer["match"] else "no")
            if labelled:
                cells.append("✓" if answer["right"] else "✗")
            table.add_row(*cells)
        console.print(table)
        if limit is not None and not record["somebody"]:
            console.print(f"Nobody here: no tracklet is nearer than {limit:.4g}.")


def _draw(path: Path, gallery, found, limit: float | None) -> None:
    from stages.reid.scoring.pictures import Match, ranking_picture

    values = gallery.embeddings
    labelled = gallery.about.get("labelled", False)

    def match(row: int, distance: float, right: bool | None) -> Match:
        frames = gallery.frames[row]
        label = f"camera {gallery.camera_names[row]}"
        return Match(gallery.root / frames[len(frames) // 2], label, distance, right)

    lists = []
    for row, matches, distances in list(zip(found.query, found.matches, found.distances, strict=True))[
        :DRAWN
    ]:
        answers = [
            match(m, d, bool(values.persons[m] == values.persons[row]) if labelled else None)
            for m, d in zip(matches.tolist(), distances.tolist(), strict=True)
            if m >= 0
        ]
        lists.append((match(int(row), 0.0, None), answers))
    title = "" if len(found.query) <= DRAWN else f"first {DRAWN} of {len(found.query)} queries; "
    title += "query and nearest tracklets, with their distance"
    if limit is not None:
        title += f"; threshold {limit:.4g}"
    ranking_picture(path, lists, title)
