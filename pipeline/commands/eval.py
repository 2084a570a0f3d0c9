"""`keyreid eval`: stage two, evaluation."""

from pathlib import Path

import click

from pipeline.options import Inputs, check_network, load_inputs, recipe_options

WEIGHTS = ("model", "ema", "last", "best")


@click.command("eval")
@recipe_options
@click.option(
    "--run",
    "runs_given",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Run folder. Default: the newest of the data set. Several (one per split): their mean as well.",
)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="A .safetensors file instead of a run.")
@click.option(
    "--embeddings",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Score an embeddings.npz again, without a network. Several: their mean as well.",
)
@click.option(
    "--weights",
    type=click.Choice(WEIGHTS),
    help="Score these of the run alone. Default: its model; beside it the last weights, or their average.",
)
@click.option("--baselines", is_flag=True, help="Score an untrained network and colour histograms as well.")
@click.option("--rerank", is_flag=True, help="k-reciprocal re-ranking.")
@click.option(
    "--distance", type=click.Choice(["euclidean", "cosine", "visible"]), help="Default: the recipe's."
)
@click.option("--bootstrap", type=click.IntRange(0), help="Resamples for 95 % intervals, e.g. 1000.")
@click.option("--workers", type=click.IntRange(0), help="Reading processes; does not change the result.")
@click.option("--allow-other-poses", is_flag=True, help="Although the network was trained with other poses.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Default: RUN/eval (RUN/eval-WEIGHTS with --weights); rescored/ beside --embeddings.",
)
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="All runs."
)
def command(
    inputs: Inputs,
    runs_given: tuple[Path, ...],
    checkpoint: Path | None,
    embeddings: tuple[Path, ...],
    weights: str | None,
    baselines: bool,
    rerank: bool,
    distance: str | None,
    bootstrap: int | None,
    workers: int | None,
    allow_other_poses: bool,
    out: Path | None,
    runs: Path,
) -> None:
    """Embed the test tracklets, rank them, score the ranking, draw pictures.

    Writes metrics.json, queries.csv, ranking.json, embeddings.npz and pictures; prints the scores under
    every protocol of the data set, and one line that says which network, split and protocol they are of.
    """
    from pipeline import evaluation
    from pipeline import runs as folders

    changes = {
        "eval.rerank.enabled": rerank or None,
        "eval.distance": distance,
        "eval.bootstrap": bootstrap,
        "eval.workers": workers,
    }
    if sum(map(bool, (runs_given, checkpoint, embeddings))) > 1:
        raise click.UsageError("give one of --run, --checkpoint and --embeddings")
    extras = {"baselines": baselines, "other_poses": allow_other_poses}
    if embeddings:
        reports = []
        for number, path in enumerate(embeddings):
            target = out / f"{number:02d}" if out and len(embeddings) > 1 else out or path.parent / "rescored"
            reports.append(evaluation.score_file(path, inputs, changes, target))
    elif checkpoint is not None:
        jobs = inputs.changed(changes)
        check_network(jobs, checkpoint)
        reports = [evaluation.evaluate(checkpoint, jobs, load_inputs(jobs), out, runs, **extras)]
    else:
        chosen = runs_given or (folders.newest_run(inputs.recipe.dataset.name, runs),)
        files = [run / f"{weights or 'model'}.safetensors" for run in chosen]
        for run, file in zip(chosen, files, strict=True):  # all of them before the first is embedded
            check_network(folders.inputs_of(run, inputs), file)
        reports = []
        for run, file in zip(chosen, files, strict=True):
            jobs = folders.inputs_of(run, inputs).changed(changes)
            own = run / ("eval" if weights in (None, "model") else f"eval-{weights}")
            target = out / run.name if out and len(runs_given) > 1 else out or own
            beside = evaluation.weights_beside(run) if weights is None else ()
            reports.append(
                evaluation.evaluate(file, jobs, load_inputs(jobs), target, runs, beside=beside, **extras)
            )
    evaluation.tell(reports, out or (runs_given[-1] if runs_given else None))
