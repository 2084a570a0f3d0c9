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
    help="False-positive rate. Repeat for more.",
)
@setting(CalibrationConfig, "distance", help="Default: as in the run.")
@setting(CalibrationConfig, "other_cameras", help="For searches with --other-cameras.")
@output_option("Calibration file. Default: beside the checkpoint.")
def command(gallery: tuple[Path, ...], config: CalibrationConfig, output: Path | None) -> None:
    """Measure thresholds on GALLERY, files or folders of a labelled data set, and save them with the run.

    Every tracklet is searched with its person in the gallery and with its person taken out of it.
    """
    from stages.reid.search.calibration import FILE, calibrate, save
    from stages.reid.search.gallery import read_gallery

    loaded = read_gallery(gallery)
    entry = calibrate(loaded, config)
    path = output or Path(loaded.about["checkpoint"]["path"]).parent / FILE
    save(path, entry)
    title = (
        f"{entry['dataset']}, {entry['distance']}, camera {entry['camera']}: {entry['queries']} searches in "
        f"{entry['gallery']} tracklets"
    )
    table = text_table(
        "target false positives", "measured", "threshold", "true positives", "identified", title=title
    )
    for row in entry["rates"]:
        table.add_row(
            f"{row['false_positive_rate']:.2%}",
            f"{row['measured_false_positive_rate']:.2%}",
            f"{row['threshold']:.6g}",
            f"{row['true_positive_rate']:.2%}",
            f"{row['identified']:.2%}",
        )
    show(table)
    rate = entry["rates"][0]["false_positive_rate"]
    say(f"saved in {path}; use it with keyreid search --threshold fpr={rate:g}")
