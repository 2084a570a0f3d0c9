"""`keyreid cache`: print, check and draw a pose cache."""

from pathlib import Path

import click

from cache.errors import KeyReIDError
from pipeline.options import PATH, PROCESSES, output_option
from stages import terminal

FOLDER = click.argument("folder", type=PATH)


@click.group("cache")
def command() -> None:
    """Inspect a pose cache, check every byte of it, or merge its parts."""


@command.command("info")
@FOLDER
def info(folder: Path) -> None:
    """Print what the cache in FOLDER holds and what made it."""
    from cache import PoseCache

    about = PoseCache.open(folder).info
    table = terminal.text_table("what", "value", title=str(folder), show_header=False)
    rows = {
        "frames": f"{about.frames:,}",
        "size": f"{about.bytes / 1e6:,.1f} MB in {len(about.shards)} shards, "
        f"{about.bytes / max(about.frames, 1):,.0f} bytes a frame",
        "estimator": about.estimator,
        "weights": f"SHA-256 {about.weights_sha256}" if about.weights_sha256 else "none",
        "input": "x".join(map(str, about.input_size)) if about.input_size else "none",
        "made": about.created,
        "unreadable frames": f"{len(about.zeroed)}, given zero heat" if about.zeroed else "none",
        "fingerprint": about.fingerprint,
    }
    settings = about.parts.get("settings") or {}
    rows |= {f"settings.{key}": str(value) for key, value in sorted(settings.items())}
    rows |= {f"version of {key}": value for key, value in sorted(about.packages.items())}
    for key, value in rows.items():
        table.add_row(key, value)
    terminal.show(table)


@command.command("merge")
@FOLDER
@click.option("--force", is_flag=True, help="Replace a cache of other parts.")
def merge(folder: Path, force: bool) -> None:
    """Put the parts of extract-poses --part beside FOLDER together into the cache FOLDER.

    Checks that all parts are there, whole and of one data set. The parts may be removed then.
    """
    from stages.pose.parts import merge as put_together

    put_together(folder, force)


@command.command("verify")
@FOLDER
@click.option("--workers", type=PROCESSES, help="Threads. Default: one per core.")
@click.option("--data-root", type=PATH, help="Also compare the frames there by their content.")
def verify(folder: Path, workers: int | None, data_root: Path | None) -> None:
    """Read every byte of the cache in FOLDER and compare SHA-256 and checksums.

    Prints one line per problem; the exit code is 2 where there is any.
    """
    from cache import PoseCache
    from cache.manifest import MANIFEST, load_manifest
    from cache.verify import settle
    from cache.verify import verify as find_problems
    from stages.pose.sources import refuse_changed
    from stages.workers import cores

    problems = find_problems(folder, workers or cores())
    for problem in problems:
        terminal.say(problem)
    if problems:
        about = settle(folder)[0]
        raise KeyReIDError(
            f"{folder}: {len(problems)} problem{'s' * (len(problems) > 1)}; "
            f"run the {about.command if about else 'extract-poses'} command again to repair it"
        )
    about = load_manifest(folder / MANIFEST)
    if data_root is not None:
        poses = PoseCache.open(folder)
        refuse_changed(poses, data_root, poses.frames(), thorough=True)
    terminal.say(f"{folder}: sound, {about.frames:,} frames in {len(about.shards)} shards")


@command.command("show")
@click.argument("frame")
@FOLDER
@click.option("--data-root", type=PATH, help="Data root. Default: data/NAME for poses/NAME.")
@click.option("--parts", type=click.Choice(["3", "4", "6"]), default="6", show_default=True)
@output_option("PNG file. Default: FRAME.poses.png here.")
def show(frame: str, folder: Path, data_root: Path | None, parts: str, output: Path | None) -> None:
    """Draw FRAME (its path under the data root) from the cache in FOLDER with joints and part maps."""
    from cache import PoseCache
    from stages.pose.picture import draw

    root = data_root or Path("data") / folder.name
    name = frame.replace("/", "_")
    output = output or Path(f"{name.removesuffix(Path(name).suffix)}.poses.png")
    draw(PoseCache.open(folder), root, frame, int(parts), output)
    terminal.say(output)
