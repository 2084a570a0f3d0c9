"""The picture of a probe: change of mAP by every replacement, and curves over shift and noise."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.figure_file import save_figure

SIDES = {"queries": ("queries alone", "#b2182b", "o"), "both": ("both sides", "#2166ac", "s")}
LINES = {"all": "-", "clean": "--", "occluded": ":"}
CURVES = {"shift": "heat shifted, cells", "noise": "noise of the heat's place, deviation in cells"}


def probe_picture(path: Path, report: Mapping[str, Any]) -> None:
    """report: as `stages.reid.probe.run` writes it."""
    single = [c for c in report["conditions"] if c["family"] not in CURVES]
    curves = [f for f in CURVES if any(c["family"] == f for c in report["conditions"])]
    figure = Figure(figsize=(6 + 4.2 * len(curves), max(3.2, 0.5 * len(single) + 1.8)))
    axes = figure.subplots(1, 1 + len(curves), squeeze=False, width_ratios=[1.3] + [1] * len(curves))[0]
    _changes(axes[0], single)
    for axis, family in zip(axes[1:], curves, strict=True):
        points = sorted((c for c in report["conditions"] if c["family"] == family), key=lambda c: c["size"])
        sizes = [0, *(c["size"] for c in points)]
        for side, (label, color, _) in SIDES.items():
            for half, plain in report["plain"].items():
                values = [plain["mAP"], *(c[side][half]["mAP"]["value"] for c in points)]
                axis.plot(sizes, values, color=color, linestyle=LINES[half], label=f"{label}, {half}")
        axis.set(xlabel=CURVES[family], ylabel="mAP", ylim=(0, None))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    plain = report["plain"]["all"]["mAP"]
    figure.suptitle(
        f"mAP {plain:.1f} ({report['protocol']}) and what replacing inputs does to it", fontsize=10
    )
    figure.tight_layout()
    save_figure(figure, path)


def _changes(axis: Axes, single: list[Mapping[str, Any]]) -> None:
    places = np.arange(len(single))[::-1]
    for offset, (side, (label, color, marker)) in zip((0.14, -0.14), SIDES.items(), strict=True):
        cells = [c[side]["all"]["mAP"] for c in single]
        change = np.array([c["change"] for c in cells])
        spans = np.array([c["interval95"] or (c["change"],) * 2 for c in cells]).reshape(-1, 2)
        error = np.abs(spans.T - change).clip(0)
        axis.errorbar(change, places + offset, xerr=error, fmt=marker, color=color, capsize=3, label=label)
    axis.axvline(0, color="#999999", linewidth=1)
    axis.set_yticks(places, [c["name"] for c in single])
    axis.set_xlabel("change of mAP, all queries, 95 % by persons")
    axis.grid(axis="x", alpha=0.3)
    axis.legend(fontsize=8)
