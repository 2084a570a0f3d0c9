"""`keyreid browse`: a page of who was where."""

from pathlib import Path

import click

from pipeline.options import PATH, output_option
from pipeline.progress import progress_bar
from pipeline.settings import config_options, settings
from stages.browse.config import BrowseConfig
from stages.terminal import say


@click.command()
@click.argument("people", type=PATH)
@click.option("--gallery", "galleries", multiple=True, help="Where the tracklets are now, if moved. Repeat.")
@config_options(BrowseConfig)
@settings(BrowseConfig, "frames", "height", "quality", "parts")
@output_option("Folder of the page. Default: PEOPLE/site.")
def command(people: Path, galleries: tuple[str, ...], config: BrowseConfig, output: Path | None) -> None:
    """Write a page about PEOPLE, a folder of keyreid link: who was where and when.

    People are rows with a timeline over cameras; a click plays a tracklet. The folder holds everything: open
    its index.html in a browser, no server and no network are needed.
    """
    from stages.browse import build

    with progress_bar("pictures", "tracklets") as progress:
        page = build.run(config, people, output, galleries, progress)
    size = sum(path.stat().st_size for path in page.parent.rglob("*"))
    say(f"page: {page} ({size / 1e6:.1f} MB with its pictures)")
