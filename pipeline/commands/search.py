"""`keyreid search`: rank a gallery by distance to a query."""

import json
from pathlib import Path

import click

from pipeline.options import PATH, device_option, output_option, renamed
from pipeline.settings import config_options, setting, settings
from stages.reid.search.config import SearchConfig
from stages.terminal import say, show, show_notes, text_table


@click.command()
@click.argument("picture", metavar="[QUERY]", required=False)
@click.option("--gallery", "galleries", type=PATH, multiple=True, required=True,
              help="File, folder of parts, or a pattern such as 'day*.h5'. Repeat for more.")  # fmt: skip
@click.option("--query", help="The same as QUERY.")
@config_options(SearchConfig)
@settings(SearchConfig, "top", "distance")
@setting(SearchConfig, "rerank.enabled", "--rerank", help="k-reciprocal re-ranking.")
@settings(SearchConfig, "other_cameras")
@setting(SearchConfig, "since", "--from", metavar="TIME", help="Only tracklets seen then or later.")
@setting(SearchConfig, "until", "--to", metavar="TIME", help="Only tracklets seen then or before.")
@setting(SearchConfig, "cameras", "--camera", multiple=True, metavar="NAME",
         help="Name of the camera of answers. Repeat for more.")  # fmt: skip
@click.option("--threshold", metavar="DISTANCE|fpr=RATE", help="Rejection threshold: beyond it, no match.")
@click.option("--calibration", type=PATH, help="File of keyreid calibrate. Default: beside the checkpoint.")
@settings(SearchConfig, "index", "index_folder", "precision")
@output_option("Ranking picture (PNG). Default: a new one beside the (first) gallery.")
@settings(SearchConfig, "rows")
@click.option("--html", "page", type=PATH, help="Folder for a page of the answers, to open in a browser.")
@click.option("--no-picture", is_flag=True, help="Draw none.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@device_option("For a query that has to be embedded: cpu, cuda, cuda:1, ... or auto.")
@renamed("--picture", "-o/--output")
def command(
    picture: str | None,
    galleries: tuple[Path, ...],
    query: str | None,
    config: SearchConfig,
    threshold: str | None,
    calibration: Path | None,
    output: Path | None,
    page: Path | None,
    no_picture: bool,
    as_json: bool,
    device: str,
) -> None:
    """Rank the tracklets of a gallery by their distance to a query.

    The query is a tracklet of the gallery (its name, or a piece that only one has; PART:NAME where
    several parts have the name), a picture, a folder of pictures of one person, or a gallery, each
    tracklet of which is a query.

    TIME is a clock time with its offset from UTC, such as 2026-11-26T08:00:00+01:00, or seconds of the video
    where the tracklets have no clock times.
    """
    from stages.reid import answer
    from stages.reid.search.answers import free_name

    if bool(picture) == bool(query):
        raise click.UsageError("give one QUERY: a tracklet, a picture, a folder of pictures, or a gallery")
    default = galleries[0].with_name(f"{galleries[0].stem}-search.png".replace("*", ""))
    drawn = None if no_picture else output or free_name(default)
    answers = answer.run(config, galleries, query or picture, drawn, threshold, calibration, device, page)
    show_notes(answers.notes)
    if as_json:
        say(json.dumps(answers.records, indent=1))
    else:
        _print(answers)
    for what, path in (("picture", answers.picture), ("page", answers.page)):
        if path is not None:
            say(f"{what}: {path}", error=as_json)


def _print(answers) -> None:
    limit = answers.limit
    rows = [row for record in answers.records for row in record["answers"]]
    columns = ["filmed"] * any(row["filmed"] for row in rows)
    columns += ["part"] * (len({row["part"] for row in rows}) > 1)
    for record in answers.records:
        heads = ["rank", "tracklet", "camera", *columns, "distance"]
        heads += ["match"] * (limit is not None) + ["right"] * answers.labelled
        about = [record["query"], f"camera {record['camera']}", record["filmed"]]
        table = text_table(*heads, title="query " + ", ".join(text for text in about if text))
        for row in record["answers"]:
            cells = [str(row["rank"]), row["tracklet"], row["camera"], *(row[name] for name in columns)]
            cells.append(f"{row['distance']:.4g}")
            if limit is not None:
                cells.append("yes" if row["match"] else "no")
            if answers.labelled:
                cells.append("✓" if row["right"] else "✗")
            table.add_row(*cells)
        show(table)
        if limit is not None and not record["somebody"]:
            say(f"No match: no tracklet is nearer than {limit:.4g}.")
