"""The options that several commands share, and what they resolve to."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from cache.errors import KeyReIDError
from pipeline.config import Recipe, load_recipe


@dataclass(frozen=True)
class Inputs:
    """A recipe with its paths resolved."""

    recipe: Recipe
    root: Path
    cache: Path


def recipe_options(function: Callable) -> Callable:
    """Add --dataset, --data-root, --cache, --config and --set; the command receives them as `inputs`."""

    @click.option(
        "--dataset",
        default=None,
        metavar="NAME",
        help="Data set: walkers (default), mars, mini-mars, ilids-vid, prid2011, folder.",
    )
    @click.option(
        "--data-root", type=click.Path(path_type=Path), default=None, help="Data root. Default: data/DATASET."
    )
    @click.option(
        "--cache", type=click.Path(path_type=Path), default=None, help="Pose cache. Default: poses/DATASET."
    )
    @click.option(
        "--config",
        type=click.Path(path_type=Path),
        default=None,
        help="Recipe file. Default: the one in configs/ named after the data set.",
    )
    @click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override one config value, e.g. --set train.epochs=3. Repeat for more.",
    )
    @functools.wraps(function)
    def wrapped(dataset, data_root, cache, config, overrides, **rest):
        return function(inputs=resolve(dataset, data_root, cache, config, overrides), **rest)

    return wrapped


def resolve(
    dataset: str | None,
    data_root: Path | None,
    cache: Path | None,
    config: Path | None,
    overrides: tuple[str, ...] = (),
) -> Inputs:
    """Read the recipe; command-line paths win over the recipe's, which win over the defaults."""
    recipe = load_recipe(dataset or (None if config else "walkers"), config, overrides)
    if dataset is not None and recipe.dataset.name != dataset:
        raise KeyReIDError(
            f"--dataset {dataset}: {config} is a recipe for {recipe.dataset.name}; leave out one of the two"
        )
    name = recipe.dataset.name
    root = data_root or recipe.dataset.root or Path("data") / name
    return Inputs(recipe=recipe, root=root, cache=cache or recipe.cache or Path("poses") / name)


def load_inputs(inputs: Inputs, check_files: bool = True):
    """The data set that the inputs name. Raises KeyReIDError, with the way to get it, where there is none."""
    from stages.datasets import load_dataset

    name = inputs.recipe.dataset.name
    if not inputs.root.is_dir():
        way = "make it with: keyreid synthesize" if name == "walkers" else "give its folder with --data-root"
        raise KeyReIDError(f"{inputs.root}: no such data root; {way}")
    return load_dataset(name, inputs.root, split=inputs.recipe.dataset.split, check_files=check_files)
