"""`keyreid model-info`: what a network costs by part, and what a file of start weights is and gives it."""

import json

import click

from pipeline.config import Recipe
from pipeline.options import Inputs, recipe_options, renamed
from pipeline.settings import setting
from stages.terminal import say, show, text_table

COUNT = click.IntRange(1, 10**6)


@click.command("model-info")
@recipe_options
@setting(Recipe, "model.vit_path", help="Also say what this weights file is, and what would be loaded.")
@click.option("--persons", type=COUNT, default=625, show_default=True, help="Training identities.")
@click.option("--num-cameras", type=COUNT, default=6, show_default=True, help="Cameras known by number.")
@renamed("--cameras", "--num-cameras")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(inputs: Inputs, persons: int, num_cameras: int, as_json: bool) -> None:
    """Print what the recipe's network costs: parameters, and operations for a clip.

    With --vit-path also: which ViT a weights file is of, which backbone goes with it, and what of it would be
    loaded into the recipe's, or why it cannot be.
    """
    from stages.reid.model.summary import Cost, model_costs

    model = inputs.recipe.model
    costs = model_costs(model, persons, num_cameras)
    costs["all"] = Cost(sum(c.parameters for c in costs.values()), sum(c.operations for c in costs.values()))
    if as_json:
        say(json.dumps({name: vars(cost) for name, cost in costs.items()}, indent=2))
        return
    height, width = model.image_size
    say(
        f"{model.backbone}, clips of {model.clip_length} frames of {height}x{width}, "
        f"{len(model.part_names)} parts, guidance {model.guidance}"
    )
    table = text_table("part of the network")
    table.add_column("parameters, M", justify="right")
    table.add_column("operations, G", justify="right")
    for name, cost in costs.items():
        if name == "all":
            table.add_section()
        table.add_row(name, f"{cost.parameters / 1e6:.2f}", f"{cost.operations / 1e9:.3f}")
    show(table)
    say("Forward pass of one clip; a multiply-add counts as two operations.")
    if model.vit_path is not None:
        from stages.reid.model.backbone import build_vit
        from stages.reid.model.vit_weights import describe_file

        say(f"\n{describe_file(model.vit_path)}")
        say(f"into {model.backbone}: {build_vit(model)[1]}")
