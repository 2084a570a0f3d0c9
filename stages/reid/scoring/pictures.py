"""The pictures of an evaluated run as PNG files: which rankings, which frames, which curves."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator

from cache import PoseCache
from cache.border import reading
from cache.errors import KeyReIDError
from cache.text_files import load_steps
from stages.datasets.tracklet import Dataset, Tracklet
from stages.figure_file import save_figure
from stages.frame_file import read_picture
from stages.reid.data.part_maps import PartGroups, joints_to_parts
from stages.reid.model import KeyReID

QUERIES, TOP, FRAMES = 6, 10, 4  # of an evaluation: queries and answers shown, frames with part maps
DOTS = 100  # to an inch of a ranking's sheet, which is drawn as one picture: axes for each take seconds
PICTURE = (2.1, 1.05)  # height and width of a frame on it, inches
CELL, GAP = (128, 256), 6  # width and height of a frame with a part's heat, and what is around it, px
RIGHT, WRONG, NEUTRAL = "#1a9641", "#d7191c", "#555555"  # the mark in the title says it too
WINDOW = 25  # steps that a curve is averaged over
LOSSES = {"loss": "all, weighted", "identity_loss": "identity", "triplet_loss": "triplet"}
UNWEIGHTED = {"center_loss": "center", "attention_loss": "attention"}


@dataclass(frozen=True)
class Match:
    """A place in a ranking list: a frame of the tracklet, its distance, whether the person is right.

    label: lines below it. right: None where nobody knows. near: whether it is near enough to be a match, None
    without a threshold.
    """

    frame: Path
    label: str
    distance: float
    right: bool | None
    near: bool | None = None


def read_rgb(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 [H, W, 3] in RGB; size is (height, width). Raises KeyReIDError for any other file."""
    image = read_picture(path)
    if size is not None:
        image = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[:, :, ::-1])


def ranking_picture(path: Path, lists: Sequence[tuple[Match, Sequence[Match]]], title: str) -> None:
    """One row per query: the query, then its ranking list, right matches framed green, wrong ones red.

    With a threshold the frames say yes (green, whole) and no (red, dashed, the picture pale).
    """
    columns = 1 + max(len(matches) for _, matches in lists)
    lines = 1 + max(match.label.count("\n") for query, matches in lists for match in (query, *matches))
    step = (PICTURE[0] + 0.32 + 0.11 * lines, 1.15)
    size = (step[0] * len(lists) + 0.35, step[1] * columns)  # height, width
    figure = Figure(figsize=size[::-1])
    axis = figure.add_axes((0, 0, 1, 1))
    sheet = np.full((*(round(DOTS * side) for side in size), 3), 255, np.uint8)
    for row, (query, matches) in enumerate(lists):
        for place, match in enumerate((query, *matches)):
            top, left = 0.55 + step[0] * row, 0.05 + step[1] * place
            _place(sheet, match, top, left, bool(place) and match.near is False)
            _mark(axis, match, top, left, place)
    axis.imshow(sheet, extent=(0, size[1], size[0], 0), aspect="auto", interpolation="none")
    axis.text(size[1] / 2, 0.15, title, fontsize=10, ha="center", va="center")
    axis.axis("off")
    save_figure(figure, path)


def _place(sheet: np.ndarray, match: Match, top: float, left: float, pale: bool) -> None:
    """Lay a match's frame on the sheet. top, left: inches."""
    high, wide = (round(DOTS * side) for side in PICTURE)
    y, x = round(DOTS * top), round(DOTS * left)
    picture = read_rgb(match.frame, (high, wide))
    sheet[y : y + high, x : x + wide] = 255 - 0.45 * (255 - picture.astype(np.float32)) if pale else picture


def _mark(axis: Axes, match: Match, top: float, left: float, place: int) -> None:
    """The border of a frame and what is above and below it. place: from 1 in the ranking, 0 the query."""
    good = match.right if match.near is None else match.near
    color = {True: RIGHT, False: WRONG}.get(good if place else None, NEUTRAL)
    far = bool(place) and match.near is False
    line = {"linewidth": 2, "linestyle": (0, (4, 2))} if far else {"linewidth": 4}
    axis.add_patch(Rectangle((left, top), PICTURE[1], PICTURE[0], fill=False, color=color, **line))
    sign = {True: "✓ ", False: "✗ "}.get(match.right, "")
    answer = {True: "yes ", False: "no "}.get(match.near, "")
    mark = "query" if place == 0 else f"{place}: {answer}{sign}{match.distance:.3g}"
    middle = left + PICTURE[1] / 2
    axis.text(middle, top - 0.06, mark, fontsize=8, color=color, ha="center", va="bottom")
    below = top + PICTURE[0] + 0.06
    axis.text(middle, below, match.label, fontsize=7, ha="center", va="top")


def part_map_picture(
    path: Path, frames: Sequence[np.ndarray], part_maps: np.ndarray, parts: Sequence[str], title: str
) -> None:
    """Rows are frames; columns the frame itself and each part's heat laid over it.

    frames: uint8 [H, W, 3] in RGB, each. part_maps: [N, K, h, w] in [0, 1], over the whole frame.
    """
    columns = len(parts) + 1
    figure = Figure(figsize=(1.2 * columns + 0.6, 2.4 * len(frames) + 0.4), layout="compressed")
    axis = figure.subplots()
    rows = [_row_of(frame, maps) for frame, maps in zip(frames, part_maps, strict=True)]
    axis.imshow(np.concatenate(rows), interpolation="none")
    width = rows[0].shape[1] / columns
    axis.set_xticks(width * (np.arange(columns) + 0.5), ["frame", *parts], fontsize=8)
    axis.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    heat_bar(figure, np.array([axis]))
    _save(figure, path, title)


def _row_of(frame: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """A frame and its parts' heat [K, h, w] over it, side by side, with gaps: uint8 [H, W, 3]."""
    frame = cv2.resize(frame, CELL, interpolation=cv2.INTER_LINEAR)
    cells = [frame]
    for heat in maps:
        heat = np.clip(cv2.resize(heat.astype(np.float32), CELL), 0, 1)
        weight = (0.25 + 0.6 * heat)[..., None]
        over = 255 * colormaps["inferno"](heat)[..., :3]
        cells.append(np.rint((1 - weight) * frame + weight * over).astype(np.uint8))
    gap = ((GAP, GAP), (GAP, GAP), (0, 0))
    return np.concatenate([np.pad(cell, gap, constant_values=255) for cell in cells], axis=1)


def curve_picture(path: Path, metrics: Path, title: str) -> None:
    """Loss and accuracy by step, and learning rate, from a run's metrics.jsonl."""
    with reading(metrics, remedy="remove it, or restore it"):
        rows = [row for row in load_steps(metrics) if "loss" in row]
    if not rows:
        raise KeyReIDError(f"{metrics}: no training steps in it, so no curve to draw")
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    losses, small, right = figure.subplots(1, 3)
    for axis, keys in ((losses, LOSSES), (small, UNWEIGHTED)):
        for key, name in keys.items():
            if any(key in row for row in rows):
                axis.plot(*_running_mean(rows, key), label=name)
        axis.set(xlabel="step", yscale="log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axis.yaxis.set_minor_formatter("{x:g}")
        if axis.lines:
            axis.legend(fontsize=8)
    losses.set_ylabel("loss")
    small.set_ylabel("loss, before its weight")
    right.plot(*_running_mean(rows, "accuracy"), color=RIGHT)
    right.set(xlabel="step", ylabel="accuracy on training clips", ylim=(0, 1.02))
    rate = right.twinx()
    rate.plot(*_running_mean(rows, "learning_rate", 1), color="#777777", linestyle="--")
    rate.set(ylabel="learning rate (dashed)", ylim=(0, None))
    _save(figure, path, f"{title} (means of {min(WINDOW, len(rows))} steps)")


def heat_bar(figure: Figure, axes: np.ndarray, label: str = "heat") -> None:
    """The colours of heat in [0, 1], beside the axes."""
    shades = ScalarMappable(Normalize(0, 1), "inferno")
    figure.colorbar(shades, ax=list(axes.flat), label=label, fraction=0.05, aspect=30, shrink=0.8, pad=0.01)


def _running_mean(rows: Sequence[dict], key: str, window: int = WINDOW) -> tuple[np.ndarray, np.ndarray]:
    """Steps and means over `window` steps up to each; NaN where a row lacks the key."""
    values = np.array([row.get(key, np.nan) for row in rows], float)
    window = min(window, len(values))
    steps = np.array([row["step"] for row in rows[window - 1 :]])
    return steps, np.convolve(values, np.ones(window) / window, mode="valid")


def _save(figure: Figure, path: Path, title: str) -> None:
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def illustrate(folder: Path, dataset: Dataset, cache: PoseCache, model: KeyReID, run: Path) -> list[Path]:
    """Draw ranking.png, part-maps.png and, where run has a training log, loss-curve.png; their paths.

    folder: an evaluation's, with ranking.json in it.
    """
    tracklets = {t.name: t for t in dataset.test_tracklets()}
    lists = json.loads((folder / "ranking.json").read_text())
    drawn = [folder / "ranking.png", folder / "part-maps.png"]
    ranking_picture(
        drawn[0],
        [_row(dataset, tracklets, answer_list) for answer_list in _spread(lists, QUERIES)],
        "Query, then its ten nearest: green right person, red wrong (same person, same camera left out)",
    )
    frames = [_middle(tracklets[answer_list["query"]]) for answer_list in _spread(lists, FRAMES)]
    names = model.config.part_names
    groups = PartGroups.of(model.config.parts)
    maps = joints_to_parts(cache.read_heatmaps(frames), groups.joints[: groups.count]) / np.float32(255)
    pictures = [read_rgb(dataset.root / frame) for frame in frames]
    part_map_picture(drawn[1], pictures, maps, names, f"Heat of each part ({cache.info.estimator})")
    if (run / "metrics.jsonl").is_file():
        drawn.append(folder / "loss-curve.png")
        curve_picture(drawn[-1], run / "metrics.jsonl", f"Training of {run.name}")
    return drawn


def _spread(items: list, count: int) -> list:
    """count items at even steps, so that they are of different persons."""
    return [items[i * len(items) // count] for i in range(min(count, len(items)))]


def _middle(tracklet: Tracklet) -> str:
    return tracklet.frames[len(tracklet.frames) // 2]


def _row(dataset: Dataset, tracklets: dict[str, Tracklet], answer_list: dict) -> tuple[Match, list[Match]]:
    def match(name: str, distance: float, right: bool) -> Match:
        tracklet = tracklets[name]
        label = f"person {tracklet.person}, camera {'?' if tracklet.camera is None else tracklet.camera}"
        return Match(dataset.root / _middle(tracklet), label, distance, right)

    answers = [match(m["name"], m["distance"], m["right"]) for m in answer_list["matches"][:TOP]]
    return match(answer_list["query"], 0.0, True), answers
