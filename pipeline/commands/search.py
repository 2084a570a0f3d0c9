"""`keyreid search`: rank a gallery by distance to a query."""

import json
from pathlib import Path

import click

from pipeline.options import PATH, output_option, renamed
from pipeline.settings import config_options, setting
from stages.reid.search.config import SearchConfig
from stages.terminal import say, show, show_notes, text_table


@click.command()
@click.option("--gallery", "galleries", type=PATH, multiple=True, required=True, help="Repeat for more.")
@click.option("--query", required=True, help="Tracklet, folder of pictures, or gallery file.")
@config_options(SearchConfig)
@setting(SearchConfig, "top", help="Answers per query.")
@setting(SearchConfig, "distance", help="Default: as in the run.")
@setting(SearchConfig, "rerank.enabled", "--rerank", help="k-reciprocal re-ranking.")
@setting(SearchConfig, "other_cameras", help="Leave out tracklets of the query's own camera.")
@click.option("--threshold", metavar="DISTANCE|fpr=RATE", help="Rejection threshold: beyond it, no match.")
@click.option("--calibration", type=PATH, help="File of keyreid calibrate. Default: beside the checkpoint.")
@setting(SearchConfig, "index", help="exact; FAISS: flat, ivf, hnsw, or a factory string.")
@setting(SearchConfig, "index_folder", help="Keep the FAISS index there for the next search.")
@setting(SearchConfig, "precision", help="For a query of pictures. Default: the gallery's.")
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
    from stages.reid import answer

    default = galleries[0].with_name(f"{galleries[0].stem}-search.png")
    picture = None if no_picture else output or default
    found = answer.run(config, galleries, query, picture, threshold, calibration, device)
    show_notes(found.notes)
    if as_json:
        say(json.dumps(found.records, indent=1))
    else:
        _print(found)
    if found.picture is not None:
        say(f"picture: {found.picture}", error=as_json)


def _print(found) -> None:
    limit = found.limit
    for record in found.records:
        heads = ["rank", "tracklet", "camera", "distance"]
        heads += ["match"] * (limit is not None) + ["right"] * found.labelled
        table = text_table(*heads, title=f"query {record['query']}, camera {record['camera']}")
        for row in record["answers"]:
            cells = [str(row["rank"]), row["tracklet"], row["camera"], f"{row['distance']:.4g}"]
            if limit is not None:
                cells.append("yes" if row["match"] else "no")
            if found.labelled:
                cells.append("✓" if row["right"] else "✗")
            table.add_row(*cells)
        show(table)
        if limit is not None and not record["somebody"]:
            say(f"No match: no tracklet is nearer than {limit:.4g}.")
