"""`keyreid export`: the trained networks as ONNX files."""

from pathlib import Path

import click

from cache.errors import KeyReIDError

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="ONNX file to write.")
@click.option("--pose", type=PATH, help="Write the run's pose network, too, to this file.")
@click.option("--with-cameras", is_flag=True, help="The file takes the camera of each clip; -1: unknown.")
@click.option("--estimator", help="Pose network. Default: the one of the run.")
@click.option("--pose-weights", type=PATH, help="Its weights file.")
def command(
    run: Path,
    output: Path,
    pose: Path | None,
    with_cameras: bool,
    estimator: str | None,
    pose_weights: Path | None,
) -> None:
    """Export the network of RUN (a run folder or its .safetensors file) to ONNX, opset 18.

    Frames and part maps of clips in, embeddings out; no classifier. onnxruntime must agree with torch to
    1e-4 of the largest value, or nothing is written. examples/onnx_inference.py runs both files.
    """
    from pipeline.commands.embed import _pose
    from stages.export import network, onnx_file
    from stages.export import pose as pose_export
    from stages.reid.embedder import checkpoint_file
    from stages.reid.model.weights import load_model

    onnx_file.import_onnx()
    file = checkpoint_file(run)
    if pose is not None and pose.resolve() == output.resolve():
        raise KeyReIDError(f"--pose {pose}: is the file of -o; give two names")
    config = _pose(run, estimator, pose_weights)
    if pose is not None and config is None:
        raise KeyReIDError(f"{run}: no config.yaml names a pose network; give --estimator")
    model, _ = load_model(file)
    difference = network.export(model, file, output, with_cameras)
    _say(output, difference)
    if pose is not None:
        _say(pose, pose_export.export(config, pose))


def _say(path: Path, difference: float) -> None:
    from stages.export.onnx_file import OPSET

    click.echo(
        f"{path}: opset {OPSET}, {path.stat().st_size / 1e6:.1f} MB, onnxruntime and torch differ by at most "
        f"{difference:.1e} of the largest value"
    )
