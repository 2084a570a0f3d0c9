"""`keyreid synthesize-videos`: videos to try `keyreid track` on."""

from pathlib import Path

import click

from pipeline.options import output_option, renamed
from pipeline.settings import config_options, setting, settings
from stages.datasets.walkers.street import StreetConfig
from stages.terminal import say


@click.command("synthesize-videos")
@output_option("New folder for videos, true boxes, cameras.yaml and travel.yaml.", required=True)
@config_options(StreetConfig)
@settings(StreetConfig, "seed", "cameras", "persons", "rate", "pause", "travel", cameras="--num-cameras")
@setting(StreetConfig, "start", metavar="TIME")
@renamed("--cameras", "--num-cameras")
def command(output: Path, config: StreetConfig) -> None:
    """Make a short video per camera in which walkers cross, with the exact boxes of everybody.

    Every camera films the same persons. Then: keyreid track --cameras OUTPUT/cameras.yaml -o tracked.
    travel.yaml says how long the ways between the cameras take, for keyreid link --travel.
    """
    from stages.datasets.walkers.street import make_videos

    listed = make_videos(config, output)
    say(f"{listed}: {config.cameras} cameras, {config.persons} persons; track them with --cameras")
