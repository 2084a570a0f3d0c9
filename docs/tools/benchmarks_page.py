"""The benchmarks with their commands, from the docstrings of the scripts."""

import ast
import textwrap
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent.parent / "benchmarks"
HEAD = """# Benchmarks

One script per claim about speed or size. Each measures both sides in turns on the same machine and prints
medians, the ratio and what machine it was; figures that were measured are in [Measured](measured.md).
`make bench` runs all, with their defaults; on a busy machine only ratios mean something. `--help` lists the
options of each. This page is made from the scripts.

"""
NEEDS = "<!-- needs: a machine with nothing else to do, for minutes -->"


def benchmarks_page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD]
    for path in sorted(FOLDER.glob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if text:
            parts.append(f"## `benchmarks/{path.name}`\n\n{_markdown(text)}")
    return "".join(parts)


def _markdown(text: str) -> str:
    """A docstring: paragraphs as they are, indented ones, which are commands, as blocks."""
    parts = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("    "):
            paragraph = f"{NEEDS}\n```bash\n{textwrap.dedent(paragraph)}\n```"
        parts.append(f"{paragraph}\n\n")
    return "".join(parts)
