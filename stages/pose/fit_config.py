"""How a small pose network is trained, on walkers or on photographs."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from stages.config import StrictModel


class FitConfig(StrictModel):
    """How a pose network is fitted. Same values, threads and versions: same weights."""

    estimator: str = Field("walkers", description="Name of configs/pose/NAME.yaml, or path of such a file.")
    seed: int = Field(1000, ge=0, lt=2**31, description="Of walkers, weights and augmentation.")
    frames: int = Field(
        9600, ge=48, description="Frames for training: walkers drawn, or photographs at most."
    )
    held_out: int = Field(480, ge=48, description="Frames of other persons to score on.")
    keypoints: Path | None = Field(
        None,
        description="Learn from these keypoints of a data set's frames (a file that import-poses reads).",
    )
    dataset: str | None = Field(None, description="With --keypoints: the data set that they belong to.")
    data_root: Path | None = Field(None, description="With --keypoints: its data root.")
    split: int | None = Field(None, ge=0, description="With --keypoints: its split, if it has several.")
    boxes: Literal["labeled", "detected"] | None = Field(
        None, description="With --keypoints: of cuhk03, boxes drawn by hand (the default) or by a detector."
    )
    list: Path | None = Field(None, description="With --keypoints: of folder, the CSV list of its frames.")
    seen_score: float = Field(0.3, ge=0, description="With --keypoints: joints of this score are learnt.")
    hidden_score: float = Field(
        0.1, ge=0, description="With --keypoints: below, no heat is asked for; between the two, nothing."
    )
    start: Path | None = Field(None, description="Weights to start from; None: drawn from the seed.")
    steps: int = Field(2400, ge=1, description="Optimiser steps.")
    batch_size: int = Field(32, ge=2, description="Frames per step.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak of AdamW's rate; cosine to 0 after warm-up.")
    warmup: int = Field(60, ge=0, description="Steps of linear warm-up.")
    weight_decay: float = Field(1e-4, ge=0, description="Of AdamW.")
    hidden_weight: float = Field(
        0.5, ge=0, le=1, description="Loss weight of joints that cannot be seen: no heat is wanted there."
    )
    workers: int = Field(2, ge=1, le=4096, description="Processes that draw walkers.")
    threads: int = Field(1, ge=1, le=4096, description="Threads of the network.")
    device: str = Field("cpu", description="cpu, cuda, cuda:1, ...; auto: cuda where there is one.")
