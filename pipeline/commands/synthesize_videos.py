"""`keyreid synthesize-videos`: videos to try `keyreid track` on."""

from datetime import datetime
from pathlib import Path

import click

from cache.border import reading
from cache.errors import KeyReIDError
from pipeline.options import output_option
from pipeline.settings import config_options, settings
from stages.datasets.walkers.street import StreetConfig
from stages.terminal import say


@click.command("synthesize-videos")
@output_option("New folder for videos, true boxes, cameras.yaml and travel.yaml.", required=True)
@click.option(
    "--start",
    default="2026-11-26T08:00:00+01:00",
    show_default=True,
    metavar="TIME",
    help="Clock time at which the first video begins, with its offset from UTC.",
)
@config_options(StreetConfig)
@settings(StreetConfig, "seed", "cameras", "persons", "rate", "pause", "travel")
def command(output: Path, start: str, config: StreetConfig) -> None:
    """Make a short video per camera in which walkers cross, with the exact boxes of everybody.

    Every camera films the same persons. Then: keyreid track --cameras OUTPUT/cameras.yaml -o tracked.
    travel.yaml says how long the ways between the cameras take, for keyreid link --travel.
    """
    from stages.datasets.walkers.street import make_videos

    with reading(f"--start {start}", remedy="expected a time as 2026-11-26T08:00:00+01:00"):
        moment = datetime.fromisoformat(start)
    if moment.tzinfo is None:
        raise KeyReIDError(f"--start {start}: has no offset from UTC; expected one as +01:00 at its end")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise KeyReIDError(f"{output}: is not empty; name a new folder")
    listed = make_videos(config, output, moment)
    say(f"{listed}: {config.cameras} cameras, {config.persons} persons; track them with --cameras")
