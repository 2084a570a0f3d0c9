"""`keyreid gallery`: list, check, merge and thin out galleries that grow."""

import json
from pathlib import Path

import click

from cache.errors import KeyReIDError
from pipeline.options import PATH
from pipeline.progress import progress_bar
from stages.terminal import say, show, text_table

FOLDER = click.argument("folder", type=PATH)


@click.group("gallery")
def command() -> None:
    """List, check, merge and thin out gallery folders, as keyreid embed --append makes them."""


@command.command("list")
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_parts(folder: Path, as_json: bool) -> None:
    """Print the parts of the gallery in FOLDER; with --json also their data roots, pose caches and more."""
    from stages.reid.search.gallery_index import read_index

    index = read_index(folder)
    if as_json:
        parts = [{"part": part.name, **part.model_dump(mode="json")} for part in index.parts]
        say(json.dumps(parts, indent=1))
        return
    title = f"{folder}: {index.tracklets} tracklets, checkpoint {index.checkpoint[:12]}"
    table = text_table("part", "tracklets", "cameras", "filmed", "MB", title=title)
    for part in index.parts:
        size = f"{part.bytes / 1e6:.1f}"
        table.add_row(part.name, str(part.tracklets), ", ".join(part.cameras), _filmed(part.times), size)
    show(table)


def _filmed(times) -> str:
    if times is None:
        return ""
    first, last = times
    day = "" if first.date() == last.date() else "%Y-%m-%d "
    return f"{first:%Y-%m-%d %H:%M}-{last:{day}%H:%M}"


@command.command("verify")
@FOLDER
def verify(folder: Path) -> None:
    """Check every byte of the gallery in FOLDER; exit code 2 where something is wrong."""
    from stages.reid.search.gallery_folder import verify as find_wrong
    from stages.reid.search.gallery_index import read_index

    with progress_bar("verify", "parts") as progress:
        wrong = find_wrong(folder, progress)
    for line in wrong:
        say(line)
    if wrong:
        raise KeyReIDError(f"{folder}: {len(wrong)} of its files are damaged or missing")
    say(f"{folder}: sound, {read_index(folder).tracklets} tracklets")


@command.command("merge")
@FOLDER
def merge(folder: Path) -> None:
    """Put the galleries of embed --append FOLDER --part I/N together into the gallery FOLDER.

    Checks that all of them are there, whole, of one data set and made alike. They may be removed then.
    """
    from stages.reid.search.gallery_merge import merge as put_together

    added, known = put_together(folder)
    say(f"{folder}: {added} tracklets added, {known} were there already; {folder}.part-* can be removed now")


@command.command("remove")
@FOLDER
@click.option("--part", "parts", metavar="NAME", multiple=True, help="Name of the part. Repeat for more.")
@click.option(
    "--camera", "cameras", metavar="NAME", multiple=True, help="Name of the camera. Repeat for more."
)
@click.option("--older-than", metavar="AGE", help="That ended longer ago, such as 12h, 30d or 4w.")
def remove(folder: Path, parts: tuple[str, ...], cameras: tuple[str, ...], older_than: str | None) -> None:
    """Remove tracklets from the gallery in FOLDER: those that meet all conditions given.

    No feature of theirs stays, FAISS indexes in the folder included. A tracklet without a clock time is as
    old as its part. Frames and pose caches stay where they are.
    """
    from stages.reid.search import removal

    age = None if older_than is None else removal.parse_age(older_than)
    gone = removal.remove(folder, parts, cameras, age)
    say(f"{folder}: {gone.tracklets} tracklets removed")
    places = {place for part in gone.parts for place in (part.root, part.poses) if place}
    if gone.tracklets:
        say(f"Their frames and poses are still in: {', '.join(sorted(places))}")
