"""Training and scoring on Market-1501: every row of docs/real-people.md, by commands that it prints and runs.

    python -m benchmarks.real_people --data-root /data/market --keypoints keypoints.npz --rows main plain
    python -m benchmarks.real_people --data-root /data/market --keypoints keypoints.npz --fitted fitted
    python -m benchmarks.real_people --data-root /data/market --keypoints keypoints.npz --identities 100 \\
        --rows main plain --out runs/real-people-100

Rows: main (heat of the keypoints, seeds 1 to 3), half (as main, half of the patches kept, seeds 1 to 3),
plain (no heat, seeds 1 to 3), global (global branch alone), hidden (as main, the camera of a share of the
training clips hidden), walkers (heat of the HRNet trained on walkers), fitted (of the one that fit-pose
trained on the keypoints). Colour histograms and the untrained network are scored beside main. What exists is
skipped. Each run is scored by sequences and by the official single-query protocol, with intervals by person.
AP is rectangular.
"""

import argparse
import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.made.market import with_fewer
from stages.reid.scoring.compare import read_queries
from stages.reid.scoring.statistics import difference_over_seeds

RECIPE = Path(__file__).resolve().parent.parent / "configs/market1501-small.yaml"
PROTOCOLS = {"sequence": "queries-kept", "image": "standard"}
SEEDS = {"main": (1, 2, 3), "half": (1, 2, 3), "plain": (1, 2, 3)}


@dataclass(frozen=True)
class Row:
    """what: for the table. cache: folder name of the poses. settings: of the network."""

    what: str
    cache: str
    settings: tuple[str, ...] = ()


ROWS = {
    "main": Row("heat of the given keypoints", "given"),
    "half": Row("heat, half of the patches kept", "given", ("model.keep=0.5",)),
    "plain": Row("no heat", "given", ("model.kps=false",)),
    "global": Row("global branch alone", "given", ("model.global_only=true",)),
    "hidden": Row("cameras hidden in 0.3 of the training clips", "given", ("train.augment.hide_camera=0.3",)),
    "walkers": Row("heat of the walkers HRNet", "walkers"),
    "fitted": Row("heat of the HRNet fitted to the keypoints", "fitted"),
}


def poses_command(kind: str, given: argparse.Namespace) -> list[str]:
    """The command that fills the pose cache of a kind, for both readings of the data set."""
    where = ["--config", RECIPE, "--data-root", given.data_root, "--cache", given.out / f"poses-{kind}"]
    where += ["--set", "dataset.tracklets=image"]
    if kind == "given":
        return ["import-poses", given.keypoints, *where]
    weights = ["--pose-weights", given.fitted / "walkers.safetensors"] if kind == "fitted" else []
    return ["extract-poses", "--estimator", "walkers", *weights, *where]


def commands(row: str, seed: int, given: argparse.Namespace) -> list[tuple[Path, list]]:
    """What a row of one seed takes, in order: what each command makes when it is done, and its words."""
    spec = ROWS[row]
    cache, folder = given.out / f"poses-{spec.cache}", given.out / f"{row}-{seed}"
    where = ["--config", RECIPE, "--data-root", given.data_root, "--cache", cache]
    chosen = [word for setting in (*spec.settings, *given.set) for word in ("--set", setting)]
    runs = folder / "market1501"
    steps = [
        (cache / "manifest.json", poses_command(spec.cache, given)),
        (folder / "trained", ["train", *where, *chosen, "--seed", seed, "--runs", folder]),
    ]
    for reading, protocol in PROTOCOLS.items():
        out = folder / reading
        words = ["eval", *where, "--run", runs, "--set", f"dataset.tracklets={reading}", "--bootstrap", 2000]
        words += ["--set", f"eval.protocols=[{protocol},official]", "-o", out]
        steps.append((out / "metrics.json", words + ["--baselines"] * ((row, seed) == ("main", 1))))
    return steps


def run(steps: list[tuple[Path, list]], dry: bool) -> None:
    """Do the steps that are not done. A run's folder has the time in its name: looked up when needed."""
    for made, words in steps:
        if made.exists():
            continue
        if "--run" in words and not dry:
            at = words.index("--run") + 1
            words = [*words[:at], sorted(words[at].iterdir())[-1], *words[at + 1 :]]
        line = [str(word) for word in words]
        print(f"$ keyreid {shlex.join(line)}", flush=True)
        if dry:
            continue
        subprocess.run([sys.executable, "-m", "pipeline", *line], check=True)
        if words[0] == "train":
            made.touch()


def figures(row: str, given: argparse.Namespace) -> list[str]:
    """Lines of the table: a row for each seed that is scored, and baselines beside it."""
    lines = []
    for seed in SEEDS.get(row, (1,)):
        reports, baselines = {}, {}
        for reading in PROTOCOLS:
            folder = given.out / f"{row}-{seed}" / reading
            if (folder / "metrics.json").is_file():
                reports[reading] = json.loads((folder / "metrics.json").read_text())
            if (folder / "baselines.json").is_file():
                baselines[reading] = json.loads((folder / "baselines.json").read_text())
        if not reports:
            continue
        lines.append(
            _line(
                f"{ROWS[row].what}, seed {seed}",
                {k: r["protocols"][PROTOCOLS[k]] for k, r in reports.items()},
            )
        )
        for name in dict.fromkeys(name for scores in baselines.values() for name in scores):
            lines.append(_line(name, {k: scores[name] for k, scores in baselines.items()}))
    return lines


def gains(row: str, given: argparse.Namespace) -> list[str]:
    """How much more mAP main has than a row, by each reading, over the seeds that both have and persons."""
    lines = []
    for reading, protocol in PROTOCOLS.items():
        pairs = []
        for seed in SEEDS["main"]:
            folders = [given.out / f"{name}-{seed}" / reading for name in (row, "main")]
            if all((folder / "queries.csv").is_file() for folder in folders):
                pairs.append([read_queries(folder)[protocol] for folder in folders])
        if not pairs:
            continue
        queries = sorted(pairs[0][0])
        persons = np.array([pairs[0][0][query].person for query in queries])
        ap = np.array([[[scores[q].average_precision for q in queries] for scores in pair] for pair in pairs])
        gain = difference_over_seeds(100 * (ap[:, 1] - ap[:, 0]), persons)
        low, high = gain.interval95
        lines.append(
            f"main against {row}, {reading}, {len(pairs)} seeds: "
            f"{gain.difference:+.1f} mAP ({low:.1f} to {high:.1f}), p {gain.p:.1g}"
        )
    return lines


def _line(name: str, scores: dict[str, dict]) -> str:
    cells = []
    for reading in PROTOCOLS:
        score = scores.get(reading)
        if score is None:
            cells.append("- | -")
            continue
        low, high = score.get("interval95", {}).get("mAP", (None, None))
        spread = f" ({100 * low:.1f} to {100 * high:.1f})" if low is not None else ""
        cells.append(f"{100 * score['mAP']:.1f}{spread} | {100 * score['rank1']:.1f}")
    return f"| {name} | " + " | ".join(cells) + " |"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, help="Market-1501")
    parser.add_argument(
        "--keypoints", type=Path, help="keypoints of all its images (import-poses reads them)"
    )
    parser.add_argument("--fitted", type=Path, help="folder of fit-pose --output, for the row fitted")
    parser.add_argument(
        "--identities", type=int, metavar="N", help="N training and N test identities; default: all"
    )
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for keyreid train")
    parser.add_argument("--out", type=Path, default=Path("runs/real-people"))
    parser.add_argument("--dry-run", action="store_true", help="print the commands that are left to run")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    if given.data_root is None or given.keypoints is None:
        print("skipped: needs --data-root of Market-1501 and --keypoints")
        return
    if given.identities is not None:
        given.data_root = with_fewer(given.data_root, given.identities, given.out / "data")
    rows = [row for row in given.rows if row != "fitted" or given.fitted is not None]
    for row in rows:
        steps = [step for seed in SEEDS.get(row, (1,)) for step in commands(row, seed, given)]
        run(list({made: (made, words) for made, words in steps}.values()), given.dry_run)
    print("| | sequences: mAP (95 %) | Rank-1 | official queries: mAP (95 %) | Rank-1 |")
    print("|---|---|---|---|---|")
    for row in rows:
        print("\n".join(figures(row, given)) or f"| {ROWS[row].what} | - | - | - | - |")
    print("\n".join(line for row in rows if row != "main" for line in gains(row, given)))


if __name__ == "__main__":
    main()
