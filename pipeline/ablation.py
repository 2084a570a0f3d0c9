"""Ablation: variants of a recipe, several seeds each, scored on clean and on occluded queries apart."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from matplotlib.figure import Figure
from pydantic import Field, field_validator

from cache import PoseCache
from cache.border import reading
from cache.files import write_whole
from cache.text_files import load_json, load_record
from pipeline.config import CONFIGS, Recipe, load_recipe
from pipeline.progress import progress_bar
from pipeline.recipe_file import load
from stages.config import StrictModel
from stages.datasets.tracklet import Dataset
from stages.datasets.walkers.occlusion import Occlusion
from stages.figure_file import save_figure
from stages.interrupts import workers_unaware
from stages.reid.scoring.statistics import Mixed, difference_over_seeds

PROTOCOL = "queries-kept"  # rectangular AP with the queries in the gallery
RESULT = "result.json"
SCORES = ("mAP", "rank1")
SECONDS = "seconds"  # of a training, without scoring


class AblationConfig(StrictModel):
    """Which variants of which recipe."""

    recipe: str = Field(description="name of a recipe in configs/")
    seeds: list[int] = Field(min_length=1, description="every variant is trained with each")
    set: list[str] = Field(default_factory=list, description="overrides for all variants, KEY=VALUE")
    variants: dict[str, list[str]] = Field(min_length=1, description="name: overrides, KEY=VALUE")

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, value: list[int]) -> list[int]:
        if twice := sorted({seed for seed in value if value.count(seed) > 1}):
            raise ValueError(f"seed {twice[0]} is listed twice: it would count twice in the mean")
        return value


@dataclass(frozen=True)
class Job:
    """One training: variant and seed, its checked recipe, and the folder that its result goes to."""

    variant: str
    seed: int
    recipe: Recipe
    folder: Path
    fingerprint: str


def read_config(path: Path | None) -> AblationConfig:
    """configs/ablation.yaml, or another file of that kind."""
    return load(AblationConfig, path or CONFIGS / "ablation.yaml")


def plan(config: AblationConfig, cache: PoseCache, root: Path, out: Path) -> list[Job]:
    """All jobs, every recipe and the data set's occluders checked before the first one runs."""
    Occlusion(root)
    jobs = []
    for number, (variant, overrides) in enumerate(config.variants.items()):
        for seed in config.seeds:
            recipe = load_recipe(config.recipe, None, [*config.set, *overrides, f"train.seed={seed}"])
            content = {"recipe": recipe.model_dump(mode="json"), "poses": cache.info.fingerprint}
            digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
            slug = "".join(c if c.isalnum() else "-" for c in variant).strip("-")
            jobs.append(Job(variant, seed, recipe, out / f"{number:02d}-{slug}" / f"seed-{seed}", digest))
    return jobs


def finished(job: Job) -> dict[str, Any] | None:
    """The result of a job that was done with this very recipe and cache, else None."""
    result = load_record(job.folder / RESULT)
    return result if result.get("fingerprint") == job.fingerprint else None


def run(
    jobs: Sequence[Job], root: Path, cache: Path, workers: int, threads: int, device: str = "auto"
) -> list[dict[str, Any]]:
    """Run missing jobs, `workers` trainings at a time; the results of all, in the order of jobs.

    device: auto, cpu or cuda, of trainings and scoring.
    """
    todo = [job for job in jobs if finished(job) is None]
    with workers_unaware(), progress_bar("ablation", "trainings") as report:
        report(len(jobs) - len(todo), len(jobs))
        calls = (delayed(_train_and_score)(job, root, cache, threads, device) for job in todo)
        done = Parallel(n_jobs=workers, return_as="generator_unordered")(calls)
        for count, _ in enumerate(done, start=len(jobs) - len(todo) + 1):
            report(count, len(jobs))
    return [finished(job) for job in jobs]


def _train_and_score(job: Job, root: Path, cache_folder: Path, threads: int, device: str) -> None:
    import shutil
    import time

    import torch

    from stages.reid import train

    torch.set_num_threads(threads)
    shutil.rmtree(job.folder, ignore_errors=True)  # what is there is unfinished, or of another recipe
    job.folder.mkdir(parents=True)
    recipe = job.recipe
    dataset, cache = recipe.dataset.load(root), PoseCache.open(cache_folder)
    start = time.monotonic()
    config = recipe.train.model_copy(update={"device": device})
    train.run(config, recipe.model, dataset, cache, job.folder, show_progress=False)
    seconds = time.monotonic() - start
    result = {
        "variant": job.variant,
        "seed": job.seed,
        **score(job, dataset, cache, device),
        "seconds": round(seconds, 1),
        "threads": threads,
        "fingerprint": job.fingerprint,
    }
    write_whole(job.folder / RESULT, json.dumps(result, indent=1).encode())


def score(job: Job, dataset: Dataset, cache: PoseCache, device: str = "cpu") -> dict[str, Any]:
    """Scores of a job's trained network.

    "scores": "all", "clean", "occluded" queries -> score -> value. "queries": columns with an entry per valid
    query: its name, its person, whether it is occluded, and its scores.
    """
    from stages.device import find_device
    from stages.reid import evaluate
    from stages.reid.scoring.embed_set import Checkpoint
    from stages.reid.scoring.protocols import PROTOCOLS
    from stages.reid.scoring.ranking import rank_protocols

    settings = job.recipe.eval.model_copy(update={"workers": 0, "device": device})
    tested = Checkpoint.load(job.folder / "model.safetensors", find_device(device))
    embeddings = evaluate.embed_dataset(tested, settings, dataset, cache, tested.extra["cameras"])
    [(ranked, _, _)] = rank_protocols(embeddings, [PROTOCOLS[PROTOCOL]], settings)
    rows = embeddings.query[ranked.valid]
    names = embeddings.names[rows].tolist()
    halves = Occlusion(dataset.root).halves(names)
    values = {"mAP": ranked.average_precision, "rank1": (ranked.first_rank == 1) * 1.0}
    scores = {}
    for half, mask in halves.items():
        means = {key: float(v[mask].mean()) for key, v in values.items()}
        scores[half] = {**means, "num_valid": int(mask.sum())}
    queries = {
        "query": names,
        "person": ranked.persons.tolist(),
        "occluded": halves.get("occluded", np.zeros(len(names), bool)).tolist(),
        **{key: v.tolist() for key, v in values.items()},
    }
    return {"scores": scores, "queries": queries}


def summary(results: Sequence[Mapping]) -> dict[str, dict[str, tuple[float, float]]]:
    """variant -> column -> (mean, sample standard deviation) over seeds.

    Columns are "all mAP" and the like, in percent, and the seconds of a training.
    """
    variants = dict.fromkeys(result["variant"] for result in results)
    table: dict[str, dict[str, tuple[float, float]]] = {}
    for variant in variants:
        mine = [result for result in results if result["variant"] == variant]
        table[variant] = {}
        for part in mine[0]["scores"]:
            for score in SCORES:
                values = [100 * result["scores"][part][score] for result in mine]
                table[variant][f"{part} {score}"] = _mean_and_spread(values)
        table[variant][SECONDS] = _mean_and_spread([result[SECONDS] for result in mine])
    return table


def against_first(results: Sequence[Mapping]) -> dict[str, dict[str, Mixed]]:
    """variant -> column -> its difference to the first variant, in percent, over the seeds that both have.

    Columns are "all mAP" and the like. Empty for results of versions that kept no scores by query.
    """
    by_job = {(r["variant"], r["seed"]): r["queries"] for r in results if "queries" in r}
    first = results[0]["variant"]
    table: dict[str, dict[str, Mixed]] = {}
    for variant in dict.fromkeys(variant for variant, _ in by_job if variant != first):
        pairs = [
            (by_job[first, s], q) for (v, s), q in by_job.items() if v == variant and (first, s) in by_job
        ]
        if pairs:
            queries = pairs[0][0]
            persons, occluded = np.array(queries["person"]), np.array(queries["occluded"], bool)
            halves = {"all": np.ones_like(occluded), "clean": ~occluded, "occluded": occluded}
            table[variant] = {}
            for score in SCORES:
                values = 100 * np.array([np.subtract(other[score], base[score]) for base, other in pairs])
                for half, rows in halves.items():
                    if rows.any():
                        difference = difference_over_seeds(values[:, rows], persons[rows])
                        table[variant][f"{half} {score}"] = difference
    return table


def differences_markdown(table: Mapping[str, Mapping[str, Mixed]], first: str) -> str:
    """The differences to the first variant as a Markdown table, "" without any."""
    if not table:
        return ""
    columns = [column for column in next(iter(table.values())) if column.endswith(" mAP")]
    lines = [f"| against {first} | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for variant, cells in table.items():
        shown = (
            f"{c.difference:+.1f} ({c.interval95[0]:+.1f} to {c.interval95[1]:+.1f}), p = {c.p:.3f}"
            for c in (cells[column] for column in columns)
        )
        lines.append(f"| {variant} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def from_json(path: Path) -> dict[str, dict[str, tuple[float, float]]]:
    """The summary of a table.json that the command wrote, recomputed from the results in it.
    Raises KeyReIDError for another kind of file.
    """
    with reading(path, "the table.json of keyreid ablation", "make it with keyreid ablation"):
        results = load_json(path)["results"]
        return summary([results[0], *results[1:]])


def markdown(table: Mapping[str, Mapping[str, tuple[float, float]]]) -> str:
    """The summary as a Markdown table; of the seconds, the mean alone."""
    columns = list(next(iter(table.values())))
    lines = ["| variant | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for variant, cells in table.items():
        shown = (
            f"{mean:.0f}" if column == SECONDS else f"{mean:.1f} ± {spread:.1f}"
            for column, (mean, spread) in cells.items()
        )
        lines.append(f"| {variant} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def plot(table: Mapping[str, Mapping[str, tuple[float, float]]], path: Path, title: str) -> None:
    """mAP on clean and on occluded queries, a row per variant, with standard deviation."""
    figure = Figure(figsize=(9, 0.5 * len(table) + 1.6))
    axis = figure.subplots()
    places = np.arange(len(table))[::-1]
    for offset, part, color, marker in ((0.14, "clean", "#2166ac", "o"), (-0.14, "occluded", "#b2182b", "s")):
        if any(f"{part} mAP" not in row for row in table.values()):
            continue
        cells = [row[f"{part} mAP"] for row in table.values()]
        means, spreads = np.array(cells).T
        axis.errorbar(means, places + offset, xerr=spreads, fmt=marker, color=color, capsize=3, label=part)
    axis.set_yticks(places, list(table))
    axis.set_xlabel("mAP in percent, mean and standard deviation over seeds")
    axis.grid(axis="x", alpha=0.3)
    axis.legend(title="queries")
    axis.set_title(title, fontsize=10)
    figure.tight_layout()
    save_figure(figure, path)
