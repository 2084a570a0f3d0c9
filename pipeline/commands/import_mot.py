"""`keyreid import-mot`: tracklets from your own video."""

import json
from pathlib import Path

import click

from cache.errors import KeyReIDError
from pipeline.options import PATH, output_option, renamed
from pipeline.settings import config_options, setting
from stages.terminal import say, show, text_table
from stages.tracks.config import CutConfig


@click.command("import-mot")
@output_option("Folder for the tracklets.", required=True)
@click.option("--video", type=PATH, help="Video file.")
@click.option("--frames", type=PATH, help="Folder of images, one per frame, numbered without a gap.")
@click.option("--tracks", type=PATH, required=True, help="Tracks in MOTChallenge format.")
@config_options(CutConfig)
@setting(
    CutConfig, "camera", required=True, metavar="NAME", help="Name of the camera: letters, digits, _ - ."
)
@setting(CutConfig, "first_frame", help="Number of the first frame in TRACKS.")
@setting(CutConfig, "last_frame", help="Use TRACKS up to this frame.")
@setting(CutConfig, "pad_width", help="Margin left and right, share of the box.")
@setting(CutConfig, "pad_height", help="Margin above and below, share of the box.")
@setting(CutConfig, "min_confidence", help="Lowest confidence (column 7) used.")
@setting(
    CutConfig,
    "classes",
    "--class",
    multiple=True,
    metavar="INTEGER",
    help="Class (column 8) used. Repeat for more.",
)
@setting(CutConfig, "min_width", help="Least width of a box in the video, px.")
@setting(CutConfig, "min_height", help="Least height of a box in the video, px.")
@setting(CutConfig, "min_length", help="Least number of frames of a tracklet.")
@setting(CutConfig, "max_gap", help="Split a track where more frames are missing.")
@setting(CutConfig, "size", metavar="WxH", help="Size of a crop, or keep.")
@setting(CutConfig, "quality", help="JPEG quality of a crop.")
@setting(CutConfig, "count_frames", help="Number frames as they come, whatever their times.")
@setting(
    CutConfig, "start", metavar="TIME", help="Clock time of the first frame, as 2026-11-26T08:00:00+01:00."
)
@setting(CutConfig, "strict", help="Stop at a row without a usable box, rather than leave it out.")
@click.option("--force", is_flag=True, help="Replace the folder, if import-mot made it.")
@renamed("OUT", "-o/--output OUT")
def command(
    output: Path, video: Path | None, frames: Path | None, tracks: Path, config: CutConfig, force: bool
) -> None:
    """Cut the tracks of a video into tracklets: OUTPUT/person/camera/tracklet/frame.jpg.

    Any tracker that writes MOTChallenge files will do. Then: keyreid embed OUTPUT --run RUN -o gallery.h5
    """
    from pipeline.progress import progress_bar
    from stages.tracks import run
    from stages.tracks.cut import ABOUT

    if (video is None) == (frames is None):
        raise KeyReIDError("give either --video FILE or --frames DIR")
    with progress_bar("cutting", "crops") as progress:
        folder = run(config, tracks, video or frames, output, force, progress)
    about = json.loads((folder / ABOUT).read_text())
    table = text_table("what", "number", title=f"import-mot: {folder}")
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
    show(table)
    if about["damaged_frames"]:
        say(f"keyreid: warning: {_damage(about)}", error=True)


def _damage(about: dict) -> str:
    numbers, shown = about["damaged_frames"], 5
    listed = ", ".join(map(str, numbers[:shown])) + (", ..." if len(numbers) > shown else "")
    return (
        f"{about['source']}: the decoder reports damage at {len(numbers)} of its frames, by number {listed} "
        f"({about['damage']}). Crops from about there to the next key frame may be wrong: look at them, or "
        "copy the video again from its source and repeat this with --force"
    )
