"""The border to the terminal: all that a user is shown goes through here, as plain text.

Names of tracklets, cameras and folders, and what libraries say about files, are others' data: control
characters are shown as escapes, not obeyed, and square brackets are not markup. tests/test_terminal_border.py
finds whatever prints past this module.
"""

import logging
import os
import re
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.progress import Progress, ProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

# C0 and C1 controls but for the line break, changes of text direction, bytes that are not UTF-8
_CONTROLS = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

LINE = 2000  # characters


def plain(text: object) -> str:
    """Text that is safe to print: control characters and undecodable bytes as escapes."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), str(text))


def one_line(text: object) -> str:
    """The same, with line breaks shown as escapes too."""
    return plain(text).replace("\n", "\\n")


def short(text: str) -> str:
    """An error message without the middle of its endless values.

    No file's name has more than 255 bytes, so a word of 300 is none; a line has at most LINE characters.
    """
    words = re.sub(r"[^\s/]{300,}", lambda word: _ends(word[0], 60), text)
    return "\n".join(_ends(line, LINE // 2) if len(line) > LINE else line for line in words.split("\n"))


def _ends(text: str, shown: int) -> str:
    return f"{text[:shown]}...({len(text) - 2 * shown} more characters)...{text[-shown:]}"


def say(text: object, error: bool = False, style: str = "") -> None:
    """Print text to standard output, or to standard error. style: of rich, shown on a terminal only."""
    if style:
        console(error).print(Text(plain(text), style), soft_wrap=True)
    else:
        print(plain(text), file=sys.stderr if error else sys.stdout, flush=True)


def show_notes(notes: Iterable[str]) -> None:
    """Print notes of a stage to standard error; those that begin with WARNING cannot be overlooked."""
    for note in notes:
        loud = note.startswith("WARNING")
        say(note if loud else f"note: {note}", error=True, style="bold red" if loud else "")


def console(error: bool = False) -> Console:
    """A console of standard output or standard error that takes text for text."""
    return Console(stderr=error, markup=False, highlight=False, emoji=False)


class TextTable(Table):
    """A table whose title, heads and cells are text, never markup."""

    def add_column(self, header: object = "", *more, **options) -> None:
        """Long cells are folded, unless overflow or no_wrap says otherwise."""
        fold = {} if options.get("no_wrap") else {"overflow": "fold"}
        super().add_column(_text(header), *more, **{**fold, **options})

    def add_row(self, *cells: object, **options) -> None:
        """Cells are strings, or rich Text for colours of our own."""
        super().add_row(*map(_text, cells), **options)


def text_table(*heads: str, title: str | None = None, **options) -> TextTable:
    """A table with a title and column heads. options: of rich's Table."""
    table = TextTable(title=None if title is None else _text(title), **options)
    for head in heads:
        table.add_column(head)
    return table


def show(table: Table) -> None:
    """Print a table; where no terminal limits it, as wide as it is, so that names stay whole."""
    made = console()
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = max(made.width, made.measure(table, options=made.options.update(width=LINE)).maximum)
    made.print(table)


def progress(*columns: ProgressColumn | str, kind: type[Progress] = Progress, **options) -> Progress:
    """Progress bars on standard error. Columns are rich's, or text such as "{task.description}"."""
    made = (TextColumn(c, markup=False) if isinstance(c, str) else c for c in columns)
    return kind(*made, console=console(error=True), **options)


class TerminalLog(logging.Handler):
    """Warnings of this program's own loggers, a line each on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"keyreid: {record.levelname.lower()}: {one_line(record.getMessage())}", error=True)


def show_warnings() -> None:
    """Show warnings of this program on the terminal, whatever other log there is."""
    for name in ("cache", "stages", "pipeline"):
        logger = logging.getLogger(name)
        if not any(isinstance(handler, TerminalLog) for handler in logger.handlers):
            logger.addHandler(TerminalLog(logging.WARNING))


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(plain(cell))
