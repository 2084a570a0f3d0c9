"""`keyreid fit-pose`: train a small pose network on walkers."""

from pathlib import Path

import click


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/fit-pose"),
    show_default=True,
    help="Folder for NAME.safetensors and NAME.json.",
)
@click.option(
    "--estimator", help="Name of configs/pose/NAME.yaml, or path of such a file.  [default: walkers]"
)
@click.option(
    "--start",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Weights to go on from, made by this command.",
)
@click.option("--seed", type=click.IntRange(0), help="Of walkers, weights and augmentation.  [default: 1000]")
@click.option("--steps", type=click.IntRange(1), help="Optimiser steps.  [default: 2400]")
@click.option("--frames", type=click.IntRange(48), help="Frames of walkers for training.  [default: 9600]")
@click.option(
    "--held-out", type=click.IntRange(48), help="Frames of other walkers to score on.  [default: 480]"
)
@click.option("--batch-size", type=click.IntRange(2), help="Frames per step.  [default: 32]")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Peak rate.  [default: 0.002]")
@click.option("--warmup", type=click.IntRange(0), help="Steps of linear warm-up.  [default: 60]")
@click.option("--workers", type=click.IntRange(1), help="Processes that draw walkers.  [default: 2]")
@click.option("--threads", type=click.IntRange(1), help="Threads of the network.  [default: 1]")
def command(out: Path, **values) -> None:
    """Train the small HRNet for walkers and score it on walkers it has not seen.

    Walkers are drawn in memory: persons, views, light and boxes of greater variety than a data set has.
    Writes the weights and, beside them, the command, seed, versions and PCK that belong to them.
    Use them with `keyreid extract-poses --weights OUT/walkers.safetensors`, or ship them by copying
    both files into configs/pose/.
    """
    import json

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from stages.pose import fit

    config = fit.FitConfig(**{name: value for name, value in values.items() if value is not None})
    about = TextColumn("loss {task.fields[loss]:.6f}  {task.fields[rate]:.0f} ms/step")
    counted = (MofNCompleteColumn(), about, TimeRemainingColumn())
    with Progress(TextColumn("fit-pose"), BarColumn(), *counted) as bar:
        task = bar.add_task("steps", total=config.steps, loss=float("nan"), rate=0.0)

        def show(step: int, loss: float, seconds: float) -> None:
            bar.update(task, completed=step, loss=loss, rate=1e3 * seconds)
            if not bar.console.is_terminal and step % 100 == 0:  # a log keeps a line now and then
                click.echo(f"step {step}: loss {loss:.6f}, {1e3 * seconds:.0f} ms/step")

        path = fit.run(config, out, show, bar.console.print)
    record = json.loads(path.with_suffix(".json").read_text())
    share, frames = record["pck_0.05_held_out"], record["held_out_frames"]
    click.echo(f"PCK at 0.05 of the frame height: {share:.4f} on {frames} frames of other walkers")
    click.echo(f"weights: {path} ({record['weights_bytes'] / 2**20:.1f} MiB)")
