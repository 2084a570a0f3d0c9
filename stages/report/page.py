"""The report's page: which template, style and script; nested settings as rows."""

from collections.abc import Mapping
from typing import Any

from stages import html_page


def render(view: Mapping[str, Any]) -> str:
    """The page as HTML; view: what report.html.j2 names."""
    return html_page.render(
        "report/report.html.j2",
        view,
        styles=("browse/player.css", "report/report.css"),
        scripts=("browse/player.js", "report/report.js"),
    )


def flat(content: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """A nested mapping as (dotted key, value) in its own order."""
    rows = []
    for key, value in content.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and value:
            rows += flat(value, f"{name}.")
        else:
            rows.append((name, "-" if value is None else str(value)))
    return rows
