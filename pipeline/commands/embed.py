"""`keyreid embed`: tracklets to a gallery file, stage one included."""

from pathlib import Path
from typing import get_args

import click

from cache.errors import KeyReIDError
from pipeline.options import PATH, output_option, renamed, run_option
from pipeline.progress import progress_bars
from pipeline.recipe_file import Override, changed
from pipeline.settings import overrides_options, setting
from stages.pose.config import PoseConfig
from stages.precision import Precision
from stages.terminal import say


@click.command()
@click.argument("tracklets", type=PATH, required=False)
@run_option(required=True)
@output_option("Gallery file to write (.h5).", required=True)
@click.option("--dataset", metavar="NAME", help="A data set instead of TRACKLETS: walkers, mars, ...")
@click.option("--data-root", type=PATH, help="Its data root. Default: data/DATASET.")
@click.option("--split", type=click.IntRange(0), help="Split, for data sets with several.")
@click.option(
    "--subset",
    type=click.Choice(["all", "train", "test", "query", "gallery"]),
    help="Which tracklets. Default: all of TRACKLETS, test of a data set.",
)
@click.option("--cache", type=PATH, help="Pose cache. Default: poses/ and the name of TRACKLETS or DATASET.")
@click.option(
    "--camera-mode",
    type=click.Choice(["auto", "given", "unknown"]),
    default="auto",
    show_default=True,
    help="Use the network's camera embeddings? auto: where it was trained on this data set.",
)
@click.option("--half", is_flag=True, help="Store features in half precision: half the size.")
@overrides_options(PoseConfig)
@setting(PoseConfig, "estimator", help="Pose network. Default: the one of the run.")
@setting(PoseConfig, "weights", "--pose-weights", help="Its weights file.")
@click.option(
    "--redo-poses", is_flag=True, help="Replace a pose cache of other frames or of another network."
)
@click.option("--workers", type=click.IntRange(0), help="Reading processes. Default: as in the run.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, ...")
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    help="Numbers of the network. Default: as in the run (eval.precision).",
)
@renamed("--checkpoint", "--run")
@renamed("--camera", "--camera-mode")
def command(
    tracklets: Path | None,
    run: Path,
    output: Path,
    dataset: str | None,
    data_root: Path | None,
    split: int | None,
    subset: str | None,
    cache: Path | None,
    camera_mode: str,
    half: bool,
    overrides: tuple[Override, ...],
    redo_poses: bool,
    workers: int | None,
    device: str,
    precision: str | None,
) -> None:
    """Embed TRACKLETS (a folder person/camera/tracklet/*.jpg) into a gallery file.

    Poses are extracted first where there are none yet. Then: keyreid search --gallery FILE --query ...
    """
    from stages.datasets import load_dataset
    from stages.reid import embed
    from stages.reid.embedder import Embedder
    from stages.reid.scoring.embeddings import Embeddings

    if (tracklets is None) == (dataset is None):
        raise KeyReIDError("give either the folder TRACKLETS, or --dataset with --data-root")
    if tracklets is not None and data_root is not None:
        raise KeyReIDError("--data-root goes with --dataset; leave it out beside TRACKLETS")
    name = dataset or "folder"
    root = tracklets or data_root or Path("data") / name
    data = load_dataset(name, root, split=split)
    embedder = Embedder(run, pose_config(run, overrides), device, precision)
    with progress_bars("clips") as progress:
        embed.run(
            embedder,
            data,
            subset or ("all" if tracklets else "test"),
            cache or Path("poses") / (dataset or root.resolve().name),
            output,
            own=tracklets is not None,
            redo_poses=redo_poses,
            camera=camera_mode,
            half=half,
            workers=workers,
            progress=progress,
        )
    made = Embeddings.load(output)
    say(
        f"{output}: {len(made)} tracklets, {made.features.shape[1]} numbers each, "
        f"camera {made.about['camera']}, {made.about['precision']}, checkpoint {made.checkpoint[:12]}, "
        f"{output.stat().st_size / 1e6:.1f} MB"
    )


def pose_config(run: Path, overrides: tuple[Override, ...]) -> PoseConfig | None:
    """The run's pose config with the changes asked for; None where nothing is known."""
    from stages.reid.embedder import checkpoint_file, run_config

    pose, _ = run_config(checkpoint_file(run))
    return changed(pose or PoseConfig(), overrides) if overrides else pose
