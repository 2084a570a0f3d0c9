"""`keyreid export`: the trained networks as ONNX files."""

from pathlib import Path
from typing import get_args

import click

from cache.errors import KeyReIDError
from cache.files import prepare_file
from pipeline.options import PATH, output_option, pose_config, renamed, run_option
from pipeline.recipe_file import Override
from pipeline.settings import overrides_options, setting
from stages.export.precision import Precision
from stages.pose.config import PoseConfig
from stages.terminal import say


@click.command()
@run_option(required=True)
@output_option("ONNX file to write.", required=True)
@click.option("--pose-output", type=PATH, help="Write the run's pose network, too, to this file.")
@click.option("--with-cameras", is_flag=True, help="The file takes the camera of each clip; -1: unknown.")
@click.option(
    "--precision", type=click.Choice(get_args(Precision)), default="fp32", show_default=True,
    help="Numbers in the file: fp16 for GPUs, int8 for CPUs (the pose network stays float32).",
)  # fmt: skip
@overrides_options(PoseConfig)
@setting(PoseConfig, "estimator", help="Pose network. Default: the one of the run.")
@setting(PoseConfig, "weights", "--pose-weights", help="Its weights file.")
@renamed("RUN", "--run RUN")
@renamed("--pose", "--pose-output")
def command(
    run: Path,
    output: Path,
    pose_output: Path | None,
    with_cameras: bool,
    precision: Precision,
    overrides: tuple[Override, ...],
) -> None:
    """Export the network of a run to ONNX, opset 18.

    Frames and part maps of clips in, embeddings out; no classifier. onnxruntime must agree with torch to
    1e-4 of the largest value, or nothing is written; then fewer bits are checked, too.
    examples/onnx_inference.py runs both files.
    """
    from stages.export import network, onnx_file
    from stages.export import pose as pose_export
    from stages.reid.embedder import checkpoint_file
    from stages.reid.model.weights import load_model

    onnx_file.import_onnx()
    file = checkpoint_file(run)
    if pose_output is not None and pose_output.resolve() == output.resolve():
        raise KeyReIDError(f"--pose-output {pose_output}: is the file of -o; give two names")
    config = pose_config(run, overrides)
    if pose_output is not None and config is None:
        raise KeyReIDError(f"{run}: no config.yaml names a pose network; give --estimator")
    for path in filter(None, (output, pose_output)):
        prepare_file(path)
    model, _ = load_model(file)
    difference = network.export(model, file, output, with_cameras, precision)
    _say(output, difference)
    if pose_output is not None:
        _say(pose_output, pose_export.export(config, pose_output, precision))


def _say(path: Path, difference: float) -> None:
    from stages.export.onnx_file import OPSET

    say(
        f"{path}: opset {OPSET}, {path.stat().st_size / 1e6:.1f} MB, onnxruntime and torch differ by at most "
        f"{difference:.1e} of the largest value"
    )
