"""Pages: templates filled in, style and script put in, everything of a page in one string.

Every value is escaped by the template engine. A content security policy allows nothing but the page's own
style and script, by their hashes, and pictures.
"""

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

PIECES = re.compile(r"(?<=[/_-])|(?<=\d)(?=[A-Za-z])")
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


def render(
    template: str,
    view: Mapping[str, Any],
    styles: Sequence[str],
    scripts: Sequence[str],
    pictures: str = "data:",
) -> str:
    """The page as HTML; view: what the template names.

    template, styles, scripts: assets as PACKAGE/NAME, e.g. report/report.css; those of a kind are joined.
    pictures: where they may come from, in the words of a content security policy.
    """
    style, script = ("\n".join(map(_asset, names)) for names in (styles, scripts))
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=printable,
    )
    environment.filters |= {"percent": percent, "number": number, "breakable": breakable}
    policy = (
        f"default-src 'none'; img-src {pictures}; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template(template).render(
        view, style=Markup(style), script=Markup(script), policy=policy
    )


def printable(value: Any) -> Any:
    """Text without characters that no page may hold or that turn its direction; others as they are.

    Lists and mappings are gone through.
    """
    if type(value) is str:
        return UNPRINTABLE.sub("\ufffd", value)
    if type(value) is list:
        return [printable(one) for one in value]
    return {key: printable(one) for key, one in value.items()} if type(value) is dict else value


def percent(value: float) -> str:
    """A share of 1 in percent, two decimals; a dash where it is not known."""
    return f"{100 * value:.2f}" if value is not None and math.isfinite(value) else "-"


def number(value: float) -> str:
    """Three significant digits; a dash where it is not known."""
    return f"{value:.3g}" if value is not None and math.isfinite(value) else "-"


def breakable(name: str) -> Markup:
    """A name that may be broken into lines behind / _ - and between a number and a letter, escaped."""
    return Markup("<wbr>").join(PIECES.split(printable(name)))


def _asset(name: str) -> str:
    package, file = name.split("/")
    return (files(f"stages.{package}") / "assets" / file).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
