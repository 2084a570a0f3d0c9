"""All error texts, from the source: what a user may search for."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("pipeline", "stages", "cache")
HEAD = """# All error messages

Every message with which `keyreid` refuses its input, by the file that raises it; values are in angle
brackets. This page is made from the source. [Troubleshooting](troubleshooting.md) explains the usual ones.

"""


def error_texts() -> dict[str, list[str]]:
    """Path of a source file -> the texts of its KeyReIDErrors, values written as <name>."""
    by_file: dict[str, list[str]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            texts = [_message(node) for node in ast.walk(tree) if _raises(node)]
            texts = [
                text for text in dict.fromkeys(texts) if re.search(r"[a-z]{3}", re.sub("<[^>]*>", "", text))
            ]
            if texts:
                by_file[path.relative_to(ROOT).as_posix()] = texts
    return by_file


def errors_page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD]
    for path, texts in error_texts().items():
        lines = "\n".join(texts)
        parts.append(f"## `{path}`\n\n```text\n{lines}\n```\n\n")
    return "".join(parts)


def _raises(node: ast.AST) -> bool:
    name = getattr(getattr(node, "func", None), "id", "")
    if name == "reading":
        return True
    return (
        isinstance(node, ast.Call)
        and name.endswith("Error")
        and name[:4] in ("KeyR", "Rank", "Fram")
        and bool(node.args)
    )


def _message(node: ast.Call) -> str:
    if node.func.id == "reading":
        return _reading_text(node)
    if node.func.id == "FrameError":  # FrameError(path, reason)
        return f"<path>: {_text(node.args[1])}"
    return _text(node.args[0])


def _reading_text(node: ast.Call) -> str:
    """What `cache.border.reading(path, expected, remedy)` raises."""
    given = dict(zip(("path", "expected", "remedy"), node.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in node.keywords}
    texts = {name: _text(value) for name, value in given.items()}
    reason = f"not {texts['expected']} (<reason>)" if "expected" in texts else "<reason>"
    path = texts["path"] if isinstance(given["path"], ast.JoinedStr) else "<path>"
    return f"{path}: {reason}" + (f"; {texts['remedy']}" if "remedy" in texts else "")


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return (
            " ".join(str(node.value).split())
            if isinstance(node.value, str) and "\n" in node.value
            else str(node.value)
        )
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return f"<{_name(node.value)}>"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body)} or {_text(node.orelse)}"
    return f"<{_name(node)}>"


def _name(node: ast.expr) -> str:
    """A word for a value: the last name in its expression."""
    names = [
        n.attr if isinstance(n, ast.Attribute) else n.id
        for n in ast.walk(node)
        if isinstance(n, ast.Attribute | ast.Name)
    ]
    plain = [
        name for name in names if name not in ("len", "str", "int", "sum", "sorted", "join", "format", "type")
    ]
    return plain[0] if plain else "value"
