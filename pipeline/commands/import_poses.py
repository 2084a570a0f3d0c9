"""`keyreid import-poses`: poses of other tools into the cache."""

import click

from pipeline.options import Inputs, load_inputs, recipe_options
from pipeline.recipe_file import Override, check
from pipeline.settings import overrides_options, setting
from stages.pose.import_config import ImportConfig


@click.command()
@click.argument("poses")
@overrides_options(ImportConfig)
@recipe_options
@setting(ImportConfig, "images", help="COCO JSON whose `images` number the frames.")
@setting(ImportConfig, "sigma", help="Deviation of a Gaussian in 64ths of the frame height.")
@setting(ImportConfig, "min_score", help="Joints that score no more get no heat.")
@setting(ImportConfig, "on_missing", help="Frames without a pose: stop, or zero heat.")
@setting(ImportConfig, "on_bad_frame", help="Unreadable frames: stop, or zero heat.")
@setting(ImportConfig, "force", help="Replace a cache that was made with different settings.")
def command(poses: str, inputs: Inputs, overrides: tuple[Override, ...]) -> None:
    """Fill the pose cache from POSES instead of running a pose network.

    POSES is a COCO keypoint JSON file (annotations, or results of mmpose, ViTPose, RTMPose, Ultralytics,
    AlphaPose), a .npz with names [N] and keypoints [N, 17, 3], or a folder with one file per frame under
    the frame's own path: .pose (the released pipeline, OpenPifPaf), .predictions.json (OpenPifPaf), .json
    (mmpose). Joints are COCO's 17, or begin with them (Halpe, COCO-WholeBody).
    """
    from stages.pose.importing import run

    config = check(ImportConfig, {"poses": poses}, overrides)
    run(load_inputs(inputs, check_files=False), config, inputs.cache)
