"""`keyreid embed`: tracklets to a gallery, stage one included."""

from pathlib import Path
from typing import get_args

import click

from cache.errors import KeyReIDError
from pipeline.footage import Footage, footage_options
from pipeline.options import PATH, device_option, output_option, pose_config, renamed, run_option
from pipeline.progress import progress_bars
from pipeline.recipe_file import Override
from pipeline.settings import config_options, overrides_options, setting, settings
from stages.pose.config import PoseConfig
from stages.precision import Precision
from stages.reid.embed_config import EmbedConfig
from stages.terminal import say, show_notes


@click.command()
@footage_options
@run_option("Run folder, or its .safetensors file. Default with --append: the gallery's own.")
@output_option("Gallery file to write (.h5).")
@click.option(
    "--append", type=PATH, metavar="FOLDER", help="Gallery folder to add to, made where there is none."
)
@config_options(EmbedConfig)
@settings(EmbedConfig, "camera", "half", "part_size", "processes", "threads", camera="--camera-mode")
@setting(EmbedConfig, "scheduler", metavar="tcp://HOST:PORT")
@click.option(
    "--part",
    metavar="I/N",
    help="With --append: part I of N alone, in a gallery beside FOLDER; then: keyreid gallery merge.",
)
@overrides_options(PoseConfig)
@setting(PoseConfig, "estimator", help="Pose network. Default: the one of the run.")
@setting(PoseConfig, "weights", "--pose-weights", help="Its weights file.")
@settings(EmbedConfig, "redo_poses", "workers")
@device_option("cpu, cuda, cuda:1, ... or auto.")
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    help="Number format of the network. Default: as in the run (eval.precision).",
)
@renamed("--checkpoint", "--run")
@renamed("--camera", "--camera-mode")
def command(
    footage: Footage,
    run: Path | None,
    output: Path | None,
    append: Path | None,
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
    from stages.pose.parts import Share
    from stages.reid import append as appending
    from stages.reid import embed
    from stages.reid.embedder import Embedder
    from stages.reid.search.gallery_index import run_of

    if (output is None) == (append is None):
        raise KeyReIDError("give either -o FILE, or --append FOLDER")
    if part is not None and append is None:
        raise KeyReIDError("--part goes with --append FOLDER: jobs fill galleries, which are merged")
    share = None if part is None else Share.parse(part)
    run = run or run_of(append)
    data = footage.load(run)
    embedder = Embedder(run, pose_config(run, overrides), device, precision)
    with progress_bars("tracklets") as progress:
        if append is None:
            made = embed.run(embedder, data, footage.subset, footage.cache, output, config,
                             own=footage.own, progress=progress)  # fmt: skip
            said, notes = embed.summary(made), ()
        else:
            added = appending.run(embedder, data, footage.subset, footage.cache, append, config, share,
                                  progress=progress)  # fmt: skip
            said, notes = added.summary(append if share is None else share.path(append)), added.notes
    say(said)
    show_notes(notes)
