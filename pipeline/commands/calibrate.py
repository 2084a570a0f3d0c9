"""`keyreid calibrate`: rejection thresholds."""

from pathlib import Path

import click

from pipeline.options import PATH, output_option
from pipeline.settings import config_options, setting
from stages.reid.search.config import CalibrationConfig
from stages.terminal import say, show, text_table


@click.command()
@click.argument("gallery", type=PATH, nargs=-1, required=True)
@config_options(CalibrationConfig)
@setting(
    CalibrationConfig,
    "rates",
    "--fpr",
    multiple=True,
    metavar="FLOAT",
    help="False-positive rate. Repeat for more. Default: those of 0.01, 0.05, 0.1 that can be measured.",
)
@setting(CalibrationConfig, "distance", help="Default: as in the run.")
@setting(CalibrationConfig, "other_cameras", help="For searches with --other-cameras.")
@setting(CalibrationConfig, "neighbours", help="For keyreid link --neighbours.")
@setting(CalibrationConfig, "shared", help="For keyreid link --shared.")
@click.option("--travel", type=PATH, help="YAML file of travel times, for keyreid link --travel.")
@output_option("Calibration file. Default: beside the checkpoint.")
def command(
    gallery: tuple[Path, ...], config: CalibrationConfig, travel: Path | None, output: Path | None
) -> None:
    """Measure thresholds on GALLERY, files or folders of a labelled data set, and save them with the run.

    Every tracklet is searched with its person in the gallery and with its person taken out of it.
    """
    from stages.reid import calibrate

    path, entry = calibrate.run(config, gallery, output, travel)
    title = (
        f"{', '.join(entry['footage']['datasets'])}, {entry['distance']}, camera {entry['camera']}: "
        f"{entry['queries']} searches for {entry['persons']} persons in {entry['gallery']} tracklets; "
        "95 % intervals by persons"
    )
    table = text_table(
        "target false positives", "measured", "threshold", "true positives", "identified", title=title
    )
    for row in entry["rates"]:
        table.add_row(
            f"{row['false_positive_rate']:.2%}",
            f"{row['measured_false_positive_rate']:.2%} {_between(row['false_positive_interval'])}",
            f"{row['threshold']:.6g}",
            f"{row['true_positive_rate']:.2%} {_between(row['true_positive_interval'])}",
            f"{row['identified']:.2%}",
        )
    show(table)
    for linked in entry["link"]:
        how = (
            ", with travel times" if linked["travel"] else ", with learned ways" if linked["learned"] else ""
        )
        say(
            f"linking{how}: threshold {linked['threshold']:.4g} gives "
            f"{linked['identities']} identities of {linked['persons']} persons, pairwise F1 "
            f"{linked['pairwise_f1']:.1%} (precision {linked['pairwise_precision']:.1%}, recall "
            f"{linked['pairwise_recall']:.1%})"
        )
    rate = entry["rates"][0]["false_positive_rate"]
    say(f"saved in {path}; use it with keyreid search --threshold fpr={rate:g}, and keyreid link")


def _between(interval: list[float]) -> str:
    low, high = interval
    return f"({low:.2%} to {high:.2%})" if low == low else ""
