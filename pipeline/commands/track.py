"""`keyreid track`: from videos to tracklets."""

from pathlib import Path

import click

from cache.errors import KeyReIDError
from pipeline.options import PATH, device_option, output_option
from pipeline.recipe_file import Override, check
from pipeline.settings import config_options, overrides_options, setting, settings
from stages.terminal import say, show, text_table
from stages.tracks.config import CameraConfig, TrackConfig


@click.command()
@click.argument("videos", nargs=-1, type=PATH)
@output_option("Folder for the tracklets.", required=True)
@overrides_options(CameraConfig)
@setting(
    CameraConfig,
    "name",
    "--camera",
    metavar="NAME",
    help="Name of the camera of VIDEOS: letters, digits, _ - .",
)
@setting(
    CameraConfig, "start", metavar="TIME", help="Clock time of the first frame, as 2026-11-26T08:00:00+01:00."
)
@setting(CameraConfig, "fps", help="Frames/s, where the file's own times are wrong.")
@click.option("--cameras", type=PATH, help="Instead of VIDEOS: a YAML file of cameras and their videos.")
@config_options(TrackConfig)
@settings(TrackConfig, "detector", "tracker", "lost", "min_width", "min_height", "min_length", "max_length")
@settings(TrackConfig, "max_gap", "pad_width", "pad_height")
@setting(TrackConfig, "size", metavar="WxH", help="Size of a crop, or keep.")
@settings(TrackConfig, "quality")
@device_option("Of the detector: cpu, cuda or auto.")
@click.option("--truth", type=PATH, help="True tracks of the one video (MOTChallenge): score against them.")
@click.option("--truth-sparse", is_flag=True, help="Judge only frames in which TRUTH has a row.")
@click.option("--force", is_flag=True, help="Replace tracklets made with other settings.")
def command(
    videos: tuple[Path, ...],
    output: Path,
    overrides: tuple[Override, ...],
    cameras: Path | None,
    config: TrackConfig,
    device: str,
    truth: Path | None,
    truth_sparse: bool,
    force: bool,
) -> None:
    """Detect and track the persons in VIDEOS and cut them out: OUTPUT/person/camera/tracklet/frame.jpg.

    VIDEOS of one camera follow one another. Run it again to continue where it stopped. Then:
    keyreid embed OUTPUT --run RUN -o gallery.h5
    """
    from pipeline.progress import progress_bar
    from stages.tracks.cameras import load_cameras
    from stages.tracks.detect.spec import load_detector_spec
    from stages.tracks.track import records, run

    if bool(videos) == (cameras is not None):
        raise KeyReIDError("give either VIDEOS with --camera NAME, or --cameras FILE")
    if cameras is not None:
        if overrides:
            raise KeyReIDError(f"{overrides[0].option}: goes with VIDEOS; with --cameras it is in {cameras}")
        chosen = load_cameras(cameras)
    else:
        if not any(override.key == "name" for override in overrides):
            raise KeyReIDError("--camera NAME is missing: the camera that filmed VIDEOS")
        chosen = (check(CameraConfig, {"files": list(videos)}, overrides),)
    if truth is not None and sum(len(c.files) for c in chosen) != 1:
        raise KeyReIDError("--truth is of one video; track that one alone")
    with progress_bar("tracking", "frames") as progress:
        run(config, chosen, output, device=device, force=force, progress=progress)
    done = records(output)
    table = text_table("video", "camera", "frames", "tracks", "tracklets", "crops", title=f"track: {output}")
    for record in done:
        counts = (record["frames"], record["tracks"], len(record["tracklets"]), record["crops"])
        table.add_row(record["tag"], record["camera"], *(f"{count:,}" for count in counts))
    show(table)
    pinned = load_detector_spec(config.detector).sha256
    for name, sha256 in sorted({tuple(record["detector"].values()) for record in done}):
        say(f"detector: {name}, SHA-256 {sha256}{'' if pinned else ', with none in its YAML to compare'}")
    for record in done:
        if record["damaged_frames"]:
            say(
                f"keyreid: warning: {record['source']}: the decoder reports damage "
                f"{record['damaged_frames']} times ({record['damage']}): look at the crops, or copy "
                "the video again from its source",
                error=True,
            )
    if truth is not None:
        from stages.tracks.cameras import tags
        from stages.tracks.truth import score_tracks

        scores = score_tracks(truth, output / f"{tags(chosen[0])[0]}.txt", truth_sparse)
        table = text_table(*scores, title=f"against {truth}")
        switches = scores.pop("switches")
        table.add_row(*(f"{value:.3f}" for value in scores.values()), str(switches))
        show(table)
