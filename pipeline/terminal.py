"""The border to the terminal: text from files and arguments goes out as plain text.

Names of tracklets, cameras and folders are others' data: control characters are shown as escapes, not obeyed,
and square brackets are no markup.
"""

import re

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

# C0 and C1 controls but for the line break, and what turns the direction of writing
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: object) -> str:
    """Text that a terminal shows as it is: controls and undecodable bytes as escapes."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), str(text))


def say(text: object, error: bool = False) -> None:
    """Print a line."""
    click.echo(plain(text), err=error)


class TextTable(Table):
    """A table whose cells are text, never markup."""

    def add_row(self, *cells: object, **more) -> None:
        """Cells are strings, or rich Text for colours of our own."""
        super().add_row(*(c if isinstance(c, Text) else Text(plain(c)) for c in cells), **more)


def text_table(*heads: str, title: str | None = None, **more) -> TextTable:
    """A table with a title and column heads; long cells are folded."""
    table = TextTable(title=None if title is None else Text(plain(title)), **more)
    for head in heads:
        table.add_column(Text(plain(head)), overflow="fold")
    return table


def show(renderable: RenderableType) -> None:
    """Print a table."""
    Console(markup=False, highlight=False).print(renderable)
