"""`keyreid env`: what a bug report needs."""

import json

import click

from stages.terminal import say, show, text_table


@click.command("env")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(as_json: bool) -> None:
    """Print versions, device and threads. Paste it into a bug report."""
    from pipeline.runs import environment

    values = environment()
    if as_json:
        say(json.dumps(values, indent=2))
        return
    table = text_table("what", "found", title="keyreid env")
    for name, value in values.items():
        table.add_row(name, value)
    show(table)
