"""Runs the probe for `keyreid probe`, one checkpoint on one data set, and prints its tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box

from cache import PoseCache
from cache.files import sha256_of
from pipeline.options import Inputs
from pipeline.progress import shown
from stages.datasets.tracklet import Dataset
from stages.device import find_device
from stages.reid import probe as stage
from stages.reid.model.weights import load_model
from stages.reid.probing.config import ProbeConfig
from stages.reid.scoring.provenance import check_test, known_cameras
from stages.terminal import say, show, text_table


def probe(
    weights: Path, inputs: Inputs, dataset: Dataset, config: ProbeConfig, folder: Path, other_poses: bool
) -> dict[str, Any]:
    """Probe a checkpoint; write everything to folder and return the report."""
    cache = PoseCache.open(inputs.cache)
    model, extra = load_model(weights)
    check_test(extra, dataset, cache, other_poses)
    model.to(find_device(inputs.recipe.eval.device))
    cameras = known_cameras(extra, dataset, model.num_cameras, cache, inputs.recipe.eval.camera)
    about = {"checkpoint": str(weights), "sha256": sha256_of(weights)}
    stage.run(model, dataset, cache, inputs.recipe.eval, config, folder, cameras, shown, **about)
    return json.loads((folder / stage.RESULT).read_text())


def tell(report: Mapping[str, Any]) -> None:
    """Print what changed, as tables of mAP and Rank-1, and what was measured of parts and attention."""
    for half, plain in report["plain"].items():
        title = (
            f"{report['queries'][half]} {half} queries: mAP {plain['mAP']:.2f}, Rank-1 {plain['rank1']:.2f}. "
            "Changes with the queries alone replaced, then with both sides"
        )
        table = text_table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0), title_justify="left")
        table.add_column("replaced by", no_wrap=True)
        for name in ("mAP", "95 %", "p", "Rank-1", "both mAP", "p"):
            table.add_column(name, justify="right", no_wrap=True)
        for condition in report["conditions"]:
            one, both = (condition[side][half] for side in ("queries", "both"))
            interval = " ".join(f"{v:+.1f}" for v in one["mAP"]["interval95"] or ())
            table.add_row(
                condition["name"],
                f"{one['mAP']['change']:+.2f}",
                interval or "-",
                f"{one['mAP']['p']:.3f}",
                f"{one['rank1']['change']:+.1f}",
                f"{both['mAP']['change']:+.2f}",
                f"{both['mAP']['p']:.3f}",
            )
        show(table)
    if "parts" in report:
        parts = report["parts"]
        cosines = ", ".join(f"{name} {value:.2f}" for name, value in parts["left_right_cosine"].items())
        say(f"Common share of the parts' variance: {100 * parts['common_share']:.1f} %")
        say(f"Cosine with the other side: {cosines or '-'}")
    for kind, weight in report.get("attention_to", {}).items():
        share = f"{weight['ratio']:.2f} of the others' ({weight['clips']} clips)"
        say(f"Temporal attention to frames {kind}: {share}")
