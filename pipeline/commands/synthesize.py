"""`keyreid synthesize`: make the walkers data set."""

import json
from pathlib import Path

import click

from stages.datasets.walkers.config import WalkersConfig

DEFAULTS = {name: field.default for name, field in WalkersConfig.model_fields.items()}
HELP = {name: field.description for name, field in WalkersConfig.model_fields.items()}


def _option(name: str, kind: click.ParamType | type):
    flag = "--" + name.replace("_", "-")
    return click.option(flag, name, type=kind, default=DEFAULTS[name], show_default=True, help=HELP[name])


@click.command()
@click.argument("root", type=click.Path(path_type=Path), default=Path("data/walkers"))
@_option("seed", click.IntRange(0))
@_option("identities", click.IntRange(4, 4000))
@_option("cameras", click.IntRange(2, 6))
@_option("tracklets", click.IntRange(1, 50))
@_option("min_frames", click.IntRange(1, 999))
@_option("max_frames", click.IntRange(1, 999))
@_option("distractors", click.IntRange(0, 4000))
@_option("junk", click.IntRange(0, 4000))
@_option("lookalikes", click.FloatRange(0, 1))
@_option("test_occlusion", click.FloatRange(0, 1))
@_option("train_occlusion", click.FloatRange(0, 1))
@_option("camera_effect", click.FloatRange(0, 4))
@_option("jpeg_quality", click.IntRange(10, 100))
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Processes; the bytes stay the same.",
)
@click.option("--force", is_flag=True, help="Replace a walkers data set made with other values.")
def command(root: Path, workers: int, force: bool, **values) -> None:
    """Make the walkers data set in ROOT (default: data/walkers).

    Animated pedestrians before several cameras, in MARS layout, with exact keypoints
    (keypoints.npz), what stood before them (occluders.csv), the config and the pairs of
    persons dressed alike (walkers.json) and a contact sheet (contact-sheet.png).
    A second call with the same values does nothing.
    """
    from pydantic import ValidationError
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from cache.errors import KeyReIDError
    from stages.datasets.walkers import make

    try:
        config = WalkersConfig(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise KeyReIDError(f"synthesize: {first['msg'].removeprefix('Value error, ')}") from None
    if make.is_made(config, root):
        click.echo(f"{root}: already made with these values")
        return
    counted = (MofNCompleteColumn(), TextColumn("frames"), TimeRemainingColumn())
    with Progress(TextColumn("synthesize"), BarColumn(), *counted) as bar:
        task = bar.add_task("frames", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        make.run(config, root, workers, force, show)
    counts = json.loads((root / make.RECORD).read_text())["counts"]
    click.echo(
        f"{root}: {counts['train_persons']} persons, {counts['train_frames']} frames for training; "
        f"{counts['test_persons']} persons, {counts['test_frames']} frames, {counts['queries']} queries "
        f"for the test, {100 * counts['test_occlusion']:.0f} % of the walkers' frames occluded"
    )
    click.echo(f"contact sheet: {root / 'contact-sheet.png'}")
