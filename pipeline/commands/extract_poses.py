"""`keyreid extract-poses`: stage one."""

from pathlib import Path

import click

from pipeline.options import Inputs, load_inputs, recipe_options


@click.command()
@recipe_options
@click.option("--estimator", help="Pose network: a name in configs/pose/, or a YAML file of that kind.")
@click.option("--weights", type=click.Path(path_type=Path), help="Weights file instead of the estimator's.")
@click.option("--workers", type=click.IntRange(1), help="Local processes. Default: fill the cores.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the network per process. Default: 1.")
@click.option("--batch-size", type=click.IntRange(1), help="Frames per forward. Default: 32; GPU: 128.")
@click.option("--flip-test", is_flag=True, help="Average with the mirrored frame: twice the work.")
@click.option("--padding", type=click.FloatRange(1, 4), help="Margin factor around the frame.")
@click.option("--device", help="cpu, cuda, cuda:1, ... Default: cuda where there is one.")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Run the shards on this Dask cluster.")
@click.option(
    "--on-bad-frame",
    type=click.Choice(["stop", "zero"]),
    help="Unreadable frames: stop with their list (default), or give them zero heat.",
)
@click.option("--force", is_flag=True, help="Throw away a cache made otherwise, and redo all of it.")
def command(inputs: Inputs, **given) -> None:
    """Run the pose network over every frame and fill the pose cache.

    Safe to interrupt: the same command goes on where it stopped, after checking what is there.
    A complete and sound cache is left as it is.
    """
    from stages.pose.extract import run

    changes = {key: value for key, value in given.items() if value not in (None, False)}
    config = inputs.recipe.pose.model_copy(update=changes)
    run(load_inputs(inputs, check_files=False), config, inputs.cache)
