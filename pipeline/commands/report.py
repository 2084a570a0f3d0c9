"""`keyreid report`: one HTML file about an evaluated run."""

from pathlib import Path

import click

from pipeline.options import Inputs, check_network, load_inputs, recipe_options, typed_keys


@click.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@recipe_options
@click.option("--queries", type=click.IntRange(1, 200), help="Best queries shown, and as many worst.")
@click.option("--no-pictures", is_flag=True, help="Leave out frames, part maps and attention: needs no data.")
@click.option("--out", type=click.Path(path_type=Path), help="The file. Default: RUN/report.html.")
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="All runs."
)
def command(
    inputs: Inputs, run: Path | None, queries: int | None, no_pictures: bool, out: Path | None, runs: Path
) -> None:
    """Write RUN/report.html: scores, curves, best and worst queries, failures, config.

    RUN is an evaluated run's folder, or the folder of an evaluation; default: the newest run of the data
    set. The file holds everything, pictures too: it needs no server and no network.
    """
    from cache import PoseCache
    from pipeline import runs as folders
    from stages.report import build
    from stages.report.config import ReportConfig
    from stages.report.contents import checkpoint_of, evaluation_of, read_contents

    run = run or folders.newest_run(inputs.recipe.dataset.name, runs)
    evaluation_of(run)  # before the data set is read
    if typed_keys(inputs, "model"):
        check_network(inputs, checkpoint_of(read_contents(run)))
    source = None
    if not no_pictures:
        inputs = folders.inputs_of(run, inputs)
        source = build.Source(load_inputs(inputs), PoseCache.open(inputs.cache))
    config = ReportConfig() if queries is None else ReportConfig(queries=queries)
    click.echo(f"report: {build.run(run, source, config, out)}")
