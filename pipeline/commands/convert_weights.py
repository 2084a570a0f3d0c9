"""`keyreid convert-weights`: the released weights as a checkpoint of this program."""

from pathlib import Path

import click

from cache.errors import KeyReIDError


@click.command("convert-weights")
@click.argument("released", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--maps",
    type=click.Choice(["gaussian", "empty"]),
    default="gaussian",
    show_default=True,
    help="Part maps that evaluation makes for it: as intended, or empty as the released script wrote them.",
)
def command(released: Path, out: Path, maps: str) -> None:
    """Convert the RELEASED weights (.pth) to OUT (.safetensors, and a .json beside it).

    `keyreid eval` takes the result. Its network keeps the released arithmetic.
    """
    from stages.reid.model import load_published, save_model

    if out.suffix != ".safetensors":
        raise KeyReIDError(f"{out}: expected a name that ends in .safetensors")
    model = load_published(released, published_maps=maps)
    save_model(model, out, source=released.name)
    click.echo(f"{out}: {model.num_persons} identities, {model.num_cameras} cameras, part maps {maps}")
