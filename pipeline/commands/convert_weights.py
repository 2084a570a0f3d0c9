"""`keyreid convert-weights`: the released weights as a checkpoint of this program."""

from pathlib import Path

import click

from cache.errors import KeyReIDError
from cache.files import prepare_file
from pipeline.options import PATH, output_option, renamed
from stages.terminal import say


@click.command("convert-weights")
@click.argument("released", type=PATH)
@output_option("Checkpoint to write (.safetensors, and a .json beside it).", required=True)
@click.option(
    "--maps",
    type=click.Choice(["gaussian", "empty"]),
    default="gaussian",
    show_default=True,
    help="Part maps that evaluation makes for it: as intended, or empty as the released script wrote them.",
)
@renamed("OUT", "-o/--output OUT")
def command(released: Path, output: Path, maps: str) -> None:
    """Convert the RELEASED weights (.pth) to a checkpoint of this program.

    `keyreid eval` takes the result. Its network keeps the released arithmetic.
    """
    from stages.reid.model import load_published, save_model

    if output.suffix != ".safetensors":
        raise KeyReIDError(f"{output}: expected a name that ends in .safetensors")
    prepare_file(output)
    model = load_published(released, published_maps=maps)
    save_model(model, output, source=released.name)
    say(f"{output}: {model.num_persons} identities, {model.num_cameras} cameras, part maps {maps}")
