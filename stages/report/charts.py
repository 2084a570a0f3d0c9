"""Charts as SVG. Lines differ by dash as well as by colour; a table says the same in numbers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 54, 10, 28, 38
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
) -> Chart:
    """Draw lines over common axes. percent: y is a share of 1, shown times 100."""
    xs = np.concatenate([np.asarray(s.x, float) for s in series])
    ys = np.concatenate([np.asarray(s.y, float) for s in series])
    ys = ys[np.isfinite(ys)]
    low, high = y_range or ((min(0.0, float(ys.min())), float(ys.max())) if ys.size else (0.0, 1.0))
    x_ticks, y_ticks = ticks(float(xs.min()), float(xs.max())), ticks(low, high)
    x_low, x_high = float(xs.min()), float(xs.max())
    low, high = min(low, y_ticks[0]), max(high, y_ticks[-1])

    def at_x(value: float) -> float:
        share = (value - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def at_y(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    show = _percent if percent else _number
    parts = [_axis_text(x_label, y_label)]
    for tick in y_ticks:
        y = at_y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{show(tick)}</text>')
    for tick in [tick for tick in x_ticks if x_low <= tick <= x_high] or [x_low]:
        place = f'x="{at_x(tick):.1f}" y="{HEIGHT - BOTTOM + 14}"'
        parts.append(f'<text {place} text-anchor="middle">{_number(tick)}</text>')
    for number, one in enumerate(series):
        points = [(at_x(x), at_y(y)) for x, y in _steps(one)]
        kind = "line" if sum(math.isfinite(y) for _, y in points) > 1 else "line dot"
        parts.append(f'<path class="{kind} s{number % STYLES}" d="{_path(points)}"/>')
    summary = "; ".join(f"{s.name} {_span(s, show)}" for s in series)
    label = escape(f"{title}. {x_label} across, {y_label} up. {summary}.")
    svg = Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )
    legend = [(f"s{i % STYLES}", s.name) for i, s in enumerate(series)]
    return Chart(title, svg, legend, [x_label, *(s.name for s in series)], _table(series, show))


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from at or below low to at or above high, about count of them."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return [0.0, 1.0]
    if high - low < 1e-10:  # ticks have 12 decimals
        high = low + (abs(low) if abs(low) > 1e-6 else 1.0)
    raw = (high - low) / max(1, count - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


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


def _axis_text(x_label: str, y_label: str) -> str:
    across = (LEFT + WIDTH - RIGHT) / 2
    return (
        f'<text x="{across}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text x="4" y="12">{escape(y_label)}</text>'
    )


def _steps(series: Series) -> Iterable[tuple[float, float]]:
    if not series.step:
        yield from zip(series.x, series.y, strict=True)
        return
    for i, y in enumerate(series.y):
        yield series.x[i], y
        yield series.x[i + 1], y


def _path(points: Iterable[tuple[float, float]]) -> str:
    words, drawing = [], False
    for x, y in points:
        if not math.isfinite(y):
            drawing = False
            continue
        words.append(f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}")
        drawing = True
    if len(words) == 1:  # a single step: a dot instead of a line
        words.append("h0.1")
    return "".join(words)


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
