"""`keyreid calibrate`: the distance from which on nobody in the gallery is the person."""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("gallery", type=PATH)
@click.option("--fpr", "rates", type=float, multiple=True, help="False-positive rate. Repeat for more.")
@click.option("--distance", help="euclidean, cosine or visible. Default: as in the run.")
@click.option("--other-cameras", is_flag=True, help="For searches with --other-cameras.")
@click.option("-o", "--output", type=PATH, help="Calibration file. Default: beside the checkpoint.")
def command(
    gallery: Path, rates: tuple[float, ...], distance: str | None, other_cameras: bool, output: Path | None
) -> None:
    """Measure thresholds on GALLERY, a gallery file of a labelled data set, and save them with the run.

    Every tracklet is searched with its person in the gallery and with its person taken out of it.
    """
    from stages.reid.search.calibration import FILE, RATES, calibrate, save
    from stages.reid.search.gallery import Gallery

    loaded = Gallery.load(gallery)
    entry = calibrate(loaded, distance or loaded.about["distance"], rates or RATES, other_cameras)
    path = output or Path(loaded.about["checkpoint"]["path"]).parent / FILE
    save(path, entry)
    title = (
        f"{entry['dataset']}, {entry['distance']}, camera {entry['camera']}: {entry['queries']} searches in "
        f"{entry['gallery']} tracklets"
    )
    table = Table(
        "false positives asked", "measured", "threshold", "true positives", "identified", title=title
    )
    for row in entry["rates"]:
        table.add_row(
            f"{row['false_positive_rate']:.2%}",
            f"{row['measured_false_positive_rate']:.2%}",
            f"{row['threshold']:.6g}",
            f"{row['true_positive_rate']:.2%}",
            f"{row['identified']:.2%}",
        )
    Console().print(table)
    rate = entry["rates"][0]["false_positive_rate"]
    click.echo(f"saved in {path}; use it with keyreid search --threshold fpr={rate:g}")
