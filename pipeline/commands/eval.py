"""`keyreid eval`: stage two, evaluation."""

from pathlib import Path

import click

from pipeline.config import Recipe
from pipeline.options import (
    PATH,
    Inputs,
    check_network,
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
@setting(Recipe, "eval.precision", help="Number format of the network. Default: auto.")
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

    Writes metrics.json, queries.csv, ranking.json, embeddings.h5 and pictures; prints the scores under
    every protocol of the data set, and one line that says which network, split and protocol they are of.
    """
    from pipeline import evaluation
    from pipeline.runs import newest_run

    if run and embeddings:
        raise click.UsageError("give one of --run and --embeddings")
    if embeddings:
        reports = evaluation.score_files(embeddings, inputs, output)
    else:
        chosen = run or (newest_run(inputs.recipe.dataset.name, runs),)
        jobs = [evaluation.job_of(path, weights, inputs) for path in chosen]
        for job in jobs:  # all of them before the first is embedded
            check_network(job.inputs, job.weights)
        extras = {"baselines": baselines, "other_poses": allow_other_poses}
        reports = [evaluation.evaluate(job, job.target(output, len(jobs)), runs, **extras) for job in jobs]
    evaluation.show_reports(reports, output or (run[-1] if run else None))
