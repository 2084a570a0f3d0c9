"""The recipe: one YAML file in configs/ holds everything that a data set's stages need."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cache.errors import KeyReIDError
from pipeline.recipe_file import Override, load, parse_override
from stages.config import StrictModel
from stages.pose.config import PoseConfig
from stages.reid.model.config import ModelConfig
from stages.reid.scoring.config import EvalConfig
from stages.reid.training.config import TrainConfig

if TYPE_CHECKING:
    from stages.datasets.tracklet import Dataset

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


class DatasetConfig(StrictModel):
    """Which data set, and where."""

    name: str = Field(description="what stages.datasets.load_dataset calls it")
    root: Path | None = Field(None, description="data root; default data/<name>")
    split: int | None = Field(None, ge=0, description="which official split, for sets with several")
    tracklets: Literal["image", "sequence"] | None = Field(
        None,
        description="market1501, cuhk03: every image is a tracklet of one frame, as in the official protocol "
        "(image, the default), or the images of a person in one camera and sequence are one",
    )
    boxes: Literal["labeled", "detected"] | None = Field(
        None, description="cuhk03: boxes drawn by hand (labeled, the default) or by a detector"
    )
    list: Path | None = Field(
        None, description="folder: CSV list of frames in the data root; default frames.csv, or the only .csv"
    )

    def load(self, root: Path, check_files: bool = True) -> "Dataset":
        """The data set in `root`, read as these settings say. Raises KeyReIDError as `load_dataset` does."""
        from stages.datasets import load_dataset

        return load_dataset(
            self.name,
            root,
            split=self.split,
            check_files=check_files,
            tracklets=self.tracklets,
            boxes=self.boxes,
            frame_list=self.list,
        )


class Recipe(StrictModel):
    """All stages of one data set. Sections are documented where they are used."""

    name: str = Field("default", pattern=r"^[A-Za-z0-9._-]+$", description="goes into the run folder's name")
    start_weights: str | None = Field(
        None, description="weights file that the recipe is meant to start from; training without one warns"
    )
    dataset: DatasetConfig
    cache: Path | None = Field(None, description="folder of the pose cache; default poses/<dataset>")
    pose: PoseConfig = Field(default_factory=PoseConfig, description="stage one")
    model: ModelConfig = Field(default_factory=ModelConfig, description="the network of stage two")
    train: TrainConfig = Field(default_factory=TrainConfig, description="training")
    eval: EvalConfig = Field(default_factory=EvalConfig, description="evaluation")


def recipe_path(dataset: str | None, config: Path | None) -> Path:
    """`--config FILE`, or the recipe in configs/ named after the data set."""
    if config is not None:
        return config
    path = CONFIGS / f"{dataset}.yaml"
    if dataset is None or Path(dataset).name != dataset or not path.is_file():
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.yaml") if p.stem != "ablation"))
        raise KeyReIDError(
            f"--dataset {dataset}: no recipe of that name; known: {known}; or give --config FILE"
        )
    return path


def load_recipe(
    dataset: str | None, config: Path | None = None, overrides: Iterable[Override | str] = ()
) -> Recipe:
    """Read and check a recipe. overrides: a text is read as `--set` reads it.

    Raises KeyReIDError that names file or option, key, value and what is allowed.
    """
    given = [parse_override(o) if isinstance(o, str) else o for o in overrides]
    return load(Recipe, recipe_path(dataset, config), given)
