"""The options that several commands share, and what they resolve to."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from cache.errors import KeyReIDError
from pipeline.config import Recipe, load_recipe, validated
from pipeline.recipe_file import parse_override, read_yaml


@dataclass(frozen=True)
class Inputs:
    """A recipe with its paths resolved, and what the user gave on the command line."""

    recipe: Recipe
    root: Path
    cache: Path
    given: Mapping[str, Any]

    def changed(self, values: Mapping[str, Any]) -> "Inputs":
        """With values replaced, e.g. {"train.epochs": 3}, and checked; None leaves a value as it is."""
        return replace(self, recipe=validated(self.recipe, values))


def recipe_options(function: Callable) -> Callable:
    """Add --dataset, --data-root, --cache, --config and --set; the command receives them as `inputs`."""

    @click.option(
        "--dataset",
        metavar="NAME",
        help="Data set: walkers (default), mars, mini-mars, ilids-vid, prid2011, market1501, cuhk03, folder.",
    )
    @click.option("--data-root", type=click.Path(path_type=Path), help="Data root. Default: data/DATASET.")
    @click.option("--cache", type=click.Path(path_type=Path), help="Pose cache. Default: poses/DATASET.")
    @click.option(
        "--config",
        type=click.Path(path_type=Path),
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
    data_root: Path | None = None,
    cache: Path | None = None,
    config: Path | None = None,
    overrides: tuple[str, ...] = (),
) -> Inputs:
    """Read the recipe; command-line paths win over the recipe's, which win over the defaults."""
    recipe = load_recipe(dataset or (None if config else "walkers"), config, overrides)
    if dataset is not None and recipe.dataset.name != dataset:
        raise KeyReIDError(
            f"--dataset {dataset}: {config} is a recipe for {recipe.dataset.name}; leave out one of the two"
        )
    name = recipe.dataset.name
    return Inputs(
        recipe=recipe,
        root=data_root or recipe.dataset.root or Path("data") / name,
        cache=cache or recipe.cache or Path("poses") / name,
        given={"dataset": dataset, "root": data_root, "cache": cache, "config": config, "set": overrides},
    )


def check_network(inputs: Inputs, checkpoint: Path) -> None:
    """Raise KeyReIDError where the user typed a value of the network, and the checkpoint has another."""
    keys = typed_keys(inputs, "model")
    if keys:
        from stages.reid.model.weights import refuse_other_config, stored_config

        refuse_other_config(checkpoint, inputs.recipe.model, stored_config(checkpoint), keys)


def typed_keys(inputs: Inputs, section: str) -> list[str]:
    """Dotted keys of a section that the user typed, in --set or in the file of --config."""
    config = inputs.given["config"]
    keys = list(read_yaml(config).get(section) or {}) if config else []
    for text in inputs.given["set"]:
        (first, *rest), value = parse_override(text)
        if first == section:
            keys += [".".join(rest)] if rest else list(value or {})
    return list(dict.fromkeys(keys))


def load_inputs(inputs: Inputs, check_files: bool = True, split: int | None = None):
    """The data set that the inputs name. Raises KeyReIDError, with the way to get it, where there is none."""
    from stages.datasets import load_dataset

    config = inputs.recipe.dataset
    if not inputs.root.is_dir():
        walkers = config.name == "walkers"
        way = (
            f"make it with: keyreid synthesize {inputs.root}"
            if walkers
            else "give its folder with --data-root"
        )
        raise KeyReIDError(f"{inputs.root}: no such data root; {way}")
    split = config.split if split is None else split
    return load_dataset(
        config.name,
        inputs.root,
        split=split,
        check_files=check_files,
        tracklets=config.tracklets,
        boxes=config.boxes,
    )
