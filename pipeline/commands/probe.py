"""`keyreid probe`: what a trained network loses when its heat, attention or patches are replaced."""

import json
from pathlib import Path

import click

from pipeline.config import Recipe
from pipeline.options import (
    Inputs,
    check_network,
    load_inputs,
    output_option,
    recipe_options,
    run_option,
    runs_option,
)
from pipeline.settings import config_options, setting
from stages.reid.probing.config import ProbeConfig
from stages.terminal import say


@click.command("probe")
@run_option("Run folder, or its .safetensors file. Default: the newest of the data set.")
@config_options(ProbeConfig, "probe")
@recipe_options
@setting(ProbeConfig, "protocol", help="Default: queries-kept, or the data set's only one.")
@setting(ProbeConfig, "resamples")
@setting(ProbeConfig, "seed")
@setting(Recipe, "eval.device", help="Default: CUDA where there is any.")
@click.option("--allow-other-poses", is_flag=True, help="Allow a pose cache other than the training one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@output_option("Default: RUN/probe.")
@runs_option
def command(
    inputs: Inputs,
    run: Path | None,
    probe: ProbeConfig,
    allow_other_poses: bool,
    as_json: bool,
    output: Path | None,
    runs: Path,
) -> None:
    """Evaluate a trained network again with one input or mechanism replaced at a time.

    Its heat: all ones, none, another part's, left and right swapped, another clip's, shifted by 1 to
    4 cells, moved at random as bad poses would. Its temporal attention: uniform. Its patches: kept at
    random. Each with the queries alone changed and with both sides changed; the change of mAP and Rank-1
    with 95 % intervals and p-values by persons, for clean and occluded queries where walkers.json says it.

    Writes probe.json and probe.png to RUN/probe; the next report of the run shows them.
    """
    from pipeline import evaluation, probing
    from pipeline import runs as folders

    path = run or folders.newest_run(inputs.recipe.dataset.name, runs)
    job = evaluation.job_of(path, None, inputs)
    check_network(job.inputs, job.weights)
    folder = output or job.weights.parent / "probe"
    report = probing.probe(job.weights, job.inputs, load_inputs(job.inputs), probe, folder, allow_other_poses)
    if as_json:
        say(json.dumps(report, indent=1))
        return
    probing.tell(report)
    say(f"{folder / 'probe.json'}, {folder / 'probe.png'}")
