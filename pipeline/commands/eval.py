"""`keyreid eval`: stage two, evaluation."""

from pathlib import Path

import click

from pipeline.config import Recipe
from pipeline.options import (
    PATH,
    Inputs,
    check_network,
    load_inputs,
    output_option,
    recipe_options,
    renamed,
    run_option,
    runs_option,
)
from pipeline.settings import setting

WEIGHTS = ("model", "ema", "last", "best")


@click.command("eval")
@recipe_options
@run_option(
    "Run folder, or its .safetensors file. Default: the newest of the data set. "
    "Several (one per split): their mean as well.",
    multiple=True,
)
@click.option(
    "--embeddings",
    type=PATH,
    multiple=True,
    help="Score an embeddings file again, without a network. Several: their mean as well.",
)
@click.option(
    "--weights",
    type=click.Choice(WEIGHTS),
    help="Score these of the run alone. Default: its model; beside it the last weights, or their average.",
)
@click.option("--baselines", is_flag=True, help="Score an untrained network and colour histograms as well.")
@setting(Recipe, "eval.rerank.enabled", "--rerank", help="k-reciprocal re-ranking.")
@setting(Recipe, "eval.distance", help="Default: the recipe's.")
@setting(Recipe, "eval.bootstrap", help="Resamples for 95 % intervals, e.g. 1000.")
@setting(Recipe, "eval.workers", help="Reading processes; does not change the result.")
@setting(Recipe, "eval.device", help="Default: CUDA where there is any.")
@click.option("--allow-other-poses", is_flag=True, help="Allow a pose cache other than the training one.")
@output_option("Default: RUN/eval (RUN/eval-WEIGHTS with --weights); rescored/ beside --embeddings.")
@runs_option
@renamed("--out", "-o/--output")
@renamed("--checkpoint", "--run")
def command(
    inputs: Inputs,
    run: tuple[Path, ...],
    embeddings: tuple[Path, ...],
    weights: str | None,
    baselines: bool,
    allow_other_poses: bool,
    output: Path | None,
    runs: Path,
) -> None:
    """Embed the test tracklets, rank them, score the ranking, draw pictures.

    Writes metrics.json, queries.csv, ranking.json, embeddings.npz and pictures; prints the scores under
    every protocol of the data set, and one line that says which network, split and protocol they are of.
    """
    from pipeline import evaluation
    from pipeline import runs as folders

    if run and embeddings:
        raise click.UsageError("give one of --run and --embeddings")
    extras = {"baselines": baselines, "other_poses": allow_other_poses}
    reports = []
    if embeddings:
        for number, path in enumerate(embeddings):
            target = path.parent / "rescored"
            if output:
                target = output / f"{number:02d}" if len(embeddings) > 1 else output
            reports.append(evaluation.score_file(path, inputs, target))
        evaluation.tell(reports, output)
        return
    chosen = run or (folders.newest_run(inputs.recipe.dataset.name, runs),)
    jobs = [evaluation.job_of(path, weights, inputs) for path in chosen]
    for job in jobs:  # all of them before the first is embedded
        check_network(job.inputs, job.weights)
    for job in jobs:
        target = job.output
        if output:
            target = output / job.name if len(jobs) > 1 else output
        reports.append(
            evaluation.evaluate(
                job.weights, job.inputs, load_inputs(job.inputs), target, runs, beside=job.beside, **extras
            )
        )
    evaluation.tell(reports, output or (run[-1] if run else None))
