"""The tracklets that a command embeds: a folder of your own, or a data set by its name."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from cache.border import reading
from cache.errors import KeyReIDError
from cache.text_files import load_yaml
from pipeline.config import DatasetConfig
from pipeline.options import PATH, default_cache
from stages.datasets.tracklet import Dataset


@dataclass(frozen=True)
class Footage:
    """own: whether it is TRACKLETS. subset: which tracklets of it. cache: pose cache."""

    own: bool
    name: str
    root: Path
    split: int | None
    frame_list: Path | None
    subset: str
    cache: Path

    def load(self, run: Path) -> Dataset:
        """Read it, see `settings`. Raises KeyReIDError as `load_dataset`."""
        return self.settings(run).load(self.root)

    def settings(self, run: Path) -> DatasetConfig:
        """How a data set is read: as the run did that was trained on one of that name, but as the user says.

        Of TRACKLETS, the run knows nothing; its list of frames is that of one root only.
        """
        from stages.reid.embedder import checkpoint_file

        path, found = checkpoint_file(run).parent / "config.yaml", DatasetConfig(name=self.name)
        if path.is_file() and not self.own:
            with reading(path, "the config of a run"):
                trained = DatasetConfig(**load_yaml(path).get("dataset", {"name": ""}))
            if trained.name == self.name:
                same = trained.root is not None and trained.root.resolve() == self.root.resolve()
                found = trained if same else trained.model_copy(update={"list": None})
        given = {"split": self.split, "list": self.frame_list}
        return found.model_copy(update={key: value for key, value in given.items() if value is not None})


def footage_options(function: Callable) -> Callable:
    """Add TRACKLETS, and what names a data set instead; the command receives them as `footage`."""

    @click.argument("tracklets", type=PATH, required=False)
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
    @functools.wraps(function)
    def wrapped(tracklets, dataset, data_root, split, frame_list, subset, cache, **rest):
        if (tracklets is None) == (dataset is None):
            raise KeyReIDError("give either the folder TRACKLETS, or --dataset with --data-root")
        if tracklets is not None and data_root is not None:
            raise KeyReIDError("--data-root goes with --dataset; leave it out beside TRACKLETS")
        own, name = tracklets is not None, dataset or "folder"
        root = tracklets or data_root or Path("data") / name
        subset, cache = subset or ("all" if own else "test"), cache or default_cache(name, root)
        return function(footage=Footage(own, name, root, split, frame_list, subset, cache), **rest)

    return wrapped
