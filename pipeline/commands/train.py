"""`keyreid train`: stage two, training."""

from pathlib import Path

import click

from pipeline.options import Inputs, load_inputs, recipe_options

NEWEST = "newest"


@click.command()
@recipe_options
@click.option(
    "--vit-path", type=click.Path(path_type=Path), help="ViT weights to start from (.pth, .safetensors)."
)
@click.option("--name", help="Goes into the run folder's name. Default: the recipe's.")
@click.option("--epochs", type=click.IntRange(1), help="Same as --set train.epochs=N.")
@click.option("--workers", type=click.IntRange(0), help="Reading processes; does not change the batches.")
@click.option("--seed", type=click.IntRange(0), help="Same as --set train.seed=N.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value=NEWEST,
    metavar="[RUN]",
    help="Go on with a stopped run, with its own config: its folder, or the newest.",
)
@click.option("--allow-config-change", is_flag=True, help="Resume although config, data or poses differ.")
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="All runs."
)
def command(
    inputs: Inputs,
    vit_path: Path | None,
    name: str | None,
    epochs: int | None,
    workers: int | None,
    seed: int | None,
    resume: str | None,
    allow_config_change: bool,
    runs: Path,
) -> None:
    """Train on frames and cached poses; writes RUNS/DATASET/TIME-NAME/.

    Needs the pose cache that extract-poses makes. Ctrl-C saves and stops; --resume goes on from there,
    and ends with the very weights of a run that was never stopped.
    """
    from cache import PoseCache
    from pipeline import runs as folders
    from stages.reid import train

    old = None
    if resume is not None:
        old = folders.unfinished_run(inputs.recipe.dataset.name, runs) if resume == NEWEST else Path(resume)
        inputs = folders.inputs_of(old, inputs)
    inputs = inputs.changed(
        {
            "model.vit_path": vit_path and str(vit_path),
            "name": name,
            "train.epochs": epochs,
            "train.seed": seed,
            "train.loader.workers": workers,
        }
    )
    dataset = load_inputs(inputs)
    cache = PoseCache.open(inputs.cache)

    folder = train.run(
        inputs.recipe.train,
        inputs.recipe.model,
        dataset,
        cache,
        old or (lambda: folders.new_run(inputs, runs)),
        resume=old is not None,
        allow_config_change=allow_config_change,
        keep_config=lambda: folders.keep_config(old, inputs),
    )
    if folders.is_main_process():
        click.echo(f"trained: {folder / 'model.safetensors'}")
        click.echo(f"score it: keyreid eval --run {folder}")
