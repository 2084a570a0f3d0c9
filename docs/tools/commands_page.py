"""The command reference, from click."""

import click

from pipeline.cli import keyreid

HEAD = """# Command reference

`keyreid COMMAND --help` prints the same. This page is made from the commands themselves. Mistakes in the
input end in one line and exit code 2; `--debug` (or `KEYREID_DEBUG=1`) shows the traceback.

"""
SHOWN = {"max_content_width": 100, "terminal_width": 100, "help_option_names": ["-h", "--help"]}


def commands_page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD]
    with click.Context(keyreid, info_name="keyreid", **SHOWN) as context:
        parts.append(_block(keyreid, context))
        for name in keyreid.list_commands(context):
            parts.append(_command(keyreid.get_command(context, name), name, context, 2))
    return "".join(parts)


def _command(command: click.Command, name: str, parent: click.Context, level: int) -> str:
    with click.Context(command, parent=parent, info_name=name, **SHOWN) as context:
        path = context.command_path.removeprefix("keyreid ")
        text = f"{'#' * level} {path}\n\n{_block(command, context)}"
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                text += _command(command.get_command(context, inner), inner, context, level + 1)
    return text


def _block(command: click.Command, context: click.Context) -> str:
    return f"```text\n{command.get_help(context).rstrip()}\n```\n\n"
