"""`keyreid extract-poses`: stage one."""

import click

from pipeline.config import Recipe
from pipeline.options import Inputs, load_inputs, recipe_options, renamed
from pipeline.settings import setting


@click.command()
@recipe_options
@setting(Recipe, "pose.estimator", help="Pose network: a name in configs/pose/, or a YAML file of that kind.")
@setting(Recipe, "pose.weights", "--pose-weights", help="Weights file instead of the estimator's.")
@setting(Recipe, "pose.workers", help="Local processes. Default: fill the cores.")
@setting(Recipe, "pose.threads", help="Threads of the network per process. Default: 1.")
@setting(Recipe, "pose.batch_size", help="Frames per forward. Default: 32; GPU: 128.")
@setting(Recipe, "pose.flip_test", help="Average with the mirrored frame: twice the work.")
@setting(Recipe, "pose.padding", help="Margin factor around the frame.")
@setting(Recipe, "pose.precision", help="Number format of the network. Default: auto.")
@setting(Recipe, "pose.device", help="cpu, cuda, cuda:1, ... Default: cuda where there is one.")
@setting(Recipe, "pose.scheduler", metavar="tcp://HOST:PORT", help="Run the shards on this Dask cluster.")
@setting(
    Recipe,
    "pose.on_bad_frame",
    help="Unreadable frames: stop with their list (default), or give them zero heat.",
)
@setting(Recipe, "pose.force", help="Replace a cache that was made with different settings.")
@click.option(
    "--part", metavar="I/N", help="Make part I of N alone, beside the cache; then: keyreid cache merge."
)
@renamed("--weights", "--pose-weights")
def command(inputs: Inputs, part: str | None) -> None:
    """Run the pose network over every frame and fill the pose cache.

    Safe to interrupt: the same command continues where it stopped, after checking what exists.
    A complete and sound cache is left as it is.
    """
    from stages.pose.extract import run
    from stages.pose.parts import Share

    share = None if part is None else Share.parse(part)
    run(load_inputs(inputs, check_files=False), inputs.recipe.pose, inputs.cache, share)
