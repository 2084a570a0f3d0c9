"""Runs the evaluation stage for `keyreid eval` and prints its tables."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.files import make_folder, sha256_of, write_whole
from pipeline import runs as folders
from pipeline.options import Inputs, load_inputs
from pipeline.progress import progress_bars
from stages.reid import evaluate as stage
from stages.reid.scoring.embeddings import TestSet
from stages.reid.scoring.tables import over_splits, score_table
from stages.reid.search.gallery import gallery_files
from stages.terminal import say, show


@dataclass(frozen=True)
class Job:
    """One evaluation: weights, their config, other weights of the run to score as well, where it goes.

    folder: None for a new run folder.
    """

    name: str
    weights: Path
    inputs: Inputs
    beside: Sequence[str] = ()
    folder: Path | None = None

    def target(self, output: Path | None, jobs: int) -> Path | None:
        """Where this one of several goes; output: what the user named."""
        if output is None:
            return self.folder
        return output / self.name if jobs > 1 else output


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


def weights_beside(run: Path) -> list[str]:
    """Of a finished run, the weights that its model is not, where it keeps an average of its weights."""
    if not (run / "ema.safetensors").is_file():
        return []  # its model is its last weights, or the best of them
    model = run / "model.safetensors"
    kept = [name for name in stage.BESIDE if (run / f"{name}.safetensors").is_file()]
    return [name for name in kept if sha256_of(run / f"{name}.safetensors") != sha256_of(model)]


def evaluate(
    job: Job, folder: Path | None, runs: Path, *, baselines: bool, other_poses: bool
) -> dict[str, Any]:
    """Evaluate; returns the report."""
    inputs = job.inputs
    with progress_bars("batches") as progress:
        made = stage.run(
            inputs.recipe.eval,
            job.weights,
            load_inputs(inputs),
            PoseCache.open(inputs.cache),
            folder or (lambda: folders.new_run(inputs, runs)),
            beside=job.beside,
            baselines=baselines,
            other_poses=other_poses,
            seed=inputs.recipe.train.seed,
            progress=progress,
        )
    return stage.read_report(made, job.weights)


def score_files(paths: Sequence[Path], inputs: Inputs, output: Path | None) -> list[dict[str, Any]]:
    """Score files of embeddings again; those of a run as its own config says. paths: files or patterns."""
    reports = []
    files = [path for given in paths for path, _ in gallery_files(given)]
    for number, path in enumerate(files):
        folder = path.parent / "rescored"
        if output is not None:
            folder = output / f"{number:02d}" if len(files) > 1 else output
        run = path.parent.parent
        used = folders.inputs_of(run, inputs) if (run / folders.CONFIG).is_file() else inputs
        reports.append(stage.score(TestSet.load(path), used.recipe.eval, folder))
    return reports


def show_reports(reports: list[dict[str, Any]], out: Path | None = None) -> None:
    """Print tables, the line of each report, their mean, and where the pictures are.

    out: where the mean and deviation over several reports are kept, as splits.json.
    """
    for report in reports:
        rows = _rows(report, report.get("beside", {})) | report.get("baselines", {})
        if len(rows) > 1:
            show(score_table(rows, first="", title=f"Protocol {report['headline']}"))
        show(score_table(report["protocols"], title="All protocols" if len(rows) > 1 else None))
        say(report["line"])
    if len(reports) > 1:
        mean = over_splits(reports)
        if out is not None:
            make_folder(out)
            write_whole(out / "splits.json", json.dumps(mean, indent=1).encode())
        show(score_table(mean["protocols"], title=f"Mean of {len(reports)}"))
        common = [
            name for name in stage.BESIDE if all(name in report.get("beside", {}) for report in reports)
        ]
        if common:
            others = {name: over_splits([report["beside"][name] for report in reports]) for name in common}
            title = f"Mean of {len(reports)}, protocol {mean['headline']}"
            show(score_table(_rows(mean, others), first="", title=title))
        say(mean["line"])
    pictures = [picture for report in reports for picture in report.get("pictures", ())]
    if pictures:
        say("Pictures to look at:")
    for picture in pictures:
        say(f"  {picture}")
    for report in reports:
        if report.get("report"):
            say(f"Report: {report['report']}")


def _rows(report: dict[str, Any], beside: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A table's rows: the network, and other weights of its run."""
    others = {stage.BESIDE[name]: stage.headline_of(other) for name, other in beside.items()}
    return {"trained network": stage.headline_of(report), **others}
