"""`keyreid link`: who was where."""

import json
from pathlib import Path

import click

from pipeline.options import PATH, output_option
from pipeline.progress import progress_bar
from pipeline.settings import config_options, settings
from stages.browse.config import BrowseConfig
from stages.browse.site import INDEX, SITE
from stages.reid.search.config import LinkConfig
from stages.terminal import say, show, show_notes, text_table


@click.command()
@click.argument("gallery", nargs=-1, required=True)
@output_option("Folder for identities.csv, link.json and the page.", required=True)
@click.option("--threshold", type=float, help="Mean distance of what is linked, 0 to 1. Default: calibrated.")
@click.option("--calibration", type=PATH, help="File of keyreid calibrate. Default: beside the checkpoint.")
@click.option("--travel", type=PATH, help="YAML file: least and greatest seconds between cameras.")
@click.option("--must-link", "must", type=PATH, help="List: tracklets of a line are one person.")
@click.option("--cannot-link", "cannot", type=PATH, help="List: tracklets of a line are different persons.")
@click.option("--no-page", is_flag=True, help="Write no page, see keyreid browse.")
@config_options(LinkConfig)
@settings(LinkConfig, "neighbours", "shared", "no_ways", "distance", "index", "index_folder", "shown")
def command(
    gallery: tuple[str, ...],
    output: Path,
    threshold: float | None,
    calibration: Path | None,
    travel: Path | None,
    must: Path | None,
    cannot: Path | None,
    no_page: bool,
    config: LinkConfig,
) -> None:
    """Link the tracklets of GALLERY (files, gallery folders) to identities: who was where and when.

    Tracklets that overlap in time in one camera are different people. How long people take from one
    camera to another is learned where it shows, or given with --travel. The threshold is that of keyreid
    calibrate. Where persons are labelled, scores are printed.
    """
    from stages.reid import link
    from stages.reid.search.people import IDENTITIES, RECORD

    with progress_bar("compare", "tracklets") as progress:
        folder = link.run(
            config,
            gallery,
            output,
            threshold,
            calibration,
            link.Corrections(travel, must, cannot),
            progress,
            None if no_page else BrowseConfig(),
        )
    record = json.loads((folder / RECORD).read_text())
    show_notes(record["notes"])
    counts, limit = record["counts"], record["threshold"]
    say(
        f"{folder / IDENTITIES}: {counts['identities']} identities ({counts['alone']} seen once) of "
        f"{counts['tracklets']} tracklets from {counts['cameras']} cameras; threshold {limit['value']:.4g} "
        f"({limit['from']})"
    )
    if not no_page:
        say(f"page: {folder / SITE / INDEX}")
    if scores := record["scores"]:
        table = text_table("", "precision", "recall", "F1", title="Against the labels, in percent")
        for name, title in (("pairwise", "pairs of tracklets"), ("bcubed", "B-cubed")):
            table.add_row(
                title,
                *(f"{100 * scores[f'{name}_{what}']:.1f}" for what in ("precision", "recall", "f1")),
            )
        table.add_row("IDF1 over cameras", "", "", f"{100 * scores['idf1']:.1f}")
        show(table)
        say(f"{scores['identities']} identities found, {scores['persons']} persons in truth")
