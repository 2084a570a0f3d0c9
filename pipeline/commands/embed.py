"""`keyreid embed`: tracklets to a gallery file, stage one included."""

from pathlib import Path

import click

from cache.errors import KeyReIDError
from pipeline.options import PATH, output_option, renamed, run_option
from pipeline.recipe_file import Override, changed
from pipeline.settings import overrides_options, setting
from stages.pose.config import PoseConfig


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
) -> None:
    """Embed TRACKLETS (a folder person/camera/tracklet/*.jpg) into a gallery file.

    Poses are extracted first where there are none yet. Then: keyreid search --gallery FILE --query ...
    """
    from stages.datasets import load_dataset
    from stages.reid.embedder import Embedder

    if (tracklets is None) == (dataset is None):
        raise KeyReIDError("give either the folder TRACKLETS, or --dataset with --data-root")
    if output.is_dir():
        raise KeyReIDError(f"{output}: is a folder; expected the name of a file, such as gallery.h5")
    name = dataset or "folder"
    root = tracklets or data_root or Path("data") / name
    if tracklets is not None and data_root is not None:
        raise KeyReIDError("--data-root goes with --dataset; leave it out beside TRACKLETS")
    data = load_dataset(name, root, split=split)
    chosen = _subset(data, subset or ("all" if tracklets else "test"))
    embedder = Embedder(run, pose_config(run, overrides), device)
    folder = cache or Path("poses") / (dataset or root.resolve().name)
    poses = _poses(embedder, data, folder, own=tracklets is not None, redo=redo_poses)
    gallery = embedder.gallery(data, chosen, poses, camera_mode, workers)
    gallery.save(output, half)
    width = gallery.embeddings.features.shape[1]
    click.echo(
        f"{output}: {len(gallery)} tracklets, {width} numbers each, camera {gallery.about['camera']}, "
        f"checkpoint {embedder.sha256[:12]}, {output.stat().st_size / 1e6:.1f} MB"
    )


def _subset(data, subset: str) -> tuple:
    groups = {
        "all": data.tracklets,
        "test": data.test_tracklets,
        "train": lambda: data.train,
        "query": lambda: data.query,
        "gallery": lambda: data.gallery,
    }
    chosen = groups[subset]()
    if not chosen:
        raise KeyReIDError(f"--subset {subset}: {data.root} has no such tracklet; choose another subset")
    return chosen


def pose_config(run: Path, overrides: tuple[Override, ...]) -> PoseConfig | None:
    """The run's pose config with the changes asked for; None where nothing is known."""
    from stages.reid.embedder import checkpoint_file, run_config

    pose, _ = run_config(checkpoint_file(run))
    return changed(pose or PoseConfig(), overrides) if overrides else pose


def _poses(embedder, data, folder: Path, own: bool, redo: bool):
    """The pose cache, made by stage one where there is none.

    own: TRACKLETS, which a new import may have changed: stage one then compares the cache with the frames.
    """
    from cache import PoseCache
    from cache.manifest import MANIFEST
    from stages.pose.config import load_spec
    from stages.pose.extract import run

    config = embedder.pose
    wanted = None if config is None else load_spec(config.estimator).name
    ready = (folder / MANIFEST).is_file() and not redo
    if not ready and config is None:
        raise KeyReIDError(
            f"{folder}: no pose cache, and no config.yaml beside the checkpoint names a pose network; "
            "give --cache, or --estimator"
        )
    if not ready:
        run(data, config.model_copy(update={"force": redo}), folder)
    poses = PoseCache.open(folder)
    missing = poses.missing(data.frames())
    if missing:
        raise KeyReIDError(
            f"pose cache {folder}: {len(missing)} frames are missing, the first is {missing[0]}: it was made "
            "for other tracklets; name another folder with --cache, or use --redo-poses"
        )
    if wanted is not None and poses.info.estimator != wanted:
        raise KeyReIDError(
            f"pose cache {folder}: made with {poses.info.estimator}, the run with {wanted}; name another "
            f"folder with --cache, use --redo-poses, or say --estimator {poses.info.estimator}"
        )
    if ready and own and config is not None:
        try:
            run(data, config, folder)
        except KeyReIDError as error:
            raise KeyReIDError(f"{error}; keyreid embed does that with --redo-poses") from error
        poses = PoseCache.open(folder)
    return poses
