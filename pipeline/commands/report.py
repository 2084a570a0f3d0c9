"""`keyreid report`: one HTML file about an evaluated run."""

from pathlib import Path

import click

from pipeline.options import (
    Inputs,
    check_network,
    device_option,
    load_inputs,
    output_option,
    recipe_options,
    renamed,
    run_option,
    runs_option,
    typed_keys,
)
from pipeline.settings import config_options, setting
from stages.report.config import ReportConfig
from stages.terminal import say


@click.command()
@run_option("An evaluated run's folder, or that of an evaluation. Default: the newest run of the data set.")
@config_options(ReportConfig, "shown")
@recipe_options
@setting(ReportConfig, "queries", help="Best queries shown, and as many worst.")
@device_option()
@click.option("--no-pictures", is_flag=True, help="Leave out frames, part maps and attention: needs no data.")
@output_option("The file. Default: RUN/report.html.")
@runs_option
@renamed("RUN", "--run RUN")
@renamed("--out", "-o/--output")
def command(
    inputs: Inputs,
    run: Path | None,
    shown: ReportConfig,
    device: str,
    no_pictures: bool,
    output: Path | None,
    runs: Path,
) -> None:
    """Write RUN/report.html: scores, curves, best and worst queries, failures, config.

    The file holds everything, pictures too: it needs no server and no network.
    """
    from cache import PoseCache
    from pipeline import runs as folders
    from stages.device import find_device
    from stages.report import build
    from stages.report.contents import checkpoint_of, evaluation_of, read_contents

    run = run or folders.newest_run(inputs.recipe.dataset.name, runs)
    evaluation_of(run)  # before the data set is read
    if typed_keys(inputs.given, "model"):
        check_network(inputs, checkpoint_of(read_contents(run)))
    source = None
    if not no_pictures:
        inputs = folders.inputs_of(run, inputs)
        source = build.Source(load_inputs(inputs), PoseCache.open(inputs.cache), find_device(device))
    say(f"report: {build.run(run, source, shown, output)}")
