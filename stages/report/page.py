"""The page: templates filled in, style and script put in, everything in one string.

Every value is escaped by the template engine. A content security policy allows nothing but the page's own
style and script, by their hashes, and pictures that lie in the page.
"""

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


def render(view: Mapping[str, Any]) -> str:
    """The page as HTML; view: what report.html.j2 names."""
    assets = files("stages.report") / "assets"
    style, script = ((assets / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (assets / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=printable,
    )
    environment.filters |= {"percent": percent, "number": number}
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    template = environment.get_template("report.html.j2")
    return template.render(view, style=Markup(style), script=Markup(script), policy=policy)


def printable(value: Any) -> Any:
    """Text without characters that no page may hold or that turn its direction; others as they are."""
    return UNPRINTABLE.sub("\ufffd", value) if type(value) is str else value


def percent(value: float) -> str:
    """A share of 1 in percent, two decimals; a dash where it is not known."""
    return f"{100 * value:.2f}" if value is not None and math.isfinite(value) else "-"


def number(value: float) -> str:
    """Three significant digits; a dash where it is not known."""
    return f"{value:.3g}" if value is not None and math.isfinite(value) else "-"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


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
