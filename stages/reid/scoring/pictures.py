"""The pictures of an evaluated run as PNG files: which rankings, which frames, which curves."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.text_files import load_lines
from stages.datasets.tracklet import Dataset, Tracklet
from stages.figure_file import save_figure
from stages.frame_file import read_picture
from stages.reid.data.part_maps import PartGroups, joints_to_parts
from stages.reid.model import KeyReID

QUERIES, TOP, FRAMES = 6, 10, 4  # of an evaluation: queries and answers shown, frames with part maps
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
    lines = max(match.label.count("\n") for query, matches in lists for match in (query, *matches))
    figure = Figure(figsize=(1.15 * columns, (2.5 + 0.1 * lines) * len(lists) + 0.3), layout="compressed")
    axes = figure.subplots(len(lists), columns, squeeze=False)
    for row, (query, matches) in zip(axes, lists, strict=True):
        for place, axis in enumerate(row):
            axis.set_xticks([])
            axis.set_yticks([])
            if place > len(matches):
                axis.axis("off")
                continue
            match = query if place == 0 else matches[place - 1]
            good = match.right if match.near is None else match.near
            color = {True: RIGHT, False: WRONG}.get(good if place else None, NEUTRAL)
            far = bool(place) and match.near is False
            axis.imshow(read_rgb(match.frame, (256, 128)), alpha=0.45 if far else 1)
            for spine in axis.spines.values():
                spine.set(color=color, linewidth=2 if far else 4, linestyle=(0, (4, 2)) if far else "-")
            sign = {True: "✓ ", False: "✗ "}.get(match.right, "")
            answer = {True: "yes ", False: "no "}.get(match.near, "")
            mark = "query" if place == 0 else f"{place}: {answer}{sign}{match.distance:.3g}"
            axis.set_title(mark, fontsize=8, color=color)
            axis.set_xlabel(match.label, fontsize=7, parse_math=False)
    _save(figure, path, title)


def part_map_picture(
    path: Path, frames: Sequence[np.ndarray], part_maps: np.ndarray, parts: Sequence[str], title: str
) -> None:
    """Rows are frames; columns the frame itself and each part's heat laid over it.

    frames: uint8 [H, W, 3] in RGB, each. part_maps: [N, K, h, w] in [0, 1], over the whole frame.
    """
    figure = Figure(figsize=(1.2 * (len(parts) + 1) + 0.6, 2.4 * len(frames) + 0.4), layout="compressed")
    axes = figure.subplots(len(frames), len(parts) + 1, squeeze=False)
    for index, (row, frame) in enumerate(zip(axes, frames, strict=True)):
        height, width = frame.shape[:2]
        for column, axis in enumerate(row):
            axis.axis("off")
            axis.imshow(frame)
            if column:
                heat = cv2.resize(part_maps[index, column - 1].astype(np.float32), (width, height))
                axis.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.25 + 0.6 * np.clip(heat, 0, 1))
            if index == 0:
                axis.set_title("frame" if column == 0 else parts[column - 1], fontsize=8)
    heat_bar(figure, axes)
    _save(figure, path, title)


def curve_picture(path: Path, metrics: Path, title: str) -> None:
    """Loss and accuracy by step, and learning rate, from a run's metrics.jsonl."""
    rows = [row for row in load_lines(metrics) if "loss" in row and "step" in row]
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
