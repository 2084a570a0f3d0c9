"""Evaluation: embed the test set, rank it under every protocol, write scores, rankings, pictures, a report.

`run` does all of it. `score` starts from embeddings, so that scoring can be repeated alone.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.files import make_folder
from stages.datasets.tracklet import Dataset
from stages.device import find_device
from stages.precision import converted, name_of
from stages.reid.data.loader import check_cache
from stages.reid.model import KeyReID
from stages.reid.scoring.baselines import stripe_histograms
from stages.reid.scoring.config import EvalConfig, RerankConfig
from stages.reid.scoring.embed_set import Checkpoint, Progress, embed_set, pose_record, silent
from stages.reid.scoring.embeddings import TestSet
from stages.reid.scoring.named_rows import of_tracklets
from stages.reid.scoring.pictures import illustrate
from stages.reid.scoring.provenance import check_test, known_cameras
from stages.reid.scoring.score import FILES, METRICS, score
from stages.report import build
from stages.report.contents import BASELINES, keep_baselines

__all__ = ["EvalConfig", "RerankConfig", "check_tests", "embed_dataset", "read_report", "run", "score"]
EMBEDDINGS = "embeddings.h5"
BESIDE = {"last": "its last weights", "ema": "its moving average"}  # weights of a run, and their names
PICTURES = ("ranking.png", "part-maps.png", "loss-curve.png")


def run(
    config: EvalConfig,
    checkpoint: Path,
    dataset: Dataset,
    cache: PoseCache,
    folder: Path | Callable[[], Path],
    *,
    beside: Sequence[str] = (),
    baselines: bool = False,
    other_poses: bool = False,
    seed: int = 1,
    progress: Progress = silent,
) -> Path:
    """Evaluate a checkpoint on a data set; returns the folder, which then holds everything.

    folder: or a function that makes it, called once all inputs are checked. beside: of BESIDE, other
    weights of the same run, whose scores go to folder/NAME. baselines: score an untrained network, drawn
    from `seed`, and colour histograms as well. other_poses: allow a pose cache other than that of the
    training. Raises KeyReIDError, before the network runs, for inputs that do not fit together.
    """
    check_tests(dataset)
    check_cache(cache, [f for t in dataset.test_tracklets() for f in t.frames], dataset.root)
    device = find_device(config.device)
    tested = Checkpoint.load(checkpoint, device, config.precision)
    check_test(tested.extra, dataset, cache, other_poses)
    cameras = known_cameras(tested.extra, dataset, tested.model.num_cameras, cache, config.camera)
    config = config.model_copy(update={"camera": config.camera if cameras else "unknown"})
    folder = folder() if callable(folder) else folder
    # nothing of an earlier evaluation stays beside this one
    make_folder(folder)
    for place in (folder, *(folder / name for name in BESIDE)):
        for name in (METRICS, EMBEDDINGS, BASELINES, *FILES, *PICTURES):
            (place / name).unlink(missing_ok=True)

    embeddings = embed_dataset(tested, config, dataset, cache, cameras, progress, "embed")
    embeddings.save(folder / EMBEDDINGS)
    for name in beside:
        other = Checkpoint.load(checkpoint.with_name(f"{name}.safetensors"), device, config.precision)
        embedded = embed_dataset(other, config, dataset, cache, cameras, progress, f"embed {name}")
        embedded.save(folder / name / EMBEDDINGS)
        score(embedded, config, folder / name)
    if baselines:
        torch.manual_seed(seed)
        network = KeyReID(tested.model.config, tested.model.num_persons, tested.model.num_cameras)
        network = converted(network, name_of(tested.model)).to(device)
        untrained = Checkpoint(Path("untrained"), network, {}, "")
        embedded = embed_dataset(untrained, config, dataset, cache, cameras, progress, "embed untrained")
        plain = config.model_copy(update={"distance": "euclidean", "bootstrap": 0})
        reports = {
            "untrained network": score(embedded, config),
            "colour histograms": score(_histograms(dataset), plain),
        }
        keep_baselines(folder, {name: headline_of(report) for name, report in reports.items()})
    score(embeddings, config, folder)
    illustrate(folder, dataset, cache, tested.model, checkpoint.parent)
    build.run(_run_of(checkpoint, folder), build.Source(dataset, cache, device),
              out=page_of(checkpoint, folder), evaluation=folder)  # fmt: skip
    return folder


def embed_dataset(
    tested: Checkpoint,
    config: EvalConfig,
    dataset: Dataset,
    cache: PoseCache,
    cameras: Sequence[int],
    progress: Progress = silent,
    what: str = "embed",
) -> TestSet:
    """Embeddings of `dataset.test_tracklets()`. cameras: those that the network knows, in its order."""
    about = {
        "split": dataset.split,
        "reading": dataset.reading,
        "labelled": True,
        "checkpoint": tested.about(),
        "poses": pose_record(cache),
    }
    tracklets = dataset.test_tracklets()
    embeddings = embed_set(
        tested.model, config, dataset.root, tracklets, cache, cameras, dataset.name, about, progress, what
    )
    return TestSet.of(dataset, embeddings)


def check_tests(dataset: Dataset) -> None:
    """Raises KeyReIDError where there is nothing to evaluate."""
    if not dataset.query or not dataset.gallery:
        raise KeyReIDError(
            f"{dataset.root}: {dataset.name} has {len(dataset.query)} queries and {len(dataset.gallery)} "
            "gallery tracklets; expected some of both: nothing to evaluate"
        )


def read_report(folder: Path, checkpoint: Path | None = None) -> dict[str, Any]:
    """metrics.json of an evaluation, with what else was made beside it, as plain values.

    checkpoint: the weights that were evaluated. `beside`: reports of other weights of the run, by name.
    `baselines`: their figures. `pictures` and `report`: paths.
    """
    report = _json(folder / METRICS)
    report["beside"] = {n: _json(folder / n / METRICS) for n in BESIDE if (folder / n / METRICS).is_file()}
    report["baselines"] = _json(folder / BASELINES) if (folder / BASELINES).is_file() else {}
    report["pictures"] = [folder / name for name in PICTURES if (folder / name).is_file()]
    report["report"] = page_of(checkpoint, folder) if checkpoint else None
    return report


def headline_of(report: dict[str, Any]) -> dict[str, Any]:
    """The figures under the first protocol."""
    return report["protocols"][report["headline"]]


def page_of(checkpoint: Path, folder: Path) -> Path:
    """Where the report of an evaluation is: in the run, where `folder` is its eval/, else in `folder`."""
    run_dir = _run_of(checkpoint, folder)
    return (run_dir if folder == run_dir / "eval" else folder) / build.NAME


def _run_of(checkpoint: Path, folder: Path) -> Path:
    return checkpoint.parent if (checkpoint.parent / "config.yaml").is_file() else folder


def _histograms(dataset: Dataset) -> TestSet:
    features = stripe_histograms(dataset.root, dataset.test_tracklets())
    about = {"dataset": dataset.name, "split": dataset.split}
    made = of_tracklets(dataset.test_tracklets(), features, dataset.name, dataset.root, about=about)
    return TestSet.of(dataset, made)


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
