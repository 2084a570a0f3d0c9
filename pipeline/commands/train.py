"""`keyreid train`: stage two, training."""

from pathlib import Path

import click

from pipeline.config import Recipe
from pipeline.options import Inputs, load_inputs, recipe_options, renamed, run_option, runs_option
from pipeline.settings import setting
from stages.terminal import say


@click.command()
@recipe_options
@setting(Recipe, "model.vit_path", help="ViT weights to start from (.pth, .safetensors).")
@setting(Recipe, "name", help="Goes into the run folder's name. Default: the recipe's.")
@setting(Recipe, "train.epochs", help="Same as --set train.epochs=N.")
@setting(Recipe, "train.loader.workers", help="Reading processes; does not change the batches.")
@setting(Recipe, "train.seed", help="Same as --set train.seed=N.")
@setting(Recipe, "train.precision", help="Mixed precision. Default: the recipe's.")
@setting(Recipe, "train.device", help="Default: CUDA where there is any.")
@click.option("--resume", is_flag=True, help="Resume a stopped run, with its own config.")
@run_option("Run folder to resume. Default: the newest that was stopped.")
@click.option("--allow-config-change", is_flag=True, help="Resume although config, data or poses differ.")
@runs_option
@renamed("RUN", "--run RUN: train --resume --run RUN")
def command(inputs: Inputs, resume: bool, run: Path | None, allow_config_change: bool, runs: Path) -> None:
    """Train on frames and cached poses; writes RUNS/DATASET/TIME-NAME/.

    Needs the pose cache that extract-poses makes. Ctrl-C saves and stops; --resume continues from there,
    and ends with the same weights as a run that was never stopped.
    """
    from cache import PoseCache
    from cache.errors import KeyReIDError
    from pipeline import runs as folders
    from stages.reid import train

    if run is not None and not resume:
        raise KeyReIDError(f"--run {run}: give --resume with it, to continue that run")
    old = run or folders.unfinished_run(inputs.recipe.dataset.name, runs) if resume else None
    if old is not None:
        inputs = folders.inputs_of(old, inputs)
    else:
        warn_of_random_start(inputs.recipe)
    dataset = load_inputs(inputs)
    cache = PoseCache.open(inputs.cache)

    folder = train.run(
        inputs.recipe.train,
        inputs.recipe.model,
        dataset,
        cache,
        old or (lambda: folders.new_run(inputs, runs)),
        resume=resume,
        allow_config_change=allow_config_change,
        keep_config=lambda: folders.keep_config(old, inputs),
    )
    if folders.is_main_process():
        say(f"trained: {folder / 'model.safetensors'}")
        say(f"score it: keyreid eval --run {folder}")


def warn_of_random_start(recipe: Recipe) -> None:
    """Warn, in the main process, where a recipe for trained weights is about to train from random ones."""
    from pipeline.runs import is_main_process

    given = recipe.model.vit_path is not None or recipe.model.pretrained
    if recipe.start_weights is None or given or not is_main_process():
        return
    lines = (
        f"WARNING: this recipe is meant to start from {recipe.start_weights}, and no weights are given.",
        f"{recipe.model.backbone} starts from random weights: it trains far longer and scores far lower.",
        "Give the file with --vit-path FILE, or --set start_weights=null if random weights are meant.",
    )
    for line in lines:
        say(line, error=True, style="bold yellow")
