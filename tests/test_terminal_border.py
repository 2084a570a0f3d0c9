"""Nothing is shown to a user but through stages/terminal.py, where escapes and markup of others end."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PRINTERS = {
    "print",
    "click.echo",
    "click.secho",
    "click.style",
    "sys.stdout.write",
    "sys.stderr.write",
    "warnings.warn",
}
RICH = {"Console", "Table", "Progress", "TextColumn", "print"}  # those that read markup


@pytest.mark.parametrize("package", ["cache", "stages", "pipeline"])
def test_no_module_prints_past_the_border(package):
    for path in sorted((ROOT / package).rglob("*.py")):
        if path == ROOT / "stages/terminal.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        markup = {a.asname or a.name for i in imports if i.module.startswith("rich") for a in i.names} & RICH
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                where = f"{path.relative_to(ROOT)}, line {node.lineno}: use stages.terminal"
                assert called not in PRINTERS | markup, where
