"""`keyreid fit-pose`: train a small pose network on walkers, or on photographs with keypoints."""

from pathlib import Path

import click

from pipeline.options import output_option, renamed
from pipeline.settings import config_options, settings
from stages.pose.fit_config import FitConfig
from stages.terminal import console, progress, say

SETTINGS = (
    *("estimator", "start", "seed", "steps", "frames", "held_out", "batch_size", "learning_rate", "warmup"),
    *("keypoints", "dataset", "data_root", "split", "boxes", "list", "seen_score", "hidden_score"),
    *("workers", "threads", "device"),
)


@click.command()
@output_option("Folder for NAME.safetensors and NAME.json.", default=Path("runs/fit-pose"), show_default=True)
@config_options(FitConfig)
@settings(FitConfig, *SETTINGS)
@renamed("--out", "-o/--output")
def command(output: Path, config: FitConfig) -> None:
    """Train the small HRNet for walkers and score it on walkers it has not seen.

    Walkers are drawn in memory: persons, views, light and boxes of greater variety than a data set has.
    With --keypoints it learns from the data set's training frames instead, and is scored on frames of its
    test persons. Writes the weights and, beside them, the command, seed, versions and PCK that belong to
    them. Use them with `keyreid extract-poses --pose-weights OUTPUT/walkers.safetensors`, or ship them by
    copying both files into configs/pose/.
    """
    import json

    from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn

    from stages.pose import fit

    about = "loss {task.fields[loss]:.6f}  {task.fields[rate]:.0f} ms/step"
    counted = (MofNCompleteColumn(), about, TimeRemainingColumn())
    disable = not console(error=True).is_terminal
    with progress("fit-pose", BarColumn(), *counted, disable=disable) as bar:
        task = bar.add_task("steps", total=config.steps, loss=float("nan"), rate=0.0)

        def show(step: int, loss: float, seconds: float) -> None:
            bar.update(task, completed=step, loss=loss, rate=1e3 * seconds)
            if disable and step % 100 == 0:  # a log keeps a line now and then
                say(f"step {step}: loss {loss:.6f}, {1e3 * seconds:.0f} ms/step")

        path = fit.run(config, output, show, say)
    record = json.loads(path.with_suffix(".json").read_text())
    fine, coarse = record["pck_0.05_held_out"], record["pck_0.1_held_out"]
    frames, whom = record["held_out_frames"], "walkers" if config.keypoints is None else "persons"
    say(f"PCK at 0.05 of the frame height: {fine:.4f} on {frames} frames of other {whom}")
    say(f"PCK at 0.1: {coarse:.4f}")
    say(f"weights: {path} ({record['weights_bytes'] / 2**20:.1f} MiB)")
