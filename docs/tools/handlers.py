"""How many exception handlers there are per thousand lines: `python docs/tools/handlers.py`.

Input is checked where it enters, once: files inside `cache.border.reading`, and what is written inside
`cache.border.saving`. Code further inside trusts it. Prints the figure, and ends with exit code 1 above MOST.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cache", "stages", "pipeline")
MOST = 2.8  # per thousand lines, suppressed exceptions counted too


def count(source: str) -> int:
    """Handlers of `try`, and uses of `contextlib.suppress`, in a module."""
    nodes = list(ast.walk(ast.parse(source)))
    return sum(isinstance(node, ast.ExceptHandler) for node in nodes) + sum(
        isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress") for node in nodes
    )


def main() -> int:
    sources = [path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    handlers, lines = sum(map(count, sources)), sum(source.count("\n") for source in sources)
    rate = 1000 * handlers / lines
    print(f"{handlers} exception handlers in {lines} lines: {rate:.2f} per thousand, at most {MOST}")
    return int(rate > MOST)


if __name__ == "__main__":
    sys.exit(main())
