"""`keyreid import-mot`: tracklets from one's own video."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cache.errors import KeyReIDError

PATH = click.Path(path_type=Path)


@click.command("import-mot")
@click.argument("out", type=PATH)
@click.option("--video", type=PATH, help="Video file.")
@click.option("--frames", type=PATH, help="Folder of images, one per frame, numbered without a gap.")
@click.option("--tracks", type=PATH, required=True, help="Tracks in MOTChallenge format.")
@click.option("--camera", required=True, metavar="NAME", help="Camera: letters, digits, _ - .")
@click.option("--first-frame", default=1, show_default=True, help="Number of the first frame in TRACKS.")
@click.option("--last-frame", type=int, help="Use TRACKS up to this frame.")
@click.option("--pad-width", default=0.04, show_default=True, help="Margin left and right, share of the box.")
@click.option("--pad-height", default=0.02, show_default=True, help="Margin above and below, likewise.")
@click.option("--min-confidence", type=float, help="Lowest confidence (column 7) used.")
@click.option("--class", "classes", type=int, multiple=True, help="Class (column 8) used. Repeat for more.")
@click.option("--min-width", default=16, show_default=True, help="Least width of a box in the video, px.")
@click.option("--min-height", default=32, show_default=True, help="Least height of a box in the video, px.")
@click.option("--min-length", default=4, show_default=True, help="Least number of frames of a tracklet.")
@click.option("--max-gap", default=10, show_default=True, help="Split a track where more frames lack.")
@click.option("--size", default="128x256", show_default=True, metavar="WxH", help="Size of a crop, or keep.")
@click.option("--quality", default=92, show_default=True, help="JPEG quality of a crop.")
@click.option("--count-frames", is_flag=True, help="Number frames as they come, whatever their times.")
@click.option("--force", is_flag=True, help="Replace OUT, if import-mot made it.")
def command(
    out: Path, video: Path | None, frames: Path | None, tracks: Path, size: str, force: bool, **options
) -> None:
    """Cut the tracks of a video into tracklets: OUT/person/camera/tracklet/frame.jpg.

    Any tracker that writes MOTChallenge files will do. Then: keyreid embed OUT --checkpoint RUN -o gallery.h5
    """
    from pipeline.progress import progress_bar
    from stages.tracks import run
    from stages.tracks.cut import ABOUT

    if (video is None) == (frames is None):
        raise KeyReIDError("give either --video FILE or --frames DIR")
    config = _config(size=_size(size), **options)
    with progress_bar("cutting", "crops") as progress:
        folder = run(config, tracks, video or frames, out, force, progress)
    about = json.loads((folder / ABOUT).read_text())
    _summary(folder, about)
    if about["damaged_frames"]:
        click.echo(f"keyreid: warning: {_damage(about)}", err=True)


def _config(**options):
    from pydantic import ValidationError

    from stages.tracks import CutConfig

    try:
        return CutConfig(**options)
    except ValidationError as error:
        first = error.errors()[0]
        name = "--" + str(first["loc"][0]).replace("_", "-")
        value = options[first["loc"][0]]
        raise KeyReIDError(f"{name} {value!r}: {first['msg']}; see keyreid import-mot --help") from None


def _size(text: str) -> tuple[int, int] | None:
    if text == "keep":
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) <= 4096 and 0 < int(height) <= 4096):
        raise KeyReIDError(f"--size {text}: expected WIDTHxHEIGHT in px, as 128x256, or keep")
    return int(width), int(height)


def _summary(folder: Path, about: dict) -> None:
    table = Table("what", "number", title=f"import-mot: {folder}")
    named = {
        "boxes": "boxes in TRACKS",
        "crops": "crops",
        "tracks_used": "tracks used",
        "tracklets": "tracklets",
    }
    for key, name in named.items():
        table.add_row(name, f"{about[key]:,}")
    for reason, count in about["left_out"].items():
        table.add_row(f"left out: {reason}", f"{count:,}")
    Console().print(table)


def _damage(about: dict) -> str:
    numbers, shown = about["damaged_frames"], 5
    listed = ", ".join(map(str, numbers[:shown])) + (", ..." if len(numbers) > shown else "")
    return (
        f"{about['source']}: the decoder reports damage at {len(numbers)} of its frames, by number {listed} "
        f"({about['damage']}). Crops from about there to the next key frame may be wrong: look at them, or "
        "copy the video again from its source and repeat this with --force"
    )
