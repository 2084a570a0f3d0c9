"""Charts as SVG. Lines differ by dash as well as by colour; a table says the same in numbers."""

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

SVG = "{http://www.w3.org/2000/svg}"
WIDTH, HEIGHT = 360, 220  # units of the drawing; a figure has 72 to the inch
FONT = 11
STYLES = 6  # how many the style sheet knows
SAMPLES = 10  # rows of the table beside a chart


@dataclass(frozen=True)
class Series:
    """A line of a chart. x ascending; y may hold NaN, where the line is interrupted."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    step: bool = False  # y[i] holds from x[i] to x[i + 1]


@dataclass(frozen=True)
class Chart:
    """What the page shows of one chart: the drawing, its legend, and the same in numbers."""

    title: str
    svg: Markup
    legend: list[tuple[str, str]]  # CSS class, name
    head: list[str]
    rows: list[list[str]]


def line_chart(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
    percent: bool = False,
    log: bool = False,
) -> Chart:
    """Draw lines over common axes. percent: y is a share of 1, shown times 100. log: if all y are above 0."""
    show = _percent if percent else _number
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), layout="constrained")
    axes = figure.subplots()
    for number, one in enumerate(series):
        x, y = np.asarray(one.x, float), np.asarray(one.y, float)
        if one.step:
            y = np.append(y, y[-1:])
        single = np.isfinite(y).sum() == 1
        if single:
            x, y = (np.repeat(values[np.isfinite(y)], 2) for values in (x, y))
        name = f"line {'dot ' if single else ''}s{number % STYLES}"
        axes.plot(x, y, drawstyle="steps-post" if one.step else None, gid=name, clip_on=False)
    axes.set_xlabel(x_label)
    axes.set_title(y_label, loc="left", fontsize=FONT)
    ys = np.concatenate([np.asarray(s.y, float) for s in series])
    ys = ys[np.isfinite(ys)]
    if log and ys.size and ys.min() > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        low, high = y_range or ((min(0.0, float(ys.min())), float(ys.max())) if ys.size else (0.0, 1.0))
        if high - low > 1e-9 * max(abs(low), abs(high)):
            axes.set_ylim(low, high + (y_range is None) * 0.05 * (high - low))
    places = {float(x) for s in series for x in s.x}
    axes.xaxis.set_major_locator(FixedLocator([*places]) if len(places) == 1 else MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: show(value)))
    for part in (axes.patch, axes.figure.patch, *axes.spines.values()):
        part.set_visible(False)
    axes.tick_params(left=False, bottom=False, labelsize=FONT)
    axes.xaxis.label.set_size(FONT)
    axes.margins(x=0)
    axes.grid(axis="y", gid="grid")
    summary = "; ".join(f"{s.name} {_span(s, show)}" for s in series)
    label = f"{title}. {x_label} across, {y_label} up. {summary}."
    legend = [(f"s{i % STYLES}", s.name) for i, s in enumerate(series)]
    svg = inline_svg(figure, label)
    return Chart(title, svg, legend, [x_label, *(s.name for s in series)], _table(series, show))


def inline_svg(figure: Figure, label: str) -> Markup:
    """The figure as an SVG element whose look is left to the page's style sheet, named `label` for readers.

    The page forbids style in the document, and has a light and a dark look: colours, fonts and ids of
    matplotlib go; artists with a gid keep it as their class.
    """
    file = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):  # text stays text
        figure.savefig(file, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())
    parts = []
    for group in root.iter(f"{SVG}g"):
        name = group.get("id", "")
        for child in group:
            if child.tag == f"{SVG}path" and name.startswith(("grid", "line")) and child.get("d"):
                parts.append(f'<path class="{escape(name)}" d="{_short(child.get("d"))}"/>')
            elif child.tag == f"{SVG}text":
                style = dict(d.strip().split(": ", 1) for d in child.get("style", "").split(";") if ": " in d)
                anchor = style.get("text-anchor", "start")
                place = f'x="{_short(child.get("x"))}" y="{_short(child.get("y"))}" text-anchor="{anchor}"'
                parts.append(f"<text {place}>{escape(child.text or '')}</text>")
    body = "".join(parts)
    view = f"0 0 {WIDTH} {HEIGHT}"
    return Markup(f'<svg viewBox="{view}" role="img" aria-label="{escape(label)}">{body}</svg>')


def _short(numbers: str) -> str:
    """Coordinates with one decimal, one space between them."""
    return " ".join(re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.1f}", numbers).split())


def thinned(x: Sequence[float], y: Sequence[float], most: int = 400) -> tuple[list[float], list[float]]:
    """At most `most` points: means of neighbours, so that a long run stays a small picture."""
    step = -(-len(x) // most)
    if step <= 1:
        return list(x), list(y)
    groups = range(0, len(x), step)
    return (
        [float(np.mean(x[i : i + step])) for i in groups],
        [float(np.mean(y[i : i + step])) for i in groups],
    )


def _table(series: Sequence[Series], show) -> list[list[str]]:
    """Values of all series at some of the first one's places."""
    xs = np.asarray(series[0].x, float)[: len(series[0].y)]
    picked = np.unique(np.linspace(0, len(xs) - 1, min(SAMPLES, len(xs))).round().astype(int))
    rows = []
    for place in xs[picked]:
        cells = []
        for one in series:
            x = np.asarray(one.x, float)[: len(one.y)]
            y = one.y[int(np.abs(x - place).argmin())]
            cells.append(show(y) if math.isfinite(y) else "-")
        rows.append([_number(float(place)), *cells])
    return rows


def _span(series: Series, show) -> str:
    values = [y for y in series.y if math.isfinite(y)]
    if not values:
        return "without values"
    return f"from {show(values[0])} to {show(values[-1])}, at most {show(max(values))}"


def _number(value: float) -> str:
    if 0 < abs(value) < 1e-3:
        digits, power = f"{value:.2e}".split("e")
        return f"{float(digits):g}e{int(power)}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"
