"""`keyreid demo`: from nothing to a ranked answer, or from videos to who was where, on data of its own."""

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import click

from cache.files import make_folder
from pipeline.options import PATH, Given, device_option, renamed, resolve
from pipeline.recipe_file import parse_override
from stages.extras import TRACKING
from stages.terminal import say

FOLDER = Path("cameras-demo")
STREET = ("--persons", "8")
QUICK = ("--identities", "40", "--distractors", "4", "--junk", "4")
HIDE = ("--set", "train.augment.hide_camera=0.3")  # the videos' cameras are none of those of the training


@click.command("demo")
@click.option("--data-root", type=PATH, default=Path("data/walkers"), show_default=True)
@click.option("--cache", type=PATH, default=Path("poses/walkers"), show_default=True)
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True)
@device_option()
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one config value.")
@renamed("--cameras", "--videos", is_flag=True)
@click.option("--videos", is_flag=True, help=f"From two videos to who was where, in {FOLDER}/.")
def command(
    data_root: Path, cache: Path, runs: Path, device: str, overrides: tuple[str, ...], videos: bool
) -> None:
    """Synthesize walkers, extract their poses, train a small network, evaluate it beside two baselines.

    With --videos: videos of two cameras, tracked, embedded and linked to people, as a page to browse; with
    the newest network of an earlier demo, or one that is trained quickly. What an earlier call made and is
    still valid (data set, poses, tracks) is reused.
    """
    from pipeline.cli import keyreid
    from stages.device import find_device

    resolve(Given("walkers", overrides=tuple(map(parse_override, overrides))))  # refuses, before any work
    find_device(device)
    sets = [word for override in overrides for word in ("--set", override)]

    on = ["--device", device]
    if videos:
        TRACKING.check()
        steps = _from_videos(data_root, cache, runs, on, sets)
    else:
        for folder in (data_root.parent, cache, runs):  # the last is written to after minutes
            make_folder(folder)
        paths = ["--dataset", "walkers", "--data-root", str(data_root), "--cache", str(cache)]
        steps = [
            ["make the data set", "synthesize", "-o", str(data_root)],
            ["stage one, poses", "extract-poses", *paths, *on, *sets],
            ["stage two, training", "train", *paths, "--runs", str(runs), *on, *sets],
            ["stage two, evaluation", "eval", *paths, "--runs", str(runs), *on, "--baselines"],
        ]
    start = time.monotonic()
    for number, (title, *words) in enumerate(steps, start=1):
        mark = time.monotonic()
        say(f"\n{number}. {title}", style="bold")
        say(f"$ keyreid {shlex.join(words)}")
        keyreid.main(words, prog_name="keyreid", standalone_mode=False)
        say(f"({time.monotonic() - mark:.0f} s)")
    say(f"\nThe whole demo took {(time.monotonic() - start) / 60:.1f} minutes.")


def _from_videos(
    data_root: Path, cache: Path, runs: Path, on: list[str], sets: list[str]
) -> Iterator[list[str]]:
    """Steps from videos to the page. A finished run of the ordinary demo serves, while its data is there."""
    from stages.datasets.walkers.timetable import TRAVEL

    street = FOLDER / "street"
    if not (street / "cameras.yaml").is_file():
        yield ["two cameras film the same people", "synthesize-videos", "-o", str(street), *STREET]
    tracked = FOLDER / "tracked"
    listed = str(street / "cameras.yaml")
    yield ["detect and track", "track", "--cameras", listed, "-o", str(tracked), "--tracker", "botsort"]
    weights = sorted(runs.glob("walkers/*/model.safetensors"))
    if not weights or not (data_root / TRAVEL).is_file():
        data_root, cache, runs = (FOLDER / name for name in ("walkers", "poses", "runs"))
        weights = sorted(runs.glob("walkers/*/model.safetensors"))
    paths = ["--dataset", "walkers", "--data-root", str(data_root), "--cache", str(cache)]
    if not weights:
        yield ["a small data set to train on", "synthesize", "-o", str(data_root), *QUICK]
        yield ["its poses", "extract-poses", *paths, *on, *sets]
        yield ["a quick training", "train", *paths, "--runs", str(runs), *on, "--epochs", "30", *HIDE, *sets]
        weights = sorted(runs.glob("walkers/*/model.safetensors"))
    run = ["--run", str(weights[-1].parent)]
    labelled, gallery, people = (str(FOLDER / name) for name in ("labelled.h5", "gallery", "people"))
    unknown = ["--camera-mode", "unknown"]  # as the cameras of the videos are
    yield ["labelled tracklets", "embed", *paths, *run, *on, *unknown, "-o", labelled]
    yield ["thresholds from them", "calibrate", labelled, "--travel", str(data_root / TRAVEL)]
    own = ["--cache", str(FOLDER / "street-poses")]
    yield ["embed the videos' tracklets", "embed", str(tracked), *run, *on, *own, "--append", gallery]
    ways = ["--travel", str(street / TRAVEL)] if (street / TRAVEL).is_file() else []
    if not ways:
        say(
            f"note: {street} is of an earlier version and has no {TRAVEL}: people are linked without travel "
            "times; remove that folder, and the next demo makes it again",
            error=True,
        )
    yield ["link them to people", "link", gallery, *ways, "-o", people, "--no-page"]
    yield ["the page", "browse", people]
