"""What `keyreid eval` does: one checkpoint on one data set, its baselines, tables and pictures."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.files import make_folder, sha256_of, write_whole
from pipeline import runs as folders
from pipeline.options import Inputs
from pipeline.progress import progress_bar
from stages.datasets.tracklet import Dataset
from stages.device import find_device
from stages.reid import evaluate as stage
from stages.reid.data.loader import check_cache, naming_killed_workers, test_loader
from stages.reid.model import KeyReID
from stages.reid.model.weights import load_model
from stages.reid.scoring.baselines import stripe_histograms
from stages.reid.scoring.compare import QUERIES
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.illustrate import illustrate
from stages.reid.scoring.provenance import check_test, known_cameras
from stages.reid.scoring.tables import over_splits, score_table
from stages.report import build
from stages.report.contents import keep_baselines

log = logging.getLogger(__name__)
WEIGHTS = {"last": "its last weights", "ema": "its moving average"}  # of a run, and what tables call them


def evaluate(
    checkpoint: Path,
    inputs: Inputs,
    dataset: Dataset,
    folder: Path | None,
    runs: Path,
    *,
    beside: Iterable[str] = (),
    baselines: bool = False,
    other_poses: bool = False,
) -> dict[str, Any]:
    """Evaluate a checkpoint; write everything to folder (default: a new run) and return the report.

    beside: of WEIGHTS, those of the same run to score as well; their scores and ranking go to folder/NAME.
    """
    cache = PoseCache.open(inputs.cache)
    check_cache(cache, [f for t in dataset.test_tracklets() for f in t.frames])
    model, extra = load_model(checkpoint)
    check_test(extra, dataset, cache, other_poses)
    device = find_device(inputs.recipe.eval.device)
    model.to(device)
    cameras = known_cameras(extra, dataset, model.num_cameras)
    if not cameras:
        log.warning("%s knows no camera of %s: all count as unknown", checkpoint, dataset.name)
    folder = folder or folders.new_run(inputs, runs)
    make_folder(folder)
    config = inputs.recipe.eval

    def embed(network: KeyReID, what: str, path: Path | None = None) -> Embeddings:
        batches = test_loader(
            dataset.root,
            dataset.test_tracklets(),
            cache,
            network.config,
            network.pixel_mean,
            network.pixel_std,
            config.batch_size,
            config.workers,
            clip_stride=config.clip_stride,
            clip_cap=config.clip_cap,
            cameras=cameras,
        )
        about = {"checkpoint": path and str(path), "poses": cache.info.fingerprint}
        return stage.embed_dataset(network, shown(batches, what), dataset, config, **about)

    for name in WEIGHTS:  # nothing of an earlier evaluation beside this one
        for file in (stage.METRICS, QUERIES, "ranking.json", "embeddings.npz"):
            (folder / name / file).unlink(missing_ok=True)
    with naming_killed_workers():
        embeddings = embed(model, "embed", checkpoint)
    embeddings.save(folder / "embeddings.npz")
    report = stage.score(embeddings, config, folder)
    for name in beside:
        path = checkpoint.with_name(f"{name}.safetensors")
        network = load_model(path)[0].to(device)
        with naming_killed_workers():
            found = embed(network, f"embed {name}", path)
        make_folder(folder / name)
        found.save(folder / name / "embeddings.npz")
        report.setdefault("beside", {})[name] = stage.score(found, config, folder / name)
    if baselines:
        torch.manual_seed(inputs.recipe.train.seed)
        untrained = KeyReID(model.config, model.num_persons, model.num_cameras)
        plain = config.model_copy(update={"distance": "euclidean", "bootstrap": 0})
        report["baselines"] = {
            "untrained network": _headline(stage.score(embed(untrained, "embed untrained"), config)),
            "colour histograms": _headline(stage.score(_histograms(dataset), plain)),
        }
    keep_baselines(folder, report.get("baselines"))
    report["pictures"] = [str(p) for p in illustrate(folder, dataset, cache, model, checkpoint.parent)]
    run = checkpoint.parent if (checkpoint.parent / folders.CONFIG).is_file() else folder
    page = (run if folder == run / "eval" else folder) / build.NAME
    report["report"] = str(build.run(run, build.Source(dataset, cache), out=page, evaluation=folder))
    return report


def weights_beside(run: Path) -> list[str]:
    """Of WEIGHTS, those of a finished run that its model is not, where it keeps an average of its weights."""
    if not (run / "ema.safetensors").is_file():
        return []  # its model is its last weights, or the best of them
    model = run / "model.safetensors"
    kept = [name for name in WEIGHTS if (run / f"{name}.safetensors").is_file()]
    return [name for name in kept if sha256_of(run / f"{name}.safetensors") != sha256_of(model)]


@dataclass(frozen=True)
class Job:
    """One evaluation: weights, their config, those of the same run to score beside them, where it goes.

    output: None for a new run folder.
    """

    name: str
    weights: Path
    inputs: Inputs
    beside: Sequence[str] = ()
    output: Path | None = None


def job_of(path: Path, weights: str | None, inputs: Inputs) -> Job:
    """What `--run PATH` names: a run, with its own config, or a weights file."""
    if path.is_file():
        if weights is not None:
            raise KeyReIDError(
                f"--weights {weights}: {path} is a file of weights; give the folder of its run"
            )
        return Job(path.stem, path, inputs)
    own = path / ("eval" if weights in (None, "model") else f"eval-{weights}")
    beside = weights_beside(path) if weights is None else ()
    file = path / f"{weights or 'model'}.safetensors"
    return Job(path.name, file, folders.inputs_of(path, inputs), beside, own)


def score_file(path: Path, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """Score saved embeddings again; writes metrics.json, queries.csv and ranking.json to folder.

    Those of a run are scored as its own config says, but for what the command line gives.
    """
    run = path.parent.parent
    if (run / folders.CONFIG).is_file():
        inputs = folders.inputs_of(run, inputs)
    config = inputs.recipe.eval
    make_folder(folder)
    return stage.score(Embeddings.load(path), config, folder)


def tell(reports: list[dict[str, Any]], out: Path | None = None) -> None:
    """Print tables, the line of each report, their mean, and where the pictures are.

    out: where the mean and deviation over several reports are kept, as splits.json.
    """
    console = Console()
    for report in reports:
        rows = _rows(report, report.get("beside", {})) | report.get("baselines", {})
        if len(rows) > 1:
            console.print(score_table(rows, first="", title=f"Protocol {report['headline']}"))
        console.print(score_table(report["protocols"], title="All protocols" if len(rows) > 1 else None))
        console.print(report["line"], soft_wrap=True, highlight=False)
    if len(reports) > 1:
        mean = over_splits(reports)
        if out is not None:
            make_folder(out)
            write_whole(out / "splits.json", json.dumps(mean, indent=1).encode())
        console.print(score_table(mean["protocols"], title=f"Mean of {len(reports)}"))
        common = [name for name in WEIGHTS if all(name in report.get("beside", {}) for report in reports)]
        if common:
            others = {name: over_splits([report["beside"][name] for report in reports]) for name in common}
            title = f"Mean of {len(reports)}, protocol {mean['headline']}"
            console.print(score_table(_rows(mean, others), first="", title=title))
        console.print(mean["line"], soft_wrap=True, highlight=False)
    pictures = [picture for report in reports for picture in report.get("pictures", ())]
    if pictures:
        console.print("Pictures to look at:")
        for picture in pictures:
            console.print(f"  {picture}", soft_wrap=True, highlight=False)
    for report in reports:
        if "report" in report:
            console.print(f"Report: {report['report']}", soft_wrap=True, highlight=False)


def _rows(report: dict[str, Any], beside: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A table's rows: the network, and other weights of its run."""
    others = {WEIGHTS[name]: _headline(found) for name, found in beside.items()}
    return {"trained network": _headline(report), **others}


def _headline(report: dict[str, Any]) -> dict[str, Any]:
    return report["protocols"][report["headline"]]


def _histograms(dataset: Dataset) -> Embeddings:
    return stage.pack(dataset, stripe_histograms(dataset.root, dataset.test_tracklets()))


def shown(batches: Iterable, what: str) -> Iterator:
    """The batches, with a progress bar."""
    total = len(batches) if isinstance(batches, Sized) else 0
    with progress_bar(what, "batches") as report:
        for done, batch in enumerate(batches, start=1):
            yield batch
            report(done, total)
