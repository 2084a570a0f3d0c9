"""`keyreid embed`: tracklets to a gallery, stage one included."""

from pathlib import Path
from typing import get_args

import click

from cache.errors import KeyReIDError
from pipeline.options import PATH, default_cache, output_option, renamed, run_option
from pipeline.progress import progress_bars
from pipeline.recipe_file import Override, changed
from pipeline.settings import config_options, overrides_options, setting
from stages.pose.config import PoseConfig
from stages.precision import Precision
from stages.reid.embed_config import EmbedConfig
from stages.terminal import say


@click.command()
@click.argument("tracklets", type=PATH, required=False)
@run_option("Run folder, or its .safetensors file. Default with --append: the gallery's own.")
@output_option("Gallery file to write (.h5).")
@click.option(
    "--append", type=PATH, metavar="FOLDER", help="Gallery folder to add to, made where there is none."
)
@click.option("--dataset", metavar="NAME", help="A data set instead of TRACKLETS: walkers, mars, ...")
@click.option("--data-root", type=PATH, help="Its data root. Default: data/DATASET.")
@click.option("--split", type=click.IntRange(0), help="Split, for data sets with several.")
@click.option("--list", "frame_list", type=PATH, help="CSV list of frames in TRACKLETS.")
@click.option(
    "--subset",
    type=click.Choice(["all", "train", "test", "query", "gallery"]),
    help="Which tracklets. Default: all of TRACKLETS, test of a data set.",
)
@click.option(
    "--cache", type=PATH, help="Pose cache. Default: poses/ and the path of TRACKLETS, or poses/DATASET."
)
@config_options(EmbedConfig)
@setting(
    EmbedConfig,
    "camera",
    "--camera-mode",
    help="Use the network's camera embeddings? auto: where it was trained on this data set.",
)
@setting(EmbedConfig, "half", help="Store features in half precision: half the size.")
@setting(EmbedConfig, "part_size", help="Tracklets of a part; a killed run loses those that it was at.")
@setting(EmbedConfig, "processes", help="Local processes, each at a part of its own.")
@setting(
    EmbedConfig, "threads", help="Threads of the network per process. Default: all cores; of several: 1."
)
@setting(EmbedConfig, "scheduler", metavar="tcp://HOST:PORT", help="Run the parts on this Dask cluster.")
@click.option(
    "--part",
    metavar="I/N",
    help="With --append: part I of N alone, in a gallery beside FOLDER; then: keyreid gallery merge.",
)
@overrides_options(PoseConfig)
@setting(PoseConfig, "estimator", help="Pose network. Default: the one of the run.")
@setting(PoseConfig, "weights", "--pose-weights", help="Its weights file.")
@setting(EmbedConfig, "redo_poses", help="Replace a pose cache of other frames or of another network.")
@setting(EmbedConfig, "workers", help="Reading processes. Default: as in the run.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, ...")
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    help="Number format of the network. Default: as in the run (eval.precision).",
)
@renamed("--checkpoint", "--run")
@renamed("--camera", "--camera-mode")
def command(
    tracklets: Path | None,
    run: Path | None,
    output: Path | None,
    append: Path | None,
    dataset: str | None,
    data_root: Path | None,
    split: int | None,
    frame_list: Path | None,
    subset: str | None,
    cache: Path | None,
    config: EmbedConfig,
    part: str | None,
    overrides: tuple[Override, ...],
    device: str,
    precision: str | None,
) -> None:
    """Embed TRACKLETS (a folder person/camera/tracklet/*.jpg, several such, or a list) into a gallery.

    Poses are extracted first where there are none yet. --append adds to a gallery folder those tracklets
    that are not in it yet. Safe to interrupt: the same command makes what is missing, byte for byte.
    Then: keyreid search --gallery FILE --query ...
    """
    from stages.datasets import load_dataset
    from stages.pose.parts import Share
    from stages.reid.embedder import Embedder

    if (tracklets is None) == (dataset is None):
        raise KeyReIDError("give either the folder TRACKLETS, or --dataset with --data-root")
    if tracklets is not None and data_root is not None:
        raise KeyReIDError("--data-root goes with --dataset; leave it out beside TRACKLETS")
    if (output is None) == (append is None):
        raise KeyReIDError("give either -o FILE, or --append FOLDER")
    if part is not None and append is None:
        raise KeyReIDError("--part goes with --append FOLDER: jobs fill galleries, which are merged")
    share = None if part is None else Share.parse(part)
    name = dataset or "folder"
    root = tracklets or data_root or Path("data") / name
    data = load_dataset(name, root, split=split, frame_list=frame_list)
    run = run or _run_of(append)
    embedder = Embedder(run, pose_config(run, overrides), device, precision)
    subset = subset or ("all" if tracklets else "test")
    cache = cache or default_cache(name, root)
    with progress_bars("tracklets") as progress:
        if append is not None:
            from stages.reid import append as appending

            added = appending.run(embedder, data, subset, cache, append, config, share, progress=progress)
        else:
            from stages.reid import embed

            own = tracklets is not None
            embed.run(embedder, data, subset, cache, output, config, own=own, progress=progress)
    if append is not None:
        _say_added(append if share is None else share.path(append), added)
        return
    from stages.reid.scoring.embeddings import Embeddings

    made = Embeddings.load(output, stored=True)
    say(
        f"{output}: {len(made)} tracklets, {made.features.shape[1]} numbers each, "
        f"camera {made.about['camera']}, {made.about['precision']}, checkpoint {made.checkpoint[:12]}, "
        f"{output.stat().st_size / 1e6:.1f} MB"
    )


def _say_added(gallery: Path, added) -> None:
    parts = ", ".join(part.name for part in added.parts[:4]) + ", ..." * (len(added.parts) > 4)
    say(f"{gallery}: {added.tracklets} tracklets added{f' ({parts})' if parts else ''}, "
               f"{added.known} were there already")  # fmt: skip
    for note in added.notes:
        say(f"note: {note}", error=True)
    if added.retimed:
        say(
            f"note: {added.retimed} of them have other times in the gallery; to change those, remove their "
            "part (keyreid gallery remove) and append them again",
            error=True,
        )


def _run_of(gallery: Path | None) -> Path:
    """The checkpoint that made a gallery. Raises KeyReIDError where there is none."""
    from stages.reid.search.gallery_index import is_gallery, read_index

    if gallery is None or not is_gallery(gallery):
        raise KeyReIDError(
            "give --run, a run folder or its .safetensors file; a gallery that is there has one"
        )
    path = Path(read_index(gallery).checkpoint_path)
    if not path.is_file():
        raise KeyReIDError(f"{path}: the checkpoint of {gallery} is not there any more; give --run")
    return path


def pose_config(run: Path, overrides: tuple[Override, ...]) -> PoseConfig | None:
    """The run's pose config with the changes asked for; None where nothing is known."""
    from stages.reid.embedder import checkpoint_file, run_config

    pose, _ = run_config(checkpoint_file(run))
    return changed(pose or PoseConfig(), overrides) if overrides else pose
