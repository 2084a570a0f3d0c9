"""The benchmarks with their commands, from the docstrings of the scripts."""

import ast
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent.parent / "benchmarks"
HEAD = """# Benchmarks

One script per claim about speed or size. Each measures both sides in turns on the same machine and prints
medians, the ratio and what machine it was; figures that were measured are in [Measured](measured.md).
`make bench` runs all, with their defaults; on a busy machine only ratios mean something. This page is made
from the scripts.

"""


def benchmarks_page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD]
    for path in sorted(FOLDER.glob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if text:
            title, _, rest = text.partition("\n")
            parts.append(f"## `benchmarks/{path.name}`\n\n{title}\n\n```text\n{rest.strip()}\n```\n\n")
    return "".join(parts)
