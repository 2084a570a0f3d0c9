"""The options that several commands share, and what they resolve to."""

import functools
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import click

from cache.errors import KeyReIDError
from pipeline.config import Recipe, load_recipe
from pipeline.recipe_file import Override, changed, parse_override, read_yaml
from pipeline.settings import setting, taken
from stages.pose.config import PoseConfig


class NamedPath(click.Path):
    """A path with a name: `.` and `..` become the folders that they stand for. Not empty, and not `/`."""

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path, of which another may be made by changing its name."""
        path = Path(super().convert(value, param, ctx))
        if not str(value):
            self.fail("an empty path; expected a file or folder", param, ctx)
        try:
            whole = path.resolve()
        except RuntimeError:
            self.fail(f"{path}: a loop of links; expected a file or folder", param, ctx)
        if path.name in ("", ".."):
            path = whole
        if not path.name:
            self.fail(f"{path}: expected a file or folder in it", param, ctx)
        return path


PATH = NamedPath(path_type=Path)
PROCESSES = click.IntRange(1, 4096)
runs_option = click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="All runs.")


@dataclass(frozen=True)
class Given:
    """What the user gave on the command line. overrides: of --set and of options, in order."""

    dataset: str | None = None
    root: Path | None = None
    cache: Path | None = None
    config: Path | None = None
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True)
class Inputs:
    """A recipe with its paths resolved, and what the user gave."""

    recipe: Recipe
    root: Path
    cache: Path
    given: Given = Given()

    def changed(self, overrides: Iterable[Override]) -> "Inputs":
        """With values replaced, and checked."""
        return replace(self, recipe=changed(self.recipe, overrides))


def output_option(help: str, **more) -> Callable:
    """`-o/--output`, what a command writes."""
    return click.option("-o", "--output", type=PATH, help=help, **more)


def run_option(help: str = "Run folder, or its .safetensors file.", **more) -> Callable:
    """`--run`, a run or the weights file of one."""
    return click.option("--run", type=PATH, help=help, **more)


def device_option(help: str = "cpu, cuda, cuda:1, ...; auto: CUDA where there is one.") -> Callable:
    """`--device`, where a network runs; `stages.device.find_device` checks it."""
    return click.option("--device", default="auto", show_default=True, help=help)


def renamed(old: str, new: str, is_flag: bool = False) -> Callable:
    """An option (`--out`) or argument (`OUT`) of earlier versions: an error that names the new one.

    Hidden from --help.
    """

    def refuse(context: click.Context, parameter: click.Parameter, value: object) -> None:
        if value is not None:
            raise KeyReIDError(f"{context.command_path}: {old} is now {new}")

    if old.startswith("-"):
        return click.option(old, f"old_{old.strip('-').replace('-', '_')}", hidden=True, expose_value=False,
                            is_eager=True, callback=refuse, is_flag=is_flag, default=None)  # fmt: skip
    return click.argument(f"old_{old.lower()}", required=False, metavar="", expose_value=False,
                          is_eager=True, callback=refuse)  # fmt: skip


def recipe_options(function: Callable) -> Callable:
    """Add --dataset, --data-root, --list, --cache, --config and --set; the command receives them as `inputs`.

    Its settings (`pipeline.settings.setting(Recipe, ...)`) are in them, too.
    """

    @click.option(
        "--dataset",
        metavar="NAME",
        help="Data set: walkers (default), mars, mini-mars, ilids-vid, prid2011, market1501, cuhk03, "
        "ls-vid, mevid, ccvid, folder.",
    )
    @click.option("--data-root", type=PATH, help="Data root. Default: data/DATASET.")
    @setting(Recipe, "dataset.list", "--list")
    @click.option(
        "--cache", type=PATH, help="Pose cache. Default: poses/DATASET; of folder: poses/ and the path."
    )
    @click.option(
        "--config", type=PATH, help="Recipe file. Default: the one in configs/ named after the data set."
    )
    @click.option(
        "--set",
        "set_values",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override one config value, e.g. --set train.epochs=3. Repeat for more.",
    )
    @functools.wraps(function)
    def wrapped(dataset, data_root, cache, config, set_values, **rest):
        every = (*map(parse_override, set_values), *taken(rest, Recipe))
        return function(inputs=resolve(Given(dataset, data_root, cache, config, every)), **rest)

    return wrapped


def resolve(given: Given) -> Inputs:
    """Read the recipe; command-line paths win over the recipe's, which win over the defaults."""
    dataset = given.dataset or (None if given.config else "walkers")
    recipe = load_recipe(dataset, given.config, given.overrides)
    name = recipe.dataset.name
    root = given.root or recipe.dataset.root or Path("data") / name
    if given.dataset not in (None, name):
        other = f"{given.config} is a recipe for {name}" if given.config else f"--set dataset.name is {name}"
        raise KeyReIDError(f"--dataset {given.dataset}: {other}; leave out one of the two")
    return Inputs(
        recipe=recipe,
        root=root,
        cache=given.cache or recipe.cache or default_cache(name, root),
        given=given,
    )


def default_cache(dataset: str, root: Path) -> Path:
    """The pose cache of a data set where none is named: poses/DATASET.

    Of a tree of your own (`folder`): poses/ and its path, from here or else from /, with + between folders.
    """
    if dataset != "folder":
        return Path("poses") / dataset
    path, here = root.resolve(), Path.cwd()
    parts = (
        path.relative_to(here).parts if path.is_relative_to(here) and path != here else ("", *path.parts[1:])
    )
    name = "+".join(part.replace("%", "%25").replace("+", "%2B") for part in parts)
    if len(os.fsencode(name)) > 200:  # of 255 that a name may have
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        name = f"{os.fsencode(parts[-1])[:100].decode(errors='ignore')}+{digest}"
    return Path("poses") / name


def check_network(inputs: Inputs, checkpoint: Path) -> None:
    """Raise KeyReIDError where the user typed a value of the network, and the checkpoint has another."""
    keys = typed_keys(inputs.given, "model")
    if keys:
        from stages.reid.model.weights import refuse_other_config, stored_config

        refuse_other_config(checkpoint, inputs.recipe.model, stored_config(checkpoint), keys)


def typed_keys(given: Given, section: str) -> list[str]:
    """Dotted keys of a section that the user typed, in --set or in the file of --config."""
    keys = list(read_yaml(given.config).get(section) or {}) if given.config else []
    for override in given.overrides:
        first, *rest = override.path
        if first == section:
            keys += [".".join(rest)] if rest else list(override.value or {})
    return list(dict.fromkeys(keys))


def pose_config(run: Path, overrides: tuple[Override, ...]) -> PoseConfig | None:
    """The pose config of a run with the changes asked for; None where nothing is known."""
    from stages.reid.embedder import checkpoint_file, run_config

    pose, _ = run_config(checkpoint_file(run))
    return changed(pose or PoseConfig(), overrides) if overrides else pose


def load_inputs(inputs: Inputs, check_files: bool = True):
    """The data set that the inputs name. Raises KeyReIDError, with the way to get it, where there is none."""
    if not inputs.root.is_dir():
        walkers = inputs.recipe.dataset.name == "walkers"
        way = (
            f"make it with: keyreid synthesize -o {inputs.root}"
            if walkers
            else "give its folder with --data-root"
        )
        raise KeyReIDError(f"{inputs.root}: no such data root; {way}")
    return inputs.recipe.dataset.load(inputs.root, check_files)
