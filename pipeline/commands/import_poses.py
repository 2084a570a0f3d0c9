"""`keyreid import-poses`: poses made elsewhere into the cache."""

from pathlib import Path

import click

from pipeline.options import Inputs, load_inputs, recipe_options


@click.command()
@click.argument("poses", type=click.Path(path_type=Path))
@recipe_options
@click.option("--images", type=click.Path(path_type=Path), help="COCO JSON whose `images` number the frames.")
@click.option("--sigma", type=float, help="Deviation of a Gaussian in 64ths of the frame height. Default: 2.")
@click.option("--min-score", type=float, help="Joints that score no more get no heat. Default: 0.1.")
@click.option(
    "--on-missing", type=click.Choice(["stop", "zero"]), help="Frames without a pose: stop, or zero heat."
)
@click.option(
    "--on-bad-frame", type=click.Choice(["stop", "zero"]), help="Unreadable frames: stop, or zero heat."
)
@click.option("--force", is_flag=True, help="Throw away a cache made otherwise, and redo all of it.")
def command(poses: Path, inputs: Inputs, **given) -> None:
    """Fill the pose cache from POSES instead of running a pose network.

    POSES is a COCO keypoint JSON file (annotations, or results of mmpose, ViTPose, RTMPose, Ultralytics,
    AlphaPose), a .npz with names [N] and keypoints [N, 17, 3], or a folder with one file per frame under
    the frame's own path: .pose (the released pipeline, OpenPifPaf), .predictions.json (OpenPifPaf), .json
    (mmpose). Joints are COCO's 17, or begin with them (Halpe, COCO-WholeBody).
    """
    from pydantic import ValidationError

    from cache.errors import KeyReIDError
    from stages.pose.importing import ImportConfig, run

    try:
        config = ImportConfig(
            poses=poses, **{key: value for key, value in given.items() if value is not None}
        )
    except ValidationError as error:
        problem = error.errors()[0]
        option = "--" + str(problem["loc"][0]).replace("_", "-")
        raise KeyReIDError(f"{option} {problem['input']}: {problem['msg']}") from None
    run(load_inputs(inputs, check_files=False), config, inputs.cache)
