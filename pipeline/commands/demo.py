"""`keyreid demo`: from nothing to a ranked answer, on the data set that the program makes itself."""

import time
from pathlib import Path

import click

from stages.terminal import say


@click.command("demo")
@click.option("--data-root", type=click.Path(path_type=Path), default=Path("data/walkers"), show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), default=Path("poses/walkers"), show_default=True)
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True)
@click.option("--device", default="auto", show_default=True, type=click.Choice(("auto", "cpu", "cuda")))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one config value.")
def command(data_root: Path, cache: Path, runs: Path, device: str, overrides: tuple[str, ...]) -> None:
    """Synthesize walkers, extract their poses, train a small network, evaluate it beside two baselines.

    What an earlier call made and is still valid (data set, poses) is reused.
    """
    from pipeline.cli import keyreid

    paths = ["--data-root", str(data_root), "--cache", str(cache)]
    sets = [word for override in overrides for word in ("--set", override)]
    on = ["--device", device]
    steps = (
        ("1 of 4: make the data set", ["synthesize", str(data_root)]),
        ("2 of 4: stage one, poses", ["extract-poses", "--dataset", "walkers", *paths, *on, *sets]),
        (
            "3 of 4: stage two, training",
            ["train", "--dataset", "walkers", *paths, "--runs", str(runs), *on, *sets],
        ),
        (
            "4 of 4: stage two, evaluation",
            ["eval", "--dataset", "walkers", *paths, "--runs", str(runs), *on, "--baselines"],
        ),
    )
    start = time.monotonic()
    for title, words in steps:
        mark = time.monotonic()
        say(f"\n{title}", style="bold")
        say(f"$ keyreid {' '.join(words)}")
        keyreid.main(words, prog_name="keyreid", standalone_mode=False)
        say(f"({time.monotonic() - mark:.0f} s)")
    say(f"\nThe whole demo took {(time.monotonic() - start) / 60:.1f} minutes.")
