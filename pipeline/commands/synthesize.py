"""`keyreid synthesize`: make the walkers data set."""

import json
from pathlib import Path

import click

from pipeline.options import PROCESSES, output_option, renamed
from pipeline.progress import progress_bar
from pipeline.settings import config_options, settings
from stages.datasets.walkers.config import WalkersConfig
from stages.terminal import say


@click.command()
@output_option("Data root to make.", default=Path("data/walkers"), show_default=True)
@config_options(WalkersConfig)
@settings(WalkersConfig, *WalkersConfig.model_fields, cameras="--num-cameras")
@click.option(
    "--workers", type=PROCESSES, default=2, show_default=True, help="Processes; the bytes stay the same."
)
@click.option("--force", is_flag=True, help="Replace a walkers data set made with other settings.")
@renamed("ROOT", "-o/--output ROOT")
@renamed("--cameras", "--num-cameras")
def command(output: Path, config: WalkersConfig, workers: int, force: bool) -> None:
    """Make the walkers data set in the folder OUTPUT.

    Animated pedestrians before several cameras, in MARS layout, with exact keypoints
    (keypoints.npz), what stood before them (occluders.csv), what every frame hides of each
    part, the config and the pairs of persons dressed alike (walkers.json), when each was
    filmed (times.tsv, travel.yaml) and a contact sheet (contact-sheet.png). With --look clean
    no one crosses and the boxes are right. A second call with the same values does nothing.
    """
    from stages.datasets.walkers import make

    made = make.is_made(config, output)
    with progress_bar("synthesize", "frames") as report:
        make.run(config, output, workers, force, report)
    if made:
        say(f"{output}: already made with these values")
        return
    counts = json.loads((output / make.RECORD).read_text())["counts"]
    say(
        f"{output}: {counts['train_persons']} persons, {counts['train_frames']} frames for training; "
        f"{counts['test_persons']} persons, {counts['test_frames']} frames, {counts['queries']} queries "
        f"for the test, {100 * counts['test_occlusion']:.0f} % of the walkers' frames occluded"
    )
    say(f"contact sheet: {output / 'contact-sheet.png'}")
